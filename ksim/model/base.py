"""Shipped bases: kinds of hosts that scenarios extend. One file of ``ksim/model/bases`` each."""

from __future__ import annotations

import csv
import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from ksim.model import bases
from ksim.source import Param, Source


@dataclass(frozen=True, slots=True)
class Base:
    """A kind of host: its fault sources, and its values by dotted key where they differ from the general ones."""

    name: str
    summary: str
    faults: tuple[str, ...]
    values: Mapping[str, Param]


@cache
def shipped() -> dict[str, Base]:
    """All shipped bases by name."""
    names = sorted(info.name for info in pkgutil.iter_modules(bases.__path__))
    found = [importlib.import_module(f"{bases.__name__}.{name}").BASE for name in names]
    return {base.name: base for base in found}


def measured(machines: tuple[str, ...], phase: str) -> Param:
    """The real ``systemd-analyze`` lines of these machine classes, as an empirical law of one boot phase.

    ``boot_phases.csv`` holds one line per boot that somebody posted, with its source. Classes: ``rack-server``
    and ``large-server`` are servers whose kernel phase took less and more than 17 s (the gap between the two
    humps of the data; the second hump are machines of 8 sockets and many TB), ``vm`` virtual machines,
    ``debug-kernel`` servers under KASAN, which no base uses. A missing phase is missing, not zero.
    """
    text = resources.files(bases).joinpath("boot_phases.csv").read_text("utf-8")
    rows = [row for row in csv.DictReader(text.splitlines()) if row["machine"] in machines and row[f"{phase}_s"]]
    values = sorted(float(row[f"{phase}_s"]) for row in rows)
    return Param(
        f"empirical({', '.join(f'{value!r} s' for value in values)})",
        "s",
        f"{values[0]!r} s",
        f"{values[-1]!r} s",
        Source(
            f"{len(values)} systemd-analyze lines, {' and '.join(machines)}",
            "ksim/model/bases/boot_phases.csv",
        ),
        f"{phase} phase of the boot",
    )
