"""Runs an experiment as a script and writes its folder under results/."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from ksim.cli import Progress, exit_with
from ksim.report.figure import phase_bars, png, svg
from ksim.report.pages import tables
from ksim.report.rows import csv_text
from ksim.study.experiment import Experiment


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
    from ksim.model.loader import load
    from ksim.study.compare import compare
    from ksim.study.results import json_text, manifest

    command = " ".join([f"./run python experiments/{experiment.name}.py", *(f"--set {text}" for text in overrides)])
    rows: list[dict[str, Any]] = []
    parts = [f"# {experiment.question}\n\n`{command}`\n\nExpected before the run: {experiment.expectation}\n"]
    manifests: dict[str, Any] = {}
    for name in experiment.scenarios:
        loaded = load(name, (*experiment.overrides, *overrides))
        with Progress() as progress:
            study = compare(loaded, experiment.strategies, workers=workers, progress=progress)
        rows += study.rows
        parts.append(f"## {name}\n\n{tables(loaded, study)}")
        manifests[name] = manifest(loaded, command)
    chart = phase_bars(rows, experiment.question)
    return {
        "table.csv": csv_text(rows),
        "summary.md": "\n".join(parts),
        "manifest.json": json_text({"experiment": experiment.name, "command": command, "scenarios": manifests}),
        "phases.svg": svg(chart),
        "phases.png": png(chart),
    }
