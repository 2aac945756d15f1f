"""A sweep for people: the table of all points, what stands out in it, and the files of its folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from ksim.report.pages import block
from ksim.report.rows import COLUMNS, Row
from ksim.report.text import Printer, show_points
from ksim.study.rarities import question_of
from ksim.study.results import json_text
from ksim.study.sweep.cells import rows_of
from ksim.study.sweep.plan import Plan, alternatives
from ksim.study.sweep.store import Store
from ksim.study.sweep.verdict import HIGHER_IS_BETTER, influences, objective_of, winners

MOST_COLUMNS = 4
MOST_NOTES = 8
MOST_POINTS = 40
"""Points in a summary; ``ksim results`` shows more."""


class Content(NamedTuple):
    """A store that was read once: its cells are many."""

    store: Store
    rows: list[Row]
    points: int
    notes: dict[str, int]
    """How many points have said it."""


def content_of(store: Store) -> Content:
    """All of a store. Raises StoreError if it is damaged."""
    rows: list[Row] = []
    notes: dict[str, int] = {}
    points = 0
    for cell, parameters in store.cells():
        rows += [parameters | row for row in rows_of(cell)]
        for note in cell.notes:
            notes[note] = notes.get(note, 0) + 1
        points += 1
    return Content(store, rows, points, notes)


def files_of(content: Content, answer: str) -> Iterator[tuple[str, str]]:
    """(name, content) of each file beside the store; ``answer``: what was told."""
    store = content.store
    yield "table.csv", csv_text(store.columns, content.rows)
    yield "summary.md", f"# {store.about['study']}\n\n`{store.about['command']}`\n\n```text\n{answer}```\n"
    yield "manifest.json", json_text({key: value for key, value in store.about.items() if key != "columns"})


def csv_text(columns: Sequence[str], rows: Iterable[Row]) -> str:
    """Rows as CSV, parameters first; floats with all their digits, an absent half-width as an empty field."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = [*columns, *COLUMNS]
    writer.writerow(head)
    writer.writerows([row[column] for column in head] for row in rows)
    return text.getvalue()


def told(plan: Plan, content: Content) -> str:
    """What a terminal would show, as text."""
    return block(lambda printer: show_sweep(printer, plan, content)).removeprefix("```text\n").removesuffix("```\n")


def show_sweep(printer: Printer, plan: Plan, content: Content) -> None:
    """What a sweep says: who wins where, which factors decide, and the first points."""
    rows, store = content.rows, content.store
    measure = objective_of(plan.how)
    printer.line(f"{plan.name}: {plan.design.kind}, {content.points} of {store.points} points, measured by {measure}")
    show_winners(printer, plan, rows, measure)
    show_influences(printer, plan, rows, measure)
    if rows and plan.design.kind != "one-at-a-time":  # whose table of factors says all of it
        shown = first_points(rows, store.columns)
        asked = [*plan.how.measures, *(question_of(text).measure for text in plan.how.rare)]
        show_points(printer, [_named(row, plan) for row in shown], {name: name for name in asked})
        if content.points > MOST_POINTS:
            printer.line(f"The first {MOST_POINTS} points; ksim results {store.path} shows all.")
    for note, many in list(content.notes.items())[:MOST_NOTES]:
        printer.line(f"Note: {note}." if many == content.points else f"Note, of {many} points: {note}.")
    if len(content.notes) > MOST_NOTES:
        printer.line(f"... and {len(content.notes) - MOST_NOTES} more notes on single points, in {store.path}.")


def _named(row: Row, plan: Plan) -> Row:
    """Many factors in one column, so that the table stays readable."""
    if len(plan.columns) <= MOST_COLUMNS:
        return row
    varied = ", ".join(f"{column}={row[column]}" for column in plan.columns if row[column] != "")
    own = {key: value for key, value in row.items() if key not in plan.columns}
    return {"point": varied or "as it stands"} | own


def first_points(rows: Sequence[Row], columns: Sequence[str]) -> list[Row]:
    seen: dict[tuple[Any, ...], None] = {}
    found = []
    for row in rows:
        point = tuple(row[column] for column in columns)
        if point not in seen and len(seen) == MOST_POINTS:
            break
        seen[point] = None
        found.append(row)
    return [row for row in found if not row["baseline"]]


def show_winners(printer: Printer, plan: Plan, rows: Sequence[Row], measure: str) -> None:
    """At how many points each alternative is the best, and where that is not sure."""
    found = winners(rows, plan.columns, measure, alternatives(plan.how))
    if not found:
        return
    way = "highest" if measure in HIGHER_IS_BETTER else "lowest"
    counts: dict[str, int] = {}
    for winner in found.values():
        name = winner.names[0] if len(winner.names) == 1 else f"equally {' and '.join(winner.names)}"
        counts[name] = counts.get(name, 0) + 1
    best = ", ".join(f"{name} at {many} of {len(found)}" for name, many in sorted(counts.items(), key=lambda i: -i[1]))
    printer.line(f"Best ({way} {measure}): {best} points.")
    unsure = sum(len(winner.names) == 1 and not winner.is_sure for winner in found.values())
    if unsure:
        printer.line(f"At {unsure} of them the interval of another reaches the best: more replications would tell.")


def show_influences(printer: Printer, plan: Plan, rows: Sequence[Row], measure: str) -> None:
    """What each factor moves, the strongest first."""
    for influence in influences(plan, rows, measure):
        body = [[factor, *cells] for factor, cells in influence.lines]
        printer.table(influence.title, ["factor", *influence.head], body)
        for sentence in influence.says:
            printer.line(sentence)
