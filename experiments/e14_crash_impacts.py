"""What a crash meets, by what the host does: memory, CPUs, work in flight, rates of operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from ksim.model.loader import Loaded
from ksim.model.schema_micro import WorkloadName
from ksim.report.experiment import main
from ksim.report.rows import Lookup, Row
from ksim.study.compare import Study
from ksim.study.couple import impact_rows, impact_table
from ksim.study.experiment import Experiment, Point
from ksim.study.pool import Progress

NAME = "e14_crash_impacts"
WORKLOADS: tuple[str, ...] = get_args(WorkloadName)
CRASHES = 64
SHIPPED = Path(__file__).parents[1] / "ksim" / "model" / "impacts"
"""The tables that ``workload.impact`` names; delete one, or change its scenario, and a run makes it anew."""
PAGES = ("zero", "cache", "private_cache", "user", "free", "kernel")


def observes(variants: Mapping[str, Loaded], workers: int | None, progress: Progress | None) -> Study:
    """The crashes of one workload."""
    rows: list[Row] = []
    for name, loaded in variants.items():
        workload = loaded.scenario.micro.workload if loaded.scenario.micro else name
        command = f"./run python experiments/{NAME}.py"
        table = impact_table(
            loaded, CRASHES, workers=workers, progress=progress, cache=SHIPPED, name=workload, command=command
        )
        rows += impact_rows(loaded, name, table)
    return Study(rows, {}, [])


def finds(rows: Sequence[Row]) -> list[str]:
    """What differs between workloads by more than its interval."""
    found = {name: Lookup(row for row in rows if row["workload"] == name) for name in WORKLOADS}

    def of(name: str, measure: str) -> float:
        row = found[name].sampled("rack-server", measure)
        return 0.0 if row is None else float(row["estimate"])

    kept = {name: of(name, "pages_kernel") for name in WORKLOADS}
    user = {name: kept[name] + of(name, "pages_user") for name in WORKLOADS}
    dirty = max(WORKLOADS, key=lambda name: of(name, "dirty_mib"))
    commands = {name: of(name, "reads_per_s") + of(name, "writes_per_s") for name in WORKLOADS}
    return [
        f"Dump level 31 keeps {min(kept.values()):.3g} to {max(kept.values()):.3g} of memory, whatever the host does; "
        f"with user pages (level 23) it keeps {min(user.values()):.3g} to {max(user.values()):.3g}.",
        f"A crash of the {dirty} loses {of(dirty, 'dirty_mib'):.3g} MiB of dirty pages, the most of all; the database, "
        f"which calls fsync, loses {of('database', 'dirty_mib'):.3g} MiB.",
        "Commands of the disk per second: "
        + ", ".join(f"{name} {value:.3g}" for name, value in commands.items())
        + "; packets sent: "
        + ", ".join(f"{name} {of(name, 'sent_per_s'):.4g}" for name in WORKLOADS)
        + ".",
    ]


def draw(rows: Sequence[Row], title: str) -> Any:
    """What is in memory at the crash, one bar per workload."""
    import altair as alt

    values = [
        {"workload": row["workload"], "pages": part, "share": row["estimate"], "order": PAGES.index(part)}
        for row in rows
        if (part := row["measure"].removeprefix("pages_")) in PAGES and part != row["measure"]
    ]
    return (
        alt.Chart(alt.InlineData(values=values))
        .mark_bar(stroke="white", strokeWidth=0.5)
        .encode(
            x=alt.X("share:Q", title="share of dumpable memory", stack="zero", scale=alt.Scale(domain=[0, 1])),
            y=alt.Y("workload:N", sort=list(WORKLOADS), title=None),
            color=alt.Color("pages:N", sort=list(PAGES), legend=alt.Legend(title=None, orient="bottom", columns=6)),
            order=alt.Order("order:Q"),
        )
        .properties(width=620, height=alt.Step(34), title=title)
    )


EXPERIMENT = Experiment(
    name=NAME,
    question="What does a crash meet and destroy, by what the host does?",
    scenarios=("rack-server",),
    expectation=(
        "servers crash with much page cache and a few percent of kernel pages, so that dump level 31 hardly depends on "
        "the workload; a database keeps dirty pages few by fsync, a file server and a build farm lose the most; the "
        "CPUs are mostly idle, but for the build farm."
    ),
    overrides=("host.cpus=16", "micro.span=45 s"),
    points=tuple(Point({"workload": name}, (f"micro.workload={name}",)) for name in WORKLOADS),
    observes=observes,
    shows={
        "pages_cache": "cache",
        "pages_user": "user",
        "pages_free": "free",
        "pages_kernel": "kernel",
        "cpu_user": "CPU user",
        "cpu_kernel": "CPU kernel",
        "dirty_mib": "dirty MiB",
        "reads_per_s": "reads/s",
        "writes_per_s": "writes/s",
        "sent_per_s": "sent/s",
    },
    finds=finds,
    draws=draw,
)

if __name__ == "__main__":
    main(EXPERIMENT)
