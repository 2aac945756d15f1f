"""The store of a sweep: one SQLite file, whole cells only, readable while it is being written.

Tables ``about`` (key, value: what the sweep is, and who made it), ``cell`` (place, key, parameters, rows, notes,
digest) and the view ``result`` (one line per measure), for whoever likes SQL better. Every cell carries the digest of
its own content: a damaged file is named, and never computed over in silence.
"""

from __future__ import annotations

import errno
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from ksim.errors import KsimError
from ksim.study.compare import Row
from ksim.study.replicate import collector_paused
from ksim.study.sweep.cells import CELL_COLUMNS, VERSIONS, Cell, rows_of
from ksim.study.sweep.plan import Plan

STORE = "sweep.sqlite"
APPLICATION = 0x6B73696D
"""PRAGMA application_id: "ksim" in ASCII."""
SCHEMA = 1
"""PRAGMA user_version."""
SEAL = "seal"
"""The entry of ``about`` that is the digest of all others."""
_TABLES = f"""
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE cell (
    place INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    parameters TEXT NOT NULL,
    rows TEXT NOT NULL,
    notes TEXT NOT NULL,
    digest TEXT NOT NULL
);
CREATE VIEW result AS
SELECT cell.place, cell.parameters, {", ".join(f"line.value ->> {i} AS {name}" for i, name in enumerate(CELL_COLUMNS))}
FROM cell, json_each(cell.rows) AS line ORDER BY cell.place, line.key;
"""


class StoreError(KsimError):
    """A store that is damaged, foreign, of another version, in use, or of another study."""


class Store:
    """An open store. ``about``: what the sweep is; use as a context manager."""

    def __init__(self, path: Path, connection: sqlite3.Connection, writes: bool) -> None:
        self.path = path
        self._connection, self._writes = connection, writes
        with named(path):
            entries = dict(connection.execute("SELECT key, value FROM about ORDER BY key"))
        if entries.pop(SEAL, "") != _digest(tuple(entries.items())):
            raise StoreError(f"{path} is damaged: what it says of itself does not match its digest")
        self.about = {key: json.loads(value) for key, value in entries.items()}

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """A writer leaves one file behind, unless somebody is reading just now."""
        if self._writes:
            with suppress(sqlite3.OperationalError):
                self._connection.execute("PRAGMA journal_mode = DELETE")
        self._connection.close()

    def add(self, cells: Iterable[tuple[Cell, Mapping[str, str]]]) -> None:
        """Cells with their parameters, all or none of them. Raises OSError where they cannot be kept."""
        with named(self.path), self._connection:
            self._connection.executemany(
                "INSERT INTO cell VALUES (?, ?, ?, ?, ?, ?)", (_line(cell, own) for cell, own in cells)
            )

    def places(self) -> set[int]:
        """The cells that are there. Raises StoreError if one of them is damaged."""
        with collector_paused():
            return {line[0] for line in self._lines()}

    def cells(self) -> Iterator[tuple[Cell, dict[str, str]]]:
        """Cells with their parameters, in the order of the design. Raises StoreError if one of them is damaged."""
        for place, key, parameters, rows, notes in self._lines():
            yield Cell(place, key, rows, tuple(json.loads(notes))), json.loads(parameters)

    def _lines(self) -> Iterator[tuple[Any, ...]]:
        with named(self.path):
            lines = self._connection.execute(
                "SELECT place, key, parameters, rows, notes, digest FROM cell ORDER BY place"
            )
            for line in lines:
                if _digest(line[:-1]) != line[-1]:
                    raise StoreError(f"{self.path} is damaged: cell {line[0] + 1} does not match its digest")
                yield line[:-1]

    def rows(self) -> Iterator[Row]:
        """All rows, parameters first, in the order of the design."""
        for cell, parameters in self.cells():
            for row in rows_of(cell):
                yield parameters | row

    @property
    def columns(self) -> list[str]:
        """The names of the parameters."""
        return list(self.about["columns"])

    @property
    def points(self) -> int:
        """How many cells there will be."""
        return int(self.about["points"])


def create(path: Path, about: Mapping[str, Any]) -> Store:
    """A new and empty store: whole at its place, or not there. Raises StoreError where it cannot be written."""
    with named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.new")
        beside.unlink(missing_ok=True)
        with closing(_connect(beside)) as connection, connection:
            connection.executescript(
                f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {SCHEMA}; {_TABLES}"
            )
            entries = {key: json.dumps(value, allow_nan=False) for key, value in sorted(about.items())}
            entries[SEAL] = _digest(tuple(entries.items()))
            connection.executemany("INSERT INTO about VALUES (?, ?)", entries.items())
        beside.replace(path)
    return opened(path, to_write=True)


def opened(path: Path, *, to_write: bool = False) -> Store:
    """A store that is there. Raises StoreError for what is none, or damaged, or of another version."""
    if not path.is_file():
        shards = sorted(found.name for found in path.parent.glob("sweep.*of*.sqlite"))
        more = f" (there are shards, for ksim merge: {', '.join(shards[:5])})" if shards else ""
        raise StoreError(f"{path}: there is no such store of a sweep{more}")
    with named(path):
        connection = _connect(path, read_only=not to_write)
        try:
            _check(path, connection)
            if to_write:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
            store = Store(path, connection, to_write)
        except BaseException:
            connection.close()
            raise
    return store


def store_at(path: Path) -> Path:
    """The store itself, of the folder of a sweep."""
    return path / STORE if path.is_dir() else path


def check_is_of(store: Store, plan: Plan) -> None:
    """Raises StoreError where the store belongs to another study, or to another version of ksim."""
    own = tuple(store.about["versions"][name] for name in ("ksim", "model"))
    if own != VERSIONS:
        raise StoreError(
            f"{store.path} was written by ksim {own[0]}, model {own[1]}; this is "
            f"ksim {VERSIONS[0]}, model {VERSIONS[1]}: its cells cannot be mixed, give another --out"
        )
    if store.about["digest"] != plan.digest:
        raise StoreError(
            f"{store.path} belongs to another study ('{store.about['study']}': other scenarios, factors or questions): "
            f"give another --out, or move it away"
        )


@contextmanager
def named(path: Path) -> Iterator[None]:
    """What SQLite or the system finds wrong is said of the file. Raises StoreError; OSError where the disk is full."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            raise OSError(errno.ENOSPC, f"{path}: {error}") from None
        if isinstance(error, sqlite3.OperationalError):
            raise StoreError(f"{path}: {error}") from None
        raise StoreError(f"{path} is damaged, or no store of a sweep: {error}") from None
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from None


def _connect(path: Path, read_only: bool = False) -> sqlite3.Connection:
    mode = "ro" if read_only else "rwc"
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=30.0)


def _check(path: Path, connection: sqlite3.Connection) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    schema = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION:
        raise StoreError(f"{path} is no store of a sweep")
    if schema != SCHEMA:
        raise StoreError(f"{path} has layout {schema}, this ksim reads and writes layout {SCHEMA}")
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise StoreError(f"{path} is damaged: {verdict}")


def _line(cell: Cell, parameters: Mapping[str, str]) -> tuple[Any, ...]:
    line = (cell.place, cell.key, json.dumps(parameters), cell.rows, json.dumps(cell.notes))
    return (*line, _digest(line))


def _digest(line: tuple[Any, ...]) -> str:
    return hashlib.blake2b("\0".join(map(str, line)).encode(), digest_size=16).hexdigest()
