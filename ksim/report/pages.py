"""The files of a result: table.csv, summary.md, manifest.json, and pictures where there are phases to show."""

from __future__ import annotations

import io
from collections.abc import Callable

from ksim.model.loader import Loaded
from ksim.report.figure import PREFIX, phase_bars, png, svg
from ksim.report.rows import csv_text
from ksim.report.text import Printer, show_comparison, show_measures
from ksim.study.compare import Study
from ksim.study.results import json_text, manifest


def files_of(loaded: Loaded, study: Study, command: str) -> dict[str, str | bytes]:
    """The content of each file by its name."""
    files: dict[str, str | bytes] = {
        "table.csv": csv_text(study.rows),
        "summary.md": summary(loaded, study, command),
        "manifest.json": json_text(manifest(loaded, command)),
    }
    if len(study.lifecycles) > 1 and any(row["measure"].startswith(PREFIX) for row in study.rows):
        chart = phase_bars(study.rows, f"{loaded.scenario.name}: a software outage by phase")
        files |= {"phases.svg": svg(chart), "phases.png": png(chart)}
    return files


def summary(loaded: Loaded, study: Study, command: str) -> str:
    """The readable answer as Markdown, with the command that makes it again."""
    return f"# {loaded.scenario.name}\n\n`{command}`\n\n{tables(loaded, study)}"


def tables(loaded: Loaded, study: Study) -> str:
    """What the terminal would show, as a block of Markdown."""
    show = show_comparison if len(study.lifecycles) > 1 else show_measures
    return block(lambda printer: show(printer, loaded, study))


def block(show: Callable[[Printer], None]) -> str:
    """What ``show`` prints, as a block of Markdown."""
    text = io.StringIO()
    show(Printer(text))
    body = "\n".join(line.rstrip() for line in text.getvalue().splitlines())
    return f"```text\n{body.strip()}\n```\n"
