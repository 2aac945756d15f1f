"""``ksim sweep``, ``best``, ``results`` and ``merge``: studies over many points, and what is kept of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ksim.cli.progress import Progress, SweepProgress
from ksim.cli.words import command_line, file_name

if TYPE_CHECKING:
    from ksim.study.sweep.plan import How, Plan
    from ksim.study.sweep.sweep import State

MOST_FAILED = 10
"""Points that are named one by one."""
STUDY_HELP = "STUDY is a file in TOML: a scenario, [factors], and what is asked; with --assumed, a scenario or base."


@click.command(epilog=STUDY_HELP)
@click.argument("study")
@click.option("--assumed", is_flag=True, help="Sweep every value of a scenario that nobody measured, one at a time.")
@click.option("--strategy", "strategies", multiple=True, metavar="NAME", help="With --assumed: compare it; repeat.")
@click.option("--measure", "measures", multiple=True, metavar="NAME", help="With --assumed: ask for it; repeat.")
@click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Override any scenario key; repeat.")
@click.option("--workers", type=click.IntRange(1, 1024), help="Processes; the result is the same for any number.")
@click.option("--executor", default="local", show_default=True, help="local, dask://HOST:PORT or ray://HOST:PORT.")
@click.option("--shard", default="", metavar="I/N", help="Only every N-th point, for batch systems; see ksim merge.")
@click.option("--budget", metavar="TIME", help="Begin nothing new after this time ('10 min'); exit code 3.")
@click.option("--json", "as_json", is_flag=True, help="Print rows and provenance as JSON.")
@click.option("--out", type=click.Path(path_type=Path), help="Directory of the sweep. [results/sweep-NAME]")
def sweep(
    study: str,
    assumed: bool,
    strategies: tuple[str, ...],
    measures: tuple[str, ...],
    overrides: tuple[str, ...],
    workers: int | None,
    executor: str,
    shard: str,
    budget: str | None,
    as_json: bool,
    out: Path | None,
) -> None:
    """Compute every point of a study once, in parallel, and keep each as soon as it is done.

    The same command goes on where it stopped, whatever stopped it. Exit code 3: not all points are there yet.
    """
    from ksim.study.sweep import sweep as study_sweep
    from ksim.study.sweep.study_file import plan_of
    from ksim.units import duration_s

    if (strategies or measures) and not assumed:
        raise click.UsageError("--strategy and --measure go with --assumed; a study file has keys of its own")
    left_out: list[str] = []
    if assumed:
        plan, left_out = _assumed(study, overrides, strategies, measures)
    else:
        plan = plan_of(Path(study), overrides)
    directory = out or Path("results") / f"sweep-{file_name(plan.name)}"
    limit = plan.budget_s if budget is None else duration_s(budget)
    where = study_sweep.Where(executor, workers, shard, limit)
    try:
        with SweepProgress() as report:
            state = study_sweep.sweep(
                plan, directory, where, command=command_line(), report=report, must_matter=not assumed
            )
    except (KeyboardInterrupt, OSError):
        click.echo(f"ksim: what is done is kept in {directory}; the same command goes on", err=True)
        raise
    _finish(plan, directory, shard, state, left_out, as_json)


def _assumed(
    name: str, overrides: tuple[str, ...], strategies: tuple[str, ...], measures: tuple[str, ...]
) -> tuple[Plan, list[str]]:
    from ksim.model.loader import load
    from ksim.study.compare import COMPARED
    from ksim.study.measures import check_name
    from ksim.study.sweep.assumed import assumed_plan
    from ksim.study.sweep.plan import DEFAULT_MEASURES, How, check_strategies

    for measure in measures:
        check_name(measure)
    check_strategies(strategies)
    how: How = How(strategies=strategies or COMPARED, measures=measures or DEFAULT_MEASURES)
    return assumed_plan(load(name, overrides), how)


def _finish(plan: Plan, directory: Path, shard: str, state: State, left_out: list[str], as_json: bool) -> None:
    """The answer, the files beside the store, and what is missing."""
    from ksim.report.sweep import content_of, files_of, show_sweep, told
    from ksim.report.text import Printer
    from ksim.study.replicate import collector_paused
    from ksim.study.results import json_text, write
    from ksim.study.sweep.store import opened
    from ksim.study.sweep.sweep import store_name

    with opened(directory / store_name(shard)) as store, collector_paused():
        content = content_of(store)
        if as_json:
            click.echo(json_text({"schema_version": 1, "manifest": store.about, "rows": content.rows}), nl=False)
        elif not shard and sys.stdout.isatty():
            show_sweep(Printer(), plan, content)
        answer = "" if shard else told(plan, content)
        if not (as_json or sys.stdout.isatty()):
            click.echo(answer, nl=False)
        if not shard and state.is_over:
            files = dict(files_of(content, answer))
            write(directory, files)
            click.echo(f"Written to {directory}: {', '.join([*files, store.path.name])}", err=as_json)
        elif shard:
            click.echo(f"{state.done} of {state.points} points of shard {shard} in {store.path}", err=as_json)
    if left_out:
        click.echo(f"Note: no range is known of {', '.join(left_out)}.", err=True)
    failed = state.failed
    for place, reason in sorted(failed.items())[:MOST_FAILED]:
        click.echo(f"ksim: {plan.named(place)}: {reason}", err=True)
    if len(failed) > MOST_FAILED:
        click.echo(f"ksim: ... and {len(failed) - MOST_FAILED} more points like that", err=True)
    if not state.is_whole:
        how = "for the others, the study has to change" if state.is_over else "the same command goes on"
        click.echo(f"ksim: {state.done} of {state.points} points are done; {how}", err=True)
        raise SystemExit(3)


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.argument("shards", nargs=-1, required=True, type=click.Path(path_type=Path))
def merge(target: Path, shards: tuple[Path, ...]) -> None:
    """Put the cells of SHARDS (files of ksim sweep --shard) into TARGET, a new or an older store of the same study.

    Afterwards ksim sweep in the folder of TARGET computes what is still missing, and writes the tables.
    """
    from ksim.study.sweep import sweep as study_sweep
    from ksim.study.sweep.store import store_at

    done, points = study_sweep.merge(store_at(target), [store_at(shard) for shard in shards])
    click.echo(f"{done} of {points} points in {store_at(target)}")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--where", "conditions", metavar="COLUMN=VALUE", multiple=True, help="Only such rows; repeat.")
@click.option("--measure", "measures", multiple=True, metavar="NAME", help="Only this measure; repeat.")
@click.option("--pivot", metavar="COLUMN", help="One column for each value of this parameter (or of strategy).")
@click.option("--csv", "csv_path", type=click.Path(path_type=Path), help="Write the rows as CSV.")
@click.option("--parquet", "parquet_path", type=click.Path(path_type=Path), help="Write the rows as Parquet.")
@click.option("--json", "as_json", is_flag=True, help="Print rows and provenance as JSON.")
def results(
    file: Path,
    conditions: tuple[str, ...],
    measures: tuple[str, ...],
    pivot: str | None,
    csv_path: Path | None,
    parquet_path: Path | None,
    as_json: bool,
) -> None:
    """Show, filter and export what a sweep has computed: FILE is its store or its folder, finished or still growing."""
    from ksim.report.results import export_csv, export_parquet, show_pivot, show_rows
    from ksim.report.text import Printer
    from ksim.study.results import json_text
    from ksim.study.sweep.filter import chosen
    from ksim.study.sweep.store import opened, store_at

    if as_json and pivot is not None:
        raise click.UsageError("--pivot is a table for people: leave --json out")
    for path in (csv_path, parquet_path):
        if path is not None and path.resolve() == store_at(file).resolve():
            raise click.UsageError(f"{path} is the store itself")
    with opened(store_at(file)) as store:
        done = len(store.places())
        if done < store.points:
            click.echo(f"{done} of {store.points} points are done so far", err=True)
        rows = chosen(store, [_condition(text) for text in conditions], measures)
        about: dict[str, Any] = store.about
        columns = store.columns
    if csv_path is not None:
        export_csv(csv_path, columns, rows)
    if parquet_path is not None:
        export_parquet(parquet_path, columns, rows, about)
    if as_json:
        click.echo(json_text({"schema_version": 1, "manifest": about, "rows": rows}), nl=False)
    elif pivot is not None:
        show_pivot(Printer(), rows, columns, pivot)
    elif csv_path is None and parquet_path is None:
        show_rows(Printer(), rows, columns)


@click.command(epilog=STUDY_HELP)
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--measure", required=True, metavar="NAME", help="What decides, a mean such as downtime_min_per_year.")
@click.option("--indifference", required=True, metavar="DIFFERENCE", help="What does not matter, as '0.1 min/y'.")
@click.option("--probability", default=0.95, show_default=True, help="Of a correct selection.")
@click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Override any scenario key; repeat.")
@click.option("--workers", type=click.IntRange(1, 1024), help="Threads; the result is the same for any number.")
@click.option("--budget", metavar="TIME", help="Stop after this time ('10 min'); exit code 3 if none is the best yet.")
@click.option("--json", "as_json", is_flag=True, help="Print the selection as JSON.")
def best(
    study: Path,
    measure: str,
    indifference: str,
    probability: float,
    overrides: tuple[str, ...],
    workers: int | None,
    budget: str | None,
    as_json: bool,
) -> None:
    """Select the best of all configurations of a study: every point with every strategy or variant.

    Exact where that is possible, else by a procedure that is right with the stated probability if the best is better
    than every other by more than what does not matter.
    """
    from dataclasses import asdict
    from time import monotonic

    from ksim.report.selection import show_selection
    from ksim.report.text import Printer
    from ksim.study.results import json_text
    from ksim.study.sweep.best import best_of
    from ksim.study.sweep.study_file import plan_of
    from ksim.units import duration_s

    plan = plan_of(study, overrides)
    end = monotonic() + duration_s(budget) if budget else float("inf")
    with Progress() as progress:
        found = best_of(
            plan, measure, indifference, probability=probability, go_on=lambda: monotonic() < end,
            workers=workers, progress=progress,
        )  # fmt: skip
    if as_json:
        click.echo(json_text({"schema_version": 1, "measure": measure, "probability": probability, **asdict(found)}))
    else:
        show_selection(Printer(), found, measure, indifference, probability)
    if found.winner is None:
        raise SystemExit(3)


def _condition(text: str) -> tuple[str, str]:
    column, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--where {text[:80]!r}: expected COLUMN=VALUE")
    return column, value
