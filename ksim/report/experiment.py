"""Runs an experiment as a script and writes its folder under results/."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click

from ksim.cli import exit_with
from ksim.cli.progress import Progress
from ksim.model.loader import Loaded, load
from ksim.report.figure import phase_bars, png, svg
from ksim.report.pages import block, tables
from ksim.report.rows import Row, csv_text
from ksim.report.text import show_points
from ksim.study.compare import Study, compare, compare_variants
from ksim.study.experiment import HERE, Experiment, Point
from ksim.study.results import json_text, manifest


def main(experiment: Experiment) -> NoReturn:
    """The command line of an experiment script: ``--out``, ``--workers``, ``--set KEY=VALUE``."""

    @click.command(help=experiment.question)
    @click.option(
        "--out", type=click.Path(path_type=Path), default=Path("results") / experiment.name, show_default=True
    )
    @click.option("--workers", type=click.IntRange(1, 1024))
    @click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Override any scenario key; repeat.")
    def command(out: Path, workers: int | None, overrides: tuple[str, ...]) -> None:
        from ksim.study.results import write

        files = run(experiment, overrides, workers)
        summary = files["summary.md"]
        click.echo(summary.decode() if isinstance(summary, bytes) else summary, nl=False)
        write(out, files)
        click.echo(f"Written to {out}: {', '.join(files)}", err=True)

    exit_with(lambda: command.main(prog_name=Path(sys.argv[0]).name, standalone_mode=False))


def run(experiment: Experiment, overrides: tuple[str, ...] = (), workers: int | None = 1) -> dict[str, str | bytes]:
    """The content of each result file by its name."""
    command = " ".join([f"./run python experiments/{experiment.name}.py", *(f"--set {text}" for text in overrides)])
    rows: list[Row] = []
    parts = [f"# {experiment.question}\n\n`{command}`\n\nExpected before the run: {experiment.expectation}\n"]
    manifests: dict[str, Any] = {}
    for name in experiment.scenarios:
        own: list[Row] = []
        for point in experiment.points:
            loaded, study = _study(experiment, point, name, overrides, workers)
            own += [dict(point.parameters) | row for row in study.rows]
            manifests[_label(Path(point.scenario).stem or name, point)] = manifest(loaded, command)
            if point == HERE:
                parts.append(f"## {name}\n\n{tables(loaded, study)}")
        if experiment.shows:
            table = block(partial(show_points, rows=own, shows=experiment.shows))
            parts.append(f"## {name}: point by point\n\n{table}")
        rows += own
    if experiment.tells is not None:
        parts.append(experiment.tells(rows))
    if experiment.finds is not None:
        parts.append("## What it says\n\n" + "\n".join(f"- {text}" for text in experiment.finds(rows)) + "\n")
    chart = (experiment.draws or phase_bars)(rows, experiment.question)
    return {
        "table.csv": csv_text(rows, list(experiment.points[0].parameters)),
        "summary.md": "\n".join(parts),
        "manifest.json": json_text({"experiment": experiment.name, "command": command, "scenarios": manifests}),
        "phases.svg" if experiment.draws is None else "figure.svg": svg(chart),
        "phases.png" if experiment.draws is None else "figure.png": png(chart),
    }


def _study(
    experiment: Experiment, point: Point, name: str, overrides: tuple[str, ...], workers: int | None
) -> tuple[Loaded, Study]:
    name, observes = point.scenario or name, point.observes or experiment.observes
    loaded = load(name, (*experiment.overrides, *point.overrides, *overrides))
    with Progress() as progress:
        variants = {
            label: load(name, (*experiment.overrides, *point.overrides, *own, *overrides))
            for label, own in experiment.variants.items()
        }
        if observes is not None:
            return loaded, observes(variants or {name: loaded}, workers, progress)
        how: dict[str, Any] = {
            "engine": experiment.engine, "tails": experiment.tails, "workers": workers, "progress": progress
        }  # fmt: skip
        if not variants:
            return loaded, compare(loaded, experiment.strategies, **how)
        return loaded, compare_variants(variants, **how)


def _label(name: str, point: Point) -> str:
    return ", ".join([name, *(f"{key}={value}" for key, value in point.parameters.items())])
