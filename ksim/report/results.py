"""What ``ksim results`` shows and exports."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ksim.errors import KsimError, ScenarioError, nearest
from ksim.report.rows import Row, frame
from ksim.report.sweep import csv_text
from ksim.report.text import Printer, number
from ksim.study.results import write
from ksim.study.sweep.store import opened, store_at

if TYPE_CHECKING:
    import pandas as pd


def frame_of(path: Path | str) -> pd.DataFrame:
    """A sweep, by its store or folder, as a tidy DataFrame: one row per design point, alternative and measure.

    Finished or still growing. Raises StoreError for what is no store, or damaged.
    """
    with opened(store_at(Path(path))) as store:
        return frame(list(store.rows()), store.columns)


def show_rows(printer: Printer, rows: Sequence[Row], columns: Sequence[str]) -> None:
    """One line per row."""
    head = [*columns, "strategy", "measure", "estimate", "unit", "n", "method"]
    body = [
        [*(row[c] for c in columns), _name(row), row["measure"], _value(row), row["unit"], str(row["n"]), row["method"]]
        for row in rows
    ]
    printer.table(f"{len(rows)} rows", head, body)


def show_pivot(printer: Printer, rows: Sequence[Row], columns: Sequence[str], by: str) -> None:
    """One line per point and measure, one column per value of ``by``. Raises ScenarioError for what cannot be one."""
    known = [*columns, "strategy", "measure"]
    if by not in known:
        raise ScenarioError(f"--pivot {by}: no such column{nearest(by, known)} (known: {', '.join(known)})")
    methods = {row["method"] for row in rows}
    others = [column for column in known if column != by] + (["method"] if len(methods) > 1 else [])
    values = list(dict.fromkeys(_text(row, by) for row in rows))
    lines: dict[tuple[str, ...], dict[str, str]] = {}
    for row in rows:
        cell = lines.setdefault(tuple(_text(row, column) for column in others), {})
        cell[_text(row, by)] = _value(row)
    body = [[*line, *(cells.get(value, "-") for value in values)] for line, cells in lines.items()]
    printer.table(f"by {by}", [*others, *(value or "(as it stands)" for value in values)], body)


def export_csv(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """The rows as CSV, whole or not at all. Raises OSError."""
    write(path.parent, {path.name: csv_text(columns, rows)})


def export_parquet(path: Path, columns: Sequence[str], rows: Sequence[Row], about: Mapping[str, Any]) -> None:
    """The rows as Parquet, with the provenance in its metadata under "ksim". Raises OSError, and KsimError."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise KsimError("--parquet needs pyarrow: the extra 'parquet'") from None
    table = pyarrow.Table.from_pandas(frame(rows, columns), preserve_index=False)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), b"ksim": json.dumps(about).encode()})
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink)
    write(path.parent, {path.name: sink.getvalue().to_pybytes()})


def _name(row: Row) -> str:
    return f"{row['strategy']} - {row['baseline']}" if row["baseline"] else str(row["strategy"])


def _text(row: Row, column: str) -> str:
    return _name(row) if column == "strategy" else str(row[column])


def _value(row: Row) -> str:
    if row["method"] == "exact":
        return number(row["estimate"])
    return f"{number(row['estimate'])} ± {'?' if row['half_width'] is None else format(row['half_width'], '.2g')}"
