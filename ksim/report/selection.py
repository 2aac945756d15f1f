"""The best of several configurations, for people."""

from __future__ import annotations

from ksim.report.text import Printer, number
from ksim.study.selection import Selection


def show_selection(printer: Printer, found: Selection, measure: str, indifference: str, probability: float) -> None:
    """Who is the best, how sure that is, what it took, and what the same draws for all have saved."""
    order = sorted(found.means, key=lambda name: (name not in found.survivors, -found.dropped.get(name, 0)))
    body = [
        [name, number(found.means[name]), "left" if name in found.survivors else f"after {found.dropped[name]}"
         if name in found.dropped else "-"]
        for name in order
    ]  # fmt: skip
    head = ["configuration", measure, "dropped"]
    if found.method == "exact":
        printer.table("Exact values", head[:2], [line[:2] for line in body])
        if len(found.survivors) > 1:
            printer.line(f"Equally good, and better than all others: {'; '.join(found.survivors)}.")
        else:
            printer.line(f"{found.winner} is the best, for certain.")
        return
    printer.table(f"{found.method}, {found.replications} replications of all together", head, body)
    if found.winner is None:
        printer.line(f"Not decided yet between {', '.join(found.survivors)}.")
    else:
        printer.line(
            f"{found.winner} is the best with probability {probability:g} or more, if it is better than every other by "
            f"{indifference} or more."
        )
    if found.saving is not None:
        printer.line(f"Independent runs would have taken {found.saving:.3g} times as many replications.")
