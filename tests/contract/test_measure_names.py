"""Names of measures, and who is best among equals."""

from __future__ import annotations

from ksim.model.compose import lifecycle
from ksim.model.loader import load
from ksim.study.compare import run
from ksim.study.measures import PARTED, names
from ksim.study.replicate import Job
from ksim.study.selection import select


def test_every_measure_of_a_run_is_one_that_a_study_may_name() -> None:
    rows = run(load("rack-server", ["replications=50"]), engine="simulated", tails=True).rows
    assert {row["measure"] for row in rows if not row["measure"].startswith(PARTED)} <= set(names())


def test_equals_are_all_named() -> None:
    lives = {name: lifecycle(load("rack-server").scenario, "kdump") for name in ("a", "b")}
    lives["c"] = lifecycle(load("rack-server").scenario, "kexec_reboot")
    job = Job(lives, 1, 3.15e7, 1)
    highest = select(job, "software_downtime_min_per_year", lowest=False, indifference=0.1)
    assert (highest.winner, highest.survivors, highest.method) == ("a", ("a", "b"), "exact")
    assert select(job, "software_downtime_min_per_year", indifference=0.1).survivors == ("c",)
