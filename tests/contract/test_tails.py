"""The exact measures that are no means: names, units, bounds, and a note for each that is missing."""

import math

import pytest

from ksim.chance.distributions import Constant, Exponential
from ksim.exact.solve import Solution
from ksim.exact.yearly import Downtime
from ksim.model.compose import lifecycle
from ksim.model.lifecycle import Branch, Budget, Lifecycle, Node, Service
from ksim.model.loader import load
from ksim.study import estimate
from ksim.study.compare import solve
from ksim.study.estimate import Estimate
from ksim.study.replicate import Job, replicate
from ksim.study.tails import tails
from ksim.units import YEAR_S
from tests.oracle.test_solve import SCENARIOS

NAMES = {
    f"{group}{measure}_{q}": unit
    for group in ("", "software_")
    for measure, unit in (("outage_s", "s"), ("year_downtime_min", "min"))
    for q in ("p50", "p95", "p99")
} | {f"year_misses_{nines}_nines": "1" for nines in ("five", "four", "three")}


def test_an_enclosed_value_carries_its_bound() -> None:
    assert estimate.enclosed(3.0, 0.1, "s") == Estimate(3.0, 0.1, 1.0, 0, "s", "exact")


def test_every_measure_of_a_shipped_base() -> None:
    found, notes = tails(Solution(lifecycle(load("rack-server").scenario, "kdump_kexec")))
    assert {name: value.unit for name, value in found} == NAMES
    assert notes == []
    for _, value in found:
        assert value.method == "exact"
        assert value.confidence == 1.0
        assert value.half_width is not None
        assert value.half_width <= max(2e-3 * value.value, 1e-3)
    values = {name: value.value for name, value in found}
    assert values["year_misses_five_nines"] > values["year_misses_four_nines"] > values["year_misses_three_nines"]
    assert values["year_downtime_min_p50"] == 0.0
    for group in ("", "software_"):
        assert values[f"{group}outage_s_p50"] < values[f"{group}outage_s_p95"] < values[f"{group}outage_s_p99"]


def test_simulated_and_exact_measures_have_the_same_names() -> None:
    from ksim.study import measures

    life = lifecycle(load("vm").scenario, "kdump")
    ledger = replicate(Job({"x": life}, 1, 2 * YEAR_S, 50, "simulated")).ledgers["x"]
    sampled = {name: value.unit for name, value in measures.sampled(ledger, 2 * YEAR_S, 0.95)}
    assert NAMES.items() <= sampled.items()


def test_the_answer_is_the_same_every_time() -> None:
    """Also from warm caches, and after other questions."""
    solution = Solution(lifecycle(load("vm").scenario, "full_reboot"))
    first = tails(solution)
    Downtime(solution, "hardware").exceeds(100.0)
    assert tails(solution) == first


def test_solve_lists_them() -> None:
    study = solve(load("vm"))
    rows = {row["measure"]: row for row in study.rows}
    assert rows.keys() >= NAMES.keys()
    assert rows["software_outage_s_p95"]["half_width"] > 0.0


def test_what_is_missing_is_said_once_with_its_reason() -> None:
    """Up for 100 days exactly: the law of the year's downtime cannot be had this way, that of an outage can."""
    nodes = (
        Node("up", "up", Service.UP, (Branch("down", Constant(1e7), 1.0, "c"),)),
        Node("down", "down", Service.DOWN, (Branch("up", Exponential(300.0)),)),
    )
    found, notes = tails(Solution(Lifecycle("up", nodes, {"c": Budget.SOFTWARE})))
    values = dict(found)
    assert values["outage_s_p50"].value == pytest.approx(300.0 * math.log(2.0), rel=1e-5)
    assert not [name for name in values if "year" in name]
    quantiles = ", ".join(f"{{0}}year_downtime_min_p{q}" for q in (50, 95, 99))
    assert [note.split(":")[0] for note in notes] == [
        f"no exact {quantiles.format('')}",
        "no exact year_misses_five_nines, year_misses_four_nines, year_misses_three_nines",
        f"no exact {quantiles.format('software_')}",
    ]
    assert all("node 'up' lasts 10000000 s" in note for note in notes)


def test_a_graph_that_is_too_large_is_refused_at_once() -> None:
    solution = Solution(lifecycle(load(str(SCENARIOS / "c1_workstation_cluster.toml")).scenario))
    found, notes = tails(solution)
    assert found == []
    assert len(notes) == 1
    assert "1120 ways is too large (at most 500)" in notes[0]
