"""Readable tables for a terminal, a pipe or a Markdown file."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import IO, Literal

from ksim.model.loader import Loaded
from ksim.report.explain import meaning
from ksim.report.phases import PHASES, in_order
from ksim.report.rows import Lookup, Row, parameters_of
from ksim.study.compare import Study
from ksim.units import YEAR_S

PIPE_WIDTH = 200
BAR_WIDTH = 60


def number(value: float) -> str:
    """Four significant digits; shares close to 1 keep their nines."""
    if 0.99 < value < 1.0:
        return f"{value:.6f}"
    if value != 0.0 and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.3g}"
    return f"{value:.4g}"


def _half(row: Row) -> str:
    return "± ?" if row["half_width"] is None else f"± {row['half_width']:.2g}"


def cell(sampled: Row | None, exact: Row | None) -> str:
    """ "sampled ± half-width (exact)"."""
    parts = []
    if sampled is not None:
        parts.append(f"{number(sampled['estimate'])} {_half(sampled)}")
    if exact is not None:
        parts.append(f"({number(exact['estimate'])})" if parts else number(exact["estimate"]))
    return " ".join(parts) or "-"


def legend(rows: Sequence[Row], confidence: float) -> str:
    """What a cell of these rows shows."""
    methods = dict.fromkeys(row["method"].partition(",")[0] for row in rows)
    sampled = next((method for method in methods if method != "exact"), "")
    if not sampled:
        return "exact values"
    interval = f"{sampled} ± half-width of the {100 * confidence:.6g} % interval"
    both = {(row["strategy"], row["measure"], row["method"] == "exact") for row in rows}
    beside = any((strategy, measure, not is_exact) in both for strategy, measure, is_exact in both)
    if beside:
        return f"{interval} (exact value)"
    return f"exact values; with ±: {interval}" if "exact" in methods else interval


def _sampled(row: Row | None) -> tuple[str, str]:
    return (number(row["estimate"]), _half(row)) if row else ("-", "-")


def _exact(row: Row | None) -> str:
    return number(row["estimate"]) if row else "-"


def _unit(*rows: Row | None) -> str:
    return next((str(row["unit"]) for row in rows if row), "")


class Printer:
    """Writes titles, tables and lines; rich draws them, coloured only on a terminal."""

    def __init__(self, file: IO[str] | None = None) -> None:
        from rich.console import Console

        class Pipe(Console):
            def on_broken_pipe(self) -> None:
                raise BrokenPipeError  # for the command line to end quietly; rich itself would exit with 1

        file = file or sys.stdout
        terminal = file.isatty()
        self._console = Pipe(file=file, width=None if terminal else PIPE_WIDTH, highlight=False, soft_wrap=True)

    def line(self, text: str = "") -> None:
        self._console.print(text, markup=False)

    def table(
        self,
        title: str,
        head: Sequence[str],
        body: Sequence[Sequence[str]],
        *,
        justify: Literal["left", "right"] = "right",
    ) -> None:
        """``justify``: how all columns but the first stand; words to the left, numbers to the right."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        table = Table(title=title, box=SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
        for index, name in enumerate(head):
            table.add_column(name, justify="left" if index == 0 else justify, no_wrap=True)
        for row in body:
            table.add_row(*(Text(cell) for cell in row))  # a text: brackets are no markup
        self._console.print(table)


MAIN = {
    "software_outage_s_mean": "s per software outage",
    "software_downtime_min_per_year": "software min/y",
    "downtime_min_per_year": "all min/y",
    "year_downtime_min_p99": "bad year (p99), min",
    "availability": "availability",
    "vmcore_captured": "vmcore captured",
}


def show_comparison(printer: Printer, loaded: Loaded, study: Study) -> None:
    """The answer of ``ksim compare``: costs, differences, phases, what it means, what is assumed."""
    scenario, rows = loaded.scenario, Lookup(study.rows)
    names = list(study.lifecycles)
    sample = ""
    if any(row["method"] != "exact" for row in study.rows):
        years = scenario.horizon / YEAR_S
        sample = f"{scenario.replications} replications of {years:g} y, seed {scenario.seed}; "
    printer.line(f"{scenario.name}: {sample}{legend(study.rows, scenario.confidence)}")
    body = [[name, *(cell(rows.sampled(name, m), rows.exact(name, m)) for m in MAIN)] for name in names]
    kind = study.alternatives
    printer.table(f"What a {kind} costs", [kind, *MAIN.values()], body)
    differences = ("software_downtime_min_per_year_difference", "downtime_min_per_year_difference")
    if len(names) > 1:
        body = [[name, *(cell(rows.sampled(name, m), rows.exact(name, m)) for m in differences)] for name in names[1:]]
        printer.table(f"Difference from {names[0]}, same faults and draws", [kind, "software min/y", "all min/y"], body)
    prefix = "software_outage_s_mean:phase="
    phases = in_order(
        label
        for label in rows.labels(prefix)
        if any((row := rows.best(name, prefix + label)) and row["estimate"] > 0.0 for name in names)
    )
    body = [
        [phase, *(cell(rows.sampled(name, prefix + phase), rows.exact(name, prefix + phase)) for name in names)]
        for phase in phases
    ]
    printer.table("Mean seconds of a software outage, by phase", ["phase", *names], body)
    show_bars(printer, rows, names, phases)
    for sentence in meaning(loaded, study):
        printer.line(sentence)
    show_remarks(printer, loaded, study)


def show_bars(printer: Printer, rows: Lookup, names: Sequence[str], phases: Sequence[str]) -> None:
    """The same phases as stacked bars of characters."""
    prefix = "software_outage_s_mean:phase="

    def seconds(name: str, phase: str) -> float:
        row = rows.best(name, prefix + phase)
        return row["estimate"] if row else 0.0

    longest = max((sum(seconds(name, phase) for phase in phases) for name in names), default=0.0)
    if longest <= 0.0:
        return
    width = max(len(name) for name in names)
    shown = [phase for phase in phases if any(seconds(name, phase) >= longest / BAR_WIDTH / 2 for name in names)]
    for name in names:
        bar, total, drawn = "", 0.0, 0
        for phase in shown:
            total += seconds(name, phase)
            upto = round(total / longest * BAR_WIDTH)
            bar += PHASES.get(phase, "?") * (upto - drawn)
            drawn = upto
        printer.line(f"{name:>{width}} |{bar}")
    legend = "  ".join(f"{PHASES.get(phase, '?')} {phase}" for phase in shown)
    printer.line(f"{'':>{width}}  {legend}; one character is {longest / BAR_WIDTH:.3g} s")
    printer.line()


def show_points(printer: Printer, rows: Sequence[Row], shows: Mapping[str, str]) -> None:
    """One line per design point and alternative; ``shows``: measures by their headings."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(parameters_of(row).values()), []).append(row)
    alternatives = list(dict.fromkeys(row["strategy"] for row in rows))
    body = []
    for values, own in groups.items():
        found = Lookup(own)
        for name in alternatives:
            if not any(found.best(name, measure) for measure in shows):
                continue  # it is no alternative at this point
            cells = [cell(found.sampled(name, measure), found.exact(name, measure)) for measure in shows]
            body.append([*values, *([name] if len(alternatives) > 1 else []), *cells])
    head = [*parameters_of(rows[0]), *(["variant"] if len(alternatives) > 1 else []), *shows.values()]
    confidence = next((row["confidence"] for row in rows if row["method"] != "exact"), 1.0)
    printer.table(legend(rows, confidence), head, body)


def show_measures(printer: Printer, loaded: Loaded, study: Study) -> None:
    """All measures of ``ksim run`` or ``ksim solve``."""
    rows = Lookup(study.rows)
    for name in study.lifecycles:
        measures = [row["measure"] for row in study.rows if row["strategy"] == name]
        found = {m: (rows.sampled(name, m), rows.exact(name, m)) for m in dict.fromkeys(measures)}
        method = next((row["method"] for row, _ in found.values() if row), "")
        title = f"{loaded.scenario.name}, strategy {name}"
        if not method:
            exact = [[m, number(row["estimate"]), row["unit"]] for m, (_, row) in found.items() if row]
            printer.table(title, ["measure", "exact", "unit"], exact)
        elif any(sampled and exact for sampled, exact in found.values()):
            both = [
                [m, *_sampled(sampled), _exact(exact), _unit(sampled, exact)] for m, (sampled, exact) in found.items()
            ]
            printer.table(title, ["measure", method, "half-width", "exact", "unit"], both)
        else:
            each = [
                [m, *(_sampled(sampled) if sampled else (_exact(exact), "")), _unit(sampled, exact)]
                for m, (sampled, exact) in found.items()
            ]
            printer.table(title, ["measure", "value", f"exact, or {method} ±", "unit"], each)
    show_remarks(printer, loaded, study)


def show_remarks(printer: Printer, loaded: Loaded, study: Study) -> None:
    """Notes, and what rests on no measurement."""
    for note in study.notes:
        printer.line(f"Note: {note}.")
    assumed = loaded.assumed()
    if assumed:
        keys = ", ".join(sorted(assumed))
        printer.line(f"ASSUMED, no measurement found ({len(assumed)} values; ksim show gives their ranges): {keys}")


def show_params(printer: Printer, loaded: Loaded) -> None:
    """Every default in force, with range and source."""
    body = []
    for key, param in sorted(loaded.params.items()):
        value = str(param.value) if param.value != "" else "-"
        swept = f"{param.low} .. {param.high}" if param.low or param.high else "-"
        body.append([key, _cut(value, 44), param.unit or "-", swept, _cut(str(param.source), 76)])
    printer.table(f"{loaded.scenario.name}: defaults in force", ["key", "value", "unit", "range", "source"], body)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."
