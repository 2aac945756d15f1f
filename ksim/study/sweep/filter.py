"""Rows of a store by parameter, column and measure."""

from __future__ import annotations

from collections.abc import Sequence

from ksim.errors import ScenarioError, nearest
from ksim.study.compare import Row
from ksim.study.sweep.cells import CELL_COLUMNS
from ksim.study.sweep.store import Store


def chosen(store: Store, conditions: Sequence[tuple[str, str]] = (), measures: Sequence[str] = ()) -> list[Row]:
    """The rows whose columns have these values, as texts; all where nothing is asked for.

    Raises ScenarioError for a column, a value or a measure that no row has: an empty table would say nothing.
    """
    rows = list(store.rows())
    known = [*store.columns, *CELL_COLUMNS]
    wanted = [*conditions, *(("measure", measure) for measure in measures)]
    for column, value in wanted:
        if column not in known:
            raise ScenarioError(f"no column '{column}'{nearest(column, known)} (known: {', '.join(known)})")
        values = list(dict.fromkeys(str(row[column]) for row in rows))
        if value not in values:
            shown = ", ".join(values[:20]) + (", ..." if len(values) > 20 else "")
            raise ScenarioError(f"no row has {column}={value}{nearest(value, values)} (there are: {shown})")
    for column, value in conditions:
        rows = [row for row in rows if str(row[column]) == value]
    rows = [row for row in rows if not measures or row["measure"] in measures]
    if wanted and not rows:
        raise ScenarioError("no row has all of that together")
    return rows
