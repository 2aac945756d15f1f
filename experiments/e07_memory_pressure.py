"""A memory leak: does the kernel kill the leaking process, the service or the machine, and what do clients notice?"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ksim.exact.solve import Solution
from ksim.model.compose import lifecycle
from ksim.model.loader import Loaded, load
from ksim.report.experiment import main
from ksim.report.rows import Lookup, Row
from ksim.study import estimate
from ksim.study.compare import Study, row_of
from ksim.study.couple import moments_of
from ksim.study.estimate import Estimate
from ksim.study.experiment import Experiment, Point
from ksim.study.pool import Progress
from ksim.study.pressure import Pressure, press_all
from ksim.units import MINUTE_S, YEAR_S

BOOTS = 4
LEAKS_PER_YEAR = 12
"""For the downtime of a year: a leak a month."""
ALONE = tuple(f"faults.{name}.rate=0" for name in ("kernel_oops", "kernel_hang", "machine_check", "hardware_repair"))
SWAP = "micro.memory.swap=4 GiB"
NONE, SWAPS, ASKER, PANICS = "no swap", "swap, swappiness 60", "oom_kill_allocating_task=1", "panic_on_oom=1"
VARIANTS = {
    NONE: (),
    SWAPS: (SWAP, "vm.swappiness=60"),
    "swap, swappiness 1": (SWAP, "vm.swappiness=1"),
    "swap, swappiness 200": (SWAP, "vm.swappiness=200"),
    ASKER: ("vm.oom_kill_allocating_task=1",),
    PANICS: ("vm.panic_on_oom=1",),
    "panic_on_oom=2": ("vm.panic_on_oom=2",),
}
CASES = (("database", 8, 100), ("database", 8, 800), ("database", 32, 800), ("build-farm", 8, 800))


def point(workload: str, memory_gib: int, leak: int) -> Point:
    return Point(
        {"workload": workload, "RAM": f"{memory_gib} GiB", "leak MiB/s": f"{leak}"},
        (f"micro.workload={workload}", f"host.memory={memory_gib} GiB", f"micro.memory.leak={leak}.0"),
    )


def observes(variants: Mapping[str, Loaded], workers: int | None, progress: Progress | None) -> Study:
    """The boots of one point, and what a leak a month costs by the shares that they show."""
    scenarios = [loaded.scenario for loaded in variants.values()]
    workers = min(len(scenarios), os.cpu_count() or 1) if workers is None else workers
    rows: list[Row] = []
    for (name, loaded), boots in zip(variants.items(), press_all(scenarios, BOOTS, workers), strict=True):
        for measure, found in _measures(name, boots, loaded.scenario.confidence).items():
            if found is not None:
                rows.append(row_of(loaded, name, measure, found))
    if progress is not None:
        progress(1, 1)
    return Study(rows, {}, [], "variant")


def _measures(name: str, boots: Sequence[Pressure], confidence: float) -> dict[str, Estimate | None]:
    def mean(values: list[float], unit: str) -> Estimate:
        return estimate.mean(moments_of(values), 1.0, unit, confidence)

    ended = [boot.killed_s for boot in boots if boot.killed_s is not None]
    killed = estimate.proportion(sum(boot.service_killed for boot in boots), len(boots), confidence)
    assert killed is not None
    return {
        "leak_to_kill_s": mean(ended, "s") if ended else None,
        "service_killed": killed,
        "panicked": estimate.proportion(sum(boot.panicked for boot in boots), len(boots), confidence),
        "stalled_s": mean([float(boot.stalled_s) for boot in boots], "s"),
        "worst_latency_s": mean([boot.worst_s for boot in boots], "s"),
        "swapped_out_mib": mean([boot.swapped_out_bytes / 2**20 for boot in boots], "MiB"),
        "downtime_min_per_year": _per_year(name, killed),
    }


def _per_year(name: str, killed: Estimate) -> Estimate:
    """Of a host where only that happens, once a month: exact in the share of kills that hit the service."""

    def downtime(share: float) -> float:
        keys = [f"faults.out_of_memory.{key}={share}" for key in ("hits_service", "asks_service")]
        sysctls = [text for text in VARIANTS[name] if text.startswith("vm.")]
        whole = "faults.out_of_memory.constraint={oom=1.0, oom_cpuset=0.0, oom_memcg=0.0}"
        rate = f"faults.out_of_memory.rate={LEAKS_PER_YEAR} /y"
        scenario = load("rack-server", (*ALONE, rate, whole, *keys, *sysctls)).scenario
        return Solution(lifecycle(scenario)).unavailability * YEAR_S / MINUTE_S

    half = killed.half_width or 0.0
    value, low, high = (downtime(min(1.0, max(0.0, killed.value + arm))) for arm in (0.0, -half, half))
    return Estimate(value, max(value - low, high - value), killed.confidence, killed.n, "min/y", "simulated")


def finds(rows: Sequence[Row]) -> list[str]:
    """Who dies, when, and what it costs."""
    found, hit = [], []
    for workload, memory, leak in CASES:
        key = (workload, f"{memory} GiB", f"{leak}")
        own = Lookup(row for row in rows if (row["workload"], row["RAM"], row["leak MiB/s"]) == key)

        def of(name: str, measure: str, own: Lookup = own) -> float:
            row = own.sampled(name, measure)
            return float("nan") if row is None else float(row["estimate"])

        hit += [f"{name} ({workload}, {leak} MiB/s)" for name in VARIANTS if of(name, "service_killed") > 0.0]
        found.append(
            f"{workload}, {memory} GiB, a leak of {leak} MiB/s: the end comes after {of(NONE, 'leak_to_kill_s'):.3g} s "
            f"without swap and after {of(SWAPS, 'leak_to_kill_s'):.3g} s with 4 GiB of it; the slowest answer takes "
            f"{of(NONE, 'worst_latency_s'):.3g} and {of(SWAPS, 'worst_latency_s'):.3g} s, and clients "
            f"are stalled for {of(NONE, 'stalled_s'):.3g} and {of(SWAPS, 'stalled_s'):.3g} s."
        )
        if (workload, memory, leak) == CASES[0]:
            found.append(
                f"Kill or reboot: with a leak a month, `{PANICS}` costs {of(PANICS, 'downtime_min_per_year'):.3g} min "
                f"a year, a kill {of(NONE, 'downtime_min_per_year'):.3g} (at most "
                f"{of(NONE, 'downtime_min_per_year') + _half(own, NONE):.2g}, by the interval of {BOOTS} boots)."
            )
    found.append(f"The kernel killed the service, not only the leaking process, with: {'; '.join(hit) or 'nothing'}.")
    return found


def _half(own: Lookup, name: str) -> float:
    row = own.sampled(name, "downtime_min_per_year")
    return 0.0 if row is None else float(row["half_width"] or 0.0)


def draw(rows: Sequence[Row], title: str) -> Any:
    """How long the host holds out, by setting, one panel per case; with what came at the end."""
    import altair as alt

    values = []
    for row in rows:
        if row["measure"] == "leak_to_kill_s":
            case = f"{row['workload']}, {row['RAM']}, {row['leak MiB/s']} MiB/s"
            same = [r for r in rows if all(r[k] == row[k] for k in ("workload", "RAM", "leak MiB/s", "strategy"))]
            shares = {r["measure"]: r["estimate"] for r in same}
            ends = "panic" if shares["panicked"] else "service killed" if shares["service_killed"] else "leaky killed"
            values.append({"case": case, "variant": row["strategy"], "s": row["estimate"], "end": ends})
    bars = (
        alt.Chart(alt.InlineData(values=values))
        .mark_bar()
        .encode(
            x=alt.X("s:Q", title="seconds from the start of the leak to the end"),
            y=alt.Y("variant:N", sort=list(VARIANTS), title=None, axis=alt.Axis(labelLimit=0)),
            color=alt.Color("end:N", legend=alt.Legend(title=None, orient="bottom")),
        )
        .properties(width=260, height=alt.Step(20))
    )
    cases = list(dict.fromkeys(value["case"] for value in values))
    return bars.facet(facet=alt.Facet("case:N", sort=cases, title=None), columns=2).properties(title=title)


EXPERIMENT = Experiment(
    name="e07_memory_pressure",
    question="Memory runs out: kill a process or reboot the machine?",
    scenarios=("rack-server",),
    expectation=(
        "the leaking process is the largest by the time that memory is gone, so badness finds it and the service "
        "lives; oom_kill_allocating_task hits whoever asks, which with busy compilers is the service. Swap delays the "
        "kill and pays with the latency of clients, the more the higher vm.swappiness is. panic_on_oom turns a kill "
        "that costs nothing into minutes of reboot; 1 and 2 are the same where the whole machine is short."
    ),
    overrides=("host.cpus=4", "micro.load=0.2", "micro.span=120 s"),
    points=tuple(point(*case) for case in CASES),
    variants=VARIANTS,
    observes=observes,
    shows={
        "leak_to_kill_s": "s to the end",
        "service_killed": "service killed",
        "panicked": "panic",
        "stalled_s": "stalled s",
        "worst_latency_s": "worst latency s",
        "swapped_out_mib": "swapped MiB",
        "downtime_min_per_year": "min/y at 12 leaks/y",
    },
    finds=finds,
    draws=draw,
)

if __name__ == "__main__":
    main(EXPERIMENT)
