"""Sweeps: the bytes of an undisturbed run, whatever happened on the way."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

import pytest

from ksim import __version__
from ksim.errors import KsimError
from ksim.report.rows import frame
from ksim.report.sweep import csv_text
from ksim.study.compare import compare
from ksim.study.sweep import executors
from ksim.study.sweep import store as store_module
from ksim.study.sweep.cells import Done, compute
from ksim.study.sweep.plan import Task
from ksim.study.sweep.store import STORE, Store, StoreError, named, opened
from ksim.study.sweep.study_file import plan_of
from ksim.study.sweep.sweep import State, Where, merge, store_name, sweep

STUDY = """
scenario = "rack-server"
strategies = ["full_reboot", "kexec_reboot"]
measures = ["software_downtime_min_per_year", "outages_per_year"]
engine = "simulated"
replications = 20
horizon = "2 y"
[factors]
"host.boot.firmware" = ["60 s", "120 s", "300 s"]
kernel.panic_on_oops = [0, 1]
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    return path


def table(folder: Path, name: str = STORE) -> str:
    with opened(folder / name) as store:
        return csv_text(store.columns, store.rows())


def whole(study: Path, folder: Path, where: Where | None = None) -> str:
    assert sweep(plan_of(study), folder, where).is_whole
    return table(folder)


def test_a_cell_is_what_compare_says_of_its_point(study: Path, tmp_path: Path) -> None:
    plan = plan_of(study)
    whole(study, tmp_path / "out")
    with opened(tmp_path / "out" / STORE) as store:
        cells = [cell for cell, _ in store.cells()]
        rows = list(store.rows())
    assert [cell.place for cell in cells] == list(range(6))
    assert len({cell.key for cell in cells}) == 6
    direct = compare(plan.load(4), ["full_reboot", "kexec_reboot"], engine="simulated")
    wanted = [row for row in direct.rows if row["measure"].removesuffix("_difference") in plan.how.measures]
    own = [row for row in rows if (row["host.boot.firmware"], row["kernel.panic_on_oops"]) == ("300 s", "0")]
    assert [{key: row[key] for key in wanted[0]} for row in own] == wanted
    assert len(frame(rows, store.columns)) == len(rows) == 6 * len(wanted)


def test_workers_change_nothing(study: Path, tmp_path: Path) -> None:
    assert whole(study, tmp_path / "a", Where(workers=1)) == whole(study, tmp_path / "b", Where(workers=2))


def test_what_is_there_is_never_computed_again(study: Path, tmp_path: Path) -> None:
    plan, out = plan_of(study), tmp_path / "out"
    first = sweep(plan, out, Where(workers=1, budget_s=0.0))
    assert (first.done, first.computed, first.is_whole) == (0, 0, False)

    class Stop(Exception):
        pass

    def stop(state: State) -> None:
        if state.done >= 2:
            raise Stop

    with pytest.raises(Stop):
        sweep(plan, out, Where(workers=1), report=stop)
    with opened(out / STORE) as store:
        before = {cell.place: cell for cell, _ in store.cells()}
    state = sweep(plan, out, Where(workers=1))
    assert (state.done, state.computed) == (6, 6 - len(before))
    assert sweep(plan, out).computed == 0
    assert table(out) == whole(study, tmp_path / "undisturbed")


def test_twins_are_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "study.toml"
    head = STUDY.partition("[factors]")[0] + '[design]\nkind = "morris"\npoints = 6\nseed = 3\n'
    path.write_text(head + "[factors]\nkexec.success = { low = 0.5, high = 0.9 }\n")
    plan = plan_of(path)
    distinct = len({plan.parameters(place)["kexec.success"] for place in range(len(plan.points))})
    assert distinct < len(plan.points)
    seen: list[int] = []

    def counted(tasks: Sequence[Task]) -> Done:
        seen.extend(task.place for task in tasks)
        return compute(tasks)

    monkeypatch.setattr(executors, "compute", counted)
    assert sweep(plan, tmp_path / "out", Where(workers=1)).is_whole
    assert len(seen) == distinct


@pytest.mark.parametrize("moment", [0.6, 1.5, 2.5])
def test_killed_at_any_moment_it_goes_on(study: Path, tmp_path: Path, moment: float) -> None:
    """SIGKILL of the whole process group; what is there afterwards is whole, and is not computed again."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "ksim", "sweep", str(study), "--out", str(out), "--workers", "2"]
    child = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(moment)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    done = 0
    if (out / STORE).exists():
        with opened(out / STORE) as store:
            done = len(store.places())
    state = sweep(plan_of(study), out, Where(workers=1))
    assert state.computed == 6 - done
    assert table(out) == whole(study, tmp_path / "undisturbed")


def test_a_worker_that_is_killed_takes_no_cell_with_it(study: Path, tmp_path: Path) -> None:
    killed: list[int] = []

    def kill(state: State) -> None:
        if not killed:
            children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
            killed.extend(_workers([int(pid) for pid in children]))
            os.kill(killed[0], signal.SIGKILL)

    state = sweep(plan_of(study), tmp_path / "out", Where(workers=2), report=kill)
    assert killed
    assert state.is_whole
    assert table(tmp_path / "out") == whole(study, tmp_path / "undisturbed")


def _workers(pids: list[int]) -> list[int]:
    """Processes of a pool: children of the fork server."""
    found = []
    for pid in pids:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        found += [int(child) for child in children]
    return found


@pytest.mark.parametrize("order", list(permutations("123"))[::2])
def test_shards_are_merged_in_any_order(study: Path, tmp_path: Path, order: tuple[str, ...]) -> None:
    plan = plan_of(study)
    shards = []
    for i in order:
        out = tmp_path / f"machine{i}"
        state = sweep(plan, out, Where(workers=1, shard=f"{i}/3"))
        assert (state.points, state.is_whole) == (2, True)
        shards.append(out / store_name(f"{i}/3"))
    assert merge(tmp_path / "all" / STORE, shards[:2]) == (4, 6)
    assert merge(tmp_path / "all" / STORE, shards) == (6, 6)
    assert sweep(plan, tmp_path / "all").computed == 0
    assert table(tmp_path / "all") == whole(study, tmp_path / "undisturbed")


def damaged(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)


def test_a_damaged_store_is_named_and_left_alone(study: Path, tmp_path: Path) -> None:
    whole(study, tmp_path / "out")
    path = tmp_path / "out" / STORE
    data = path.read_bytes()
    places = [
        data.index(b"kexec_reboot", len(data) // 2),
        data.index(b"digest", 100),
        0,
        16,
        *range(4096, len(data), 4096),
    ]
    for offset in places:
        path.write_bytes(data)
        damaged(path, offset)
        before = path.read_bytes()
        with pytest.raises(StoreError, match=str(path)):
            sweep(plan_of(study), tmp_path / "out")
        assert path.read_bytes() == before, offset
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(StoreError, match=str(path)):
        sweep(plan_of(study), tmp_path / "out")


def test_stores_of_others_are_refused(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    whole(study, out)
    before = (out / STORE).read_bytes()
    other = tmp_path / "other.toml"
    other.write_text(STUDY.replace("300 s", "301 s"))
    with pytest.raises(StoreError, match="belongs to another study"):
        sweep(plan_of(other), out)
    assert (out / STORE).read_bytes() == before
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "VERSIONS", ("77.0", 99))
        with pytest.raises(StoreError, match=rf"was written by ksim {__version__}, model .*; this is ksim 77"):
            sweep(plan_of(study), out)
    with sqlite3.connect(out / STORE) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="has layout 99"):
        opened(out / STORE)
    (out / STORE).write_bytes(b"not a database at all" * 300)
    with pytest.raises(StoreError, match="damaged, or no store"):
        sweep(plan_of(study), out)


def test_shards_of_different_studies_are_not_merged(study: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(STUDY.replace("300 s", "301 s"))
    for name, path in (("a", study), ("b", other)):
        whole(path, tmp_path / name)
    with pytest.raises(StoreError, match="of another study"):
        merge(tmp_path / "all" / STORE, [tmp_path / "a" / STORE, tmp_path / "b" / STORE])
    assert not (tmp_path / "all").exists()


def test_two_writers_do_not_meet(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def again(state: State) -> None:
        with pytest.raises(StoreError, match="another ksim is at work"):
            sweep(plan_of(study), out)

    assert sweep(plan_of(study), out, Where(workers=1), report=again).is_whole


def test_it_can_be_read_while_it_grows(study: Path, tmp_path: Path) -> None:
    seen: list[int] = []

    def look(state: State) -> None:
        with opened(tmp_path / "out" / STORE) as store:
            seen.append(len(store.places()))

    sweep(plan_of(study), tmp_path / "out", Where(workers=1), report=look)
    assert seen == sorted(seen)
    assert seen[-1] == 6
    assert [path.name for path in (tmp_path / "out").iterdir()] == [STORE]


def test_sql_reads_it_too(study: Path, tmp_path: Path) -> None:
    whole(study, tmp_path / "out")
    with opened(tmp_path / "out" / STORE) as store:
        rows = list(store.rows())
    connection = sqlite3.connect(tmp_path / "out" / STORE)
    found = connection.execute("SELECT measure, estimate FROM result").fetchall()
    connection.close()
    assert found == [(row["measure"], row["estimate"]) for row in rows]


def test_a_full_disk_loses_nothing(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, out, add = plan_of(study), tmp_path / "out", Store.add
    kept: list[int] = []

    def full(self: Store, cells: object) -> None:
        if kept:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            with named(self.path):
                raise error
        kept.append(1)
        add(self, cells)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "add", full)
    with pytest.raises(OSError, match=r"sweep\.sqlite: database or disk is full"):
        sweep(plan, out, Where(workers=1))
    monkeypatch.undo()
    with opened(out / STORE) as store:
        done = len(store.places())
    assert sweep(plan, out, Where(workers=1)).computed == 6 - done == 5


def test_a_folder_that_cannot_be_written_is_named(study: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KsimError, match="file"):
        sweep(plan_of(study), tmp_path / "file")


def test_points_that_cannot_be_computed_are_named_and_the_others_kept(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(STUDY.replace('"300 s"', '"300 s", "-3 s"'))
    state = sweep(plan_of(path), tmp_path / "out", Where(workers=1))
    assert not state.is_whole
    assert state.failed
    assert state.done + len(state.failed) == 8
    assert "cannot be negative: '-3 s'" in state.failed[6]
