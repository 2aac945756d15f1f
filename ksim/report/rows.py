"""Rows of a study looked up by name, and as a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]
COLUMNS = (
    "scenario", "strategy", "baseline", "measure", "unit", "estimate", "half_width", "confidence", "n", "method"
)  # fmt: skip


def parameters_of(row: Row) -> dict[str, str]:
    """The parameters of the row's design point: what it holds beside the columns of every table."""
    return {key: value for key, value in row.items() if key not in COLUMNS}


class Lookup:
    """Sampled and exact row of (strategy, measure, scenario); without a scenario: of the only one."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._found: dict[tuple[str, str, bool], Row] = {}
        for row in rows:
            self._found[row["strategy"], row["measure"], row["method"] == "exact"] = row

    def sampled(self, strategy: str, measure: str) -> Row | None:
        return self._found.get((strategy, measure, False))

    def exact(self, strategy: str, measure: str) -> Row | None:
        return self._found.get((strategy, measure, True))

    def exact_value(self, strategy: str, measure: str) -> float:
        """The exact value; NaN where there is none (and no comparison with it holds)."""
        row = self.exact(strategy, measure)
        return math.nan if row is None else float(row["estimate"])

    def best(self, strategy: str, measure: str) -> Row | None:
        """Exact where there is such a value, else sampled."""
        return self.exact(strategy, measure) or self.sampled(strategy, measure)

    def labels(self, prefix: str) -> list[str]:
        """What stands behind ``prefix`` in measure names, each once, in order of first appearance."""
        found = {measure.removeprefix(prefix): None for _, measure, _ in self._found if measure.startswith(prefix)}
        return list(found)


def frame(rows: Sequence[Row], parameters: Sequence[str] = ()) -> pd.DataFrame:
    """The rows as a tidy DataFrame: one row per (design point, measure, method), parameters of the design first."""
    import pandas as pd  # heavy: only where a table is really wanted

    return pd.DataFrame(rows, columns=[*parameters, *COLUMNS])


def csv_text(rows: Sequence[Row], parameters: Sequence[str] = ()) -> str:
    """The rows as CSV; floats with all their digits, an absent half-width as an empty field."""
    text: str = frame(rows, parameters).to_csv(index=False, lineterminator="\n")
    return text
