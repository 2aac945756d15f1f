"""Sweeps: two workers against one, what a cell costs beside its work, and how soon a finished sweep is found finished.

./run pytest tests/benchmarks/test_sweep_speed.py --benchmark-only
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from ksim.study.sweep.cells import compute
from ksim.study.sweep.plan import Plan
from ksim.study.sweep.study_file import plan_of
from ksim.study.sweep.sweep import Where, sweep

TOP = Path(__file__).resolve().parents[2]
ROUNDS = 5
TWO_STATES = """
horizon = "1 y"
[lifecycle]
entry = "up"
budgets = { oops = "software" }
[lifecycle.nodes.up]
service = "up"
clocks = { fail = { after = "exponential(mean=10 d)", to = "down", cause = "oops" } }
[lifecycle.nodes.down]
service = "down"
branches = [{ to = "up", dwell = "exponential(mean=1 h)" }]
"""
MEASURES = 'measures = ["downtime_min_per_year", "outages_per_year"]\n'


def plan(folder: Path, text: str) -> Plan:
    (folder / "two_states.toml").write_text(TWO_STATES)
    path = folder / "study.toml"
    path.write_text(text)
    return plan_of(path)


def wall_s(work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@pytest.mark.timeout(1800)
def test_two_workers(benchmark, report, tmp_path: Path) -> None:
    """200 points of a real host, four strategies each, exact; the same sampled by machine code."""
    head = 'scenario = "rack-server"\nstrategies = ["full_reboot", "kdump", "kdump_kexec", "kexec_reboot"]\n' + MEASURES
    factors = '[factors]\n"host.boot.firmware" = { low = "60 s", high = "900 s", steps = 200 }\n'
    for engine, more in (("exact", ""), ("compiled", "replications = 2000\n")):
        study = plan(tmp_path, f'{head}engine = "{engine}"\n{more}{factors}')
        took: dict[int, list[float]] = {1: [], 2: []}
        for turn in range(3):
            for workers in took:
                out = tmp_path / f"{engine}-{turn}-{workers}"
                took[workers].append(wall_s(partial(sweep, study, out, Where(workers=workers))))
        ratios = [one / two for one, two in zip(took[1], took[2], strict=True)]
        report(
            f"200 points, {engine}: one worker {statistics.median(took[1]):.3g} s, "
            f"two {statistics.median(took[2]):.3g} s: {statistics.median(ratios):.3g} times the throughput "
            f"({min(ratios):.3g} to {max(ratios):.3g})"
        )
        benchmark.extra_info[engine] = statistics.median(ratios)
    benchmark.pedantic(lambda: None, rounds=1)


@pytest.mark.timeout(1800)
def test_overhead_of_a_cell(benchmark, report, tmp_path: Path) -> None:
    """The same cells in a plain loop and as a sweep with its store, one process, compiled reader."""
    head = 'scenario = "two_states.toml"\nengine = "compiled"\nreplications = 100\n' + MEASURES
    study = plan(tmp_path, head + "[factors]\nseed = { low = 1, high = 1000, steps = 1000 }\n")
    tasks = [study.task(place) for place in range(len(study.points))]
    compute(tasks[:2])
    overheads, works = [], []
    for turn in range(ROUNDS):
        works.append(wall_s(lambda: compute(tasks)))
        swept = wall_s(lambda turn=turn: sweep(study, tmp_path / f"out{turn}", Where(workers=1)))
        overheads.append((swept - works[-1]) / len(tasks))
    report(
        f"overhead of a cell of 1000: {1e3 * statistics.median(overheads):.2g} ms beside "
        f"{1e3 * statistics.median(works) / len(tasks):.3g} ms of work"
    )
    benchmark.extra_info["ms"] = 1e3 * statistics.median(overheads)
    benchmark.pedantic(lambda: None, rounds=1)


@pytest.mark.timeout(1800)
def test_resume_of_a_finished_sweep(benchmark, report, tmp_path: Path) -> None:
    """The whole command, Python's start included, where 10,000 cells are there already."""
    head = 'scenario = "two_states.toml"\nengine = "exact"\n' + MEASURES
    law = "lifecycle.nodes.up.clocks.fail.after"
    factor = f'"{law}" = {{ low = "1 d", high = "100 d", steps = 1000, shape = "exponential(mean=1 d)" }}\n'
    text = f"{head}[factors]\n{factor}"
    text += 'horizon = { low = "1 y", high = "10 y", steps = 10 }\n'
    text = text.replace('measures = ["downtime_min_per_year",', 'measures = ["downtime_min_in_horizon",')
    study = plan(tmp_path, text)
    assert len(study.points) == 10_000
    words = [sys.executable, "-m", "ksim", "sweep", str(tmp_path / "study.toml"), "--out", str(tmp_path / "out")]
    first = wall_s(lambda: subprocess.run(words, cwd=TOP, check=True, capture_output=True))
    again = [wall_s(lambda: subprocess.run(words, cwd=TOP, check=True, capture_output=True)) for _ in range(ROUNDS)]
    report(
        f"10,000 cells: first run {first:.3g} s, resume of the finished sweep {statistics.median(again):.3g} s "
        f"({min(again):.3g} to {max(again):.3g})"
    )
    benchmark.extra_info["s"] = statistics.median(again)
    benchmark.pedantic(lambda: None, rounds=1)
