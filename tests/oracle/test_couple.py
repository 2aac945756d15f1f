"""The bridge from micro to macro: tables of crash impacts, and accelerated faults played in full against the graph."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import get_args

import pytest

from ksim.exact.solve import Solution
from ksim.linux.makedumpfile import PAGE_CLASSES
from ksim.micro.machine import Boot
from ksim.model.compose import lifecycle
from ksim.model.impact import read_table, shipped_impact
from ksim.model.loader import Loaded, load
from ksim.model.schema import ImpactName
from ksim.model.schema_micro import WorkloadName
from ksim.study.couple import crash, impact_digest, impact_table, moment_s, warm_up_s
from ksim.units import to_s
from tests.stat import assert_count, assert_mean

SMALL = ("host.cpus=2", "host.memory=16 GiB", "micro.load=0.02", "micro.span=20 s", "micro.workload=database")
SHIPPED = get_args(WorkloadName)


def small(*more: str) -> Loaded:
    return load("rack-server", (*SMALL, *more))


# ---------------------------------------------------------------- tables


def test_rows_are_in_order_and_independent_of_workers_and_number() -> None:
    alone, many, fewer = (impact_table(small(), k, workers=w) for k, w in ((5, 1), (5, 2), (3, 1)))
    assert alone.rows == many.rows
    assert alone.rows[:3] == fewer.rows
    assert alone.text() == many.text()
    assert len({alone.digest, fewer.digest, impact_table(small("seed=8"), 1).digest}) == 3
    scenario = small().scenario
    assert [row.at_s for row in alone.rows] == pytest.approx([moment_s(scenario, i) for i in range(5)], abs=1e-9)
    assert all(warm_up_s(scenario) <= row.at_s <= 20.0 for row in alone.rows)
    assert sum(alone.pages().values()) == pytest.approx(1.0, abs=1e-15)


def test_a_table_is_cached_and_a_broken_one_is_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = impact_table(small(), 2, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    assert file.name == f"{made.digest}.json"
    text = file.read_text("utf-8")
    changed = text.replace('"io_in_flight": ', '"io_in_flight": 77')
    file.write_text(changed, "utf-8")
    assert impact_table(small(), 2, cache=tmp_path) == read_table(changed), "what is cached is not made again"
    for broken in ("", text[:-40], "[]", '{"rows": []}', text.replace(made.digest, "0" * 64), "\xff"):
        file.write_text(broken, "latin-1")
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert impact_table(small(), 2, cache=tmp_path).rows == made.rows
        assert len(caplog.records) == 1
        assert "made anew" in caplog.text
        assert file.read_text("utf-8") == text
    assert list(tmp_path.iterdir()) == [file], "nothing half-written stays"


def test_every_workload_has_a_table_that_can_be_named() -> None:
    assert set(get_args(ImpactName)) == {"", *SHIPPED}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_table_is_that_of_its_scenario(name: str) -> None:
    table = shipped_impact(name)
    loaded = load("rack-server", ("host.cpus=16", "micro.span=45 s", f"micro.workload={name}"))
    assert len(table.rows) == 64
    assert table.digest == impact_digest(loaded.scenario, 64)
    assert table.manifest["digest"] == loaded.scenario.digest()
    assert json.loads(json.dumps(table.manifest["scenario"])) == loaded.scenario.resolved()
    for replication in (0, 31, 63):
        assert crash(loaded.scenario, replication) == table.rows[replication]


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("level", [1, 17, 23, 31])
def test_rows_differ_too_little_to_be_drawn_one_by_one(name: str, level: int) -> None:
    """What a dump holds varies from crash to crash, squared, by less than a thousandth of capture.dump_sigma."""
    table = shipped_impact(name)
    kept = [sum(row.pages[page] for page in PAGE_CLASSES if page in keeps(level)) for row in table.rows]
    mean = math.fsum(kept) / len(kept)
    variance = math.fsum((share / mean - 1.0) ** 2 for share in kept) / len(kept)
    assert variance < 1e-3 * small().scenario.capture.dump_sigma ** 2


def keeps(level: int) -> set[str]:
    """The page classes that makedumpfile -d leaves in the dump."""
    bits = {"zero": 1, "cache": 2, "private_cache": 4, "user": 8, "free": 16}
    return {page for page in PAGE_CLASSES if not bits.get(page, 0) & level}


def test_a_table_replaces_defaults_and_nothing_that_was_written_down() -> None:
    table = shipped_impact("database")
    faults = ("faults.disk_command.rate=1 /y", "faults.packet.rate=1 /y", "faults.driver_oops.rate=1 /y")
    plain, told = load("rack-server", faults), load("rack-server", (*faults, "workload.impact=database"))
    assert told.scenario.workload.pages.values() == pytest.approx(table.pages(), abs=1e-15)
    per_s = table.mean("reads_per_s") + table.mean("writes_per_s")
    assert told.scenario.faults["disk_command"].model_dump()["per_s"] == per_s
    assert told.scenario.faults["packet"].model_dump()["per_s"] == table.mean("sent_per_s")
    assert told.scenario.faults["kernel_oops"] != plain.scenario.faults["kernel_oops"]
    assert told.scenario.faults["driver_oops"] == plain.scenario.faults["driver_oops"]
    assert "64 simulated crashes" in told.assumed()["workload.pages"].source.title
    assert told.scenario.resolved()["workload"]["impact"] == "database"
    assert "impact" not in plain.scenario.resolved()["workload"]
    pages = "workload.pages={zero=0.0,cache=0.0,private_cache=0.0,user=0.0,free=0.9,kernel=0.1}"
    own = load("rack-server", (*faults, "workload.impact=database", "faults.disk_command.per_s=5.0", pages))
    assert own.scenario.workload.pages.kernel == 0.1
    assert own.scenario.faults["disk_command"].model_dump()["per_s"] == 5.0


# ---------------------------------------------------------------- accelerated faults, micro against macro


QUIET = tuple(f"faults.{name}.rate=0" for name in ("kernel_oops", "kernel_hang", "machine_check", "hardware_repair"))


def predicted(*overrides: str) -> Solution:
    return Solution(lifecycle(load("rack-server", (*QUIET, *overrides)).scenario))


BOOTS, SPAN_S = 10, 2500.0


@pytest.mark.slow
def test_lost_commands_of_a_disk_are_those_that_macro_predicts() -> None:
    """About 100 lost commands of a SCSI disk, 250 s apart: their number by the measured rate, and the mean pause.

    A count that is half or twice as large, or a mean pause that is off by 5 s, passes with P <= 1e-3 each.
    """
    load_ = ("micro.workload=database", "micro.load=0.005", "micro.disk.kind=scsi")
    measured = impact_table(small(*load_, "micro.span=400 s"), 3)
    per_s = measured.mean("reads_per_s") + measured.mean("writes_per_s")
    p, abort = 3e-4, 0.5
    macro = predicted(
        f"faults.disk_command.p={p}", f"faults.disk_command.per_s={per_s}", "faults.disk_command.hits_service=1.0",
        "faults.disk_command.disk=scsi", f"faults.disk_command.abort_works={abort}",
        "faults.disk_command.reset_works=1.0",
    )  # fmt: skip
    scenario = small(
        *load_, f"micro.disk.lost={p}", f"micro.disk.abort_works={abort}", "micro.disk.reset_works=1.0", "seed=11"
    ).scenario
    lost, pauses = 0, []
    for replication in range(BOOTS):
        boot = Boot(scenario, replication)
        retry = boot.disk._retry

        def answered(request, boot=boot, retry=retry):
            pauses.append(to_s(boot.clock.now - request.began_ns))
            retry(request)

        boot.disk._retry = answered  # type: ignore[method-assign]
        assert boot.run(SPAN_S).kind == "survived"
        lost += boot.disk.ladder.lost.strikes
    outages = macro.outages()
    assert outages is not None
    operations = round(per_s * BOOTS * SPAN_S)
    rate = outages.rate * BOOTS * SPAN_S / operations
    assert_count(lost, operations, rate, detects=rate, what="lost commands")
    assert_mean(pauses, outages.mean_s, outages.sd_s, detects=5.0, what="pause after a lost command")


@pytest.mark.slow
def test_hangs_of_a_network_card_are_those_that_macro_predicts() -> None:
    """About 140 hangs, 170 s apart: their number by the measured rate of packets, and the mean time without a link.

    A count that is half or twice as large, or a mean that is off by 2 s, passes with P <= 1e-3 each. Calls that arrive
    while the link is down are sent after it, which makes micro's hangs some 3 % more frequent than macro's.
    """
    load_ = ("micro.workload=web-server", "micro.load=0.003")
    per_s = impact_table(small(*load_, "micro.span=400 s"), 3).mean("sent_per_s")
    p = 1e-3
    macro = predicted(f"faults.packet.p={p}", f"faults.packet.per_s={per_s}")
    scenario = small(*load_, f"micro.nic.hang={p}", "seed=11").scenario
    hangs, pauses = 0, []
    for replication in range(BOOTS):
        boot = Boot(scenario, replication)
        nic, due, link_up = boot.nic, boot.nic.hang.due, boot.nic._link_up
        began: list[int] = []

        def strikes(boot=boot, nic=nic, due=due, began=began) -> bool:
            hit = due()
            if hit and not nic.is_hung:
                began.append(boot.clock.now)
            return hit

        def works(boot=boot, link_up=link_up, began=began) -> None:
            pauses.append(to_s(boot.clock.now - began[-1]))
            link_up()

        nic.hang.due, nic._link_up = strikes, works  # type: ignore[method-assign]
        assert boot.run(SPAN_S).kind == "survived"
        hangs += len(began)
    outages = macro.outages()
    assert outages is not None
    operations = round(per_s * BOOTS * SPAN_S)
    rate = outages.rate * BOOTS * SPAN_S / operations
    assert_count(hangs, operations, rate, detects=rate, what="hangs")
    assert_mean(pauses, outages.mean_s, outages.sd_s, detects=2.0, what="time without a link")
