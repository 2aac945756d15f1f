"""Cells: what is computed at one design point, whole or not at all.

A cell depends on nothing but its task, so it has the same bytes wherever and whenever it is computed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ksim import __version__
from ksim.errors import KsimError
from ksim.model.loader import Loaded
from ksim.model.scenario import MODEL_VERSION
from ksim.study.compare import Row, Study, compare, compare_variants, run
from ksim.study.replicate import collector_paused
from ksim.study.sweep.plan import How, Task

CELL_COLUMNS = (
    "scenario", "strategy", "baseline", "measure", "unit", "estimate", "half_width", "confidence", "n", "method"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cell:
    """A finished point: the address of its content, rows in CELL_COLUMNS as JSON, and notes."""

    place: int
    key: str
    rows: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """A point that cannot be computed, and why."""

    place: int
    reason: str


@dataclass(frozen=True, slots=True)
class Done:
    """What a worker sends back; the versions tell whether it was one of ours."""

    cells: tuple[Cell | Failed, ...]
    versions: tuple[str, int]


VERSIONS = (__version__, MODEL_VERSION)


def compute(tasks: Sequence[Task]) -> Done:
    """The cells of some tasks, one after the other, in this process."""
    with collector_paused():
        return Done(tuple(map(_cell, tasks)), VERSIONS)


def _cell(task: Task) -> Cell | Failed:
    try:
        loaded = task.loaded()
        study = _study(task.how, loaded)
    except KsimError as error:
        return Failed(task.place, str(error))
    rows = [[row[column] for column in CELL_COLUMNS] for row in study.rows]
    text = json.dumps(rows, allow_nan=False, separators=(",", ":"))
    return Cell(task.place, key_of(task.how, loaded), text, tuple(study.notes))


def _study(how: How, loaded: dict[str, Loaded]) -> Study:
    asked: dict[str, Any] = {
        "engine": how.engine, "asked": how.measures, "precision": how.precision, "rare": how.rare
    }  # fmt: skip
    if how.variants:
        return compare_variants(loaded, **asked)
    if how.strategies:
        return compare(loaded[""], how.strategies, **asked)
    return run(loaded[""], **asked)


def key_of(how: How, loaded: dict[str, Loaded]) -> str:
    """The content address of a cell: the resolved scenarios (seed, model version), and what is asked of them."""
    own: list[Any] = [[name, one.scenario.digest()] for name, one in loaded.items()]
    text = json.dumps([own, how.shown()], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def rows_of(cell: Cell) -> list[Row]:
    """The rows of a cell, as a study has them."""
    return [dict(zip(CELL_COLUMNS, row, strict=True)) for row in json.loads(cell.rows)]
