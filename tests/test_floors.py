"""The floors of ksim/__init__.py, enforced: a floor imports only from floors below it."""

import ast
from pathlib import Path

import networkx as nx
import pytest

TOP = Path(__file__).resolve().parents[1]
PACKAGE = TOP / "ksim"

FLOORS = {
    **dict.fromkeys(("units", "source", "errors"), 0),
    **dict.fromkeys(("linux", "chance", "evidence"), 1),
    "model": 2,
    **dict.fromkeys(("micro", "macro", "compiled", "exact"), 3),
    **dict.fromkeys(("study", "hosts"), 4),
    **dict.fromkeys(("report", "cli", "__main__"), 5),
}
ALOOF = 3
"""Siblings on this floor never import each other; on the others they may, but not in a circle."""
MAY_IMPORT_SIMPY = {"macro", "micro"}
BANNED_MODULES = {"random", "time", "datetime", "os", "secrets", "uuid"}
"""Floors 0 to 3 know no clock, no environment and no randomness that has no address."""
BANNED_CALLS = {"hash", "id", "eval", "exec"}
BANNED_ATTRIBUTES = {"now", "utcnow", "today", "environ", "getenv", "default_rng", "seed", "urandom"}

FILES = sorted(PACKAGE.rglob("*.py"))


def unit_of(file: Path) -> str:
    """The first name below ksim: a package or a single module; empty for ksim/__init__.py."""
    first = file.relative_to(PACKAGE).parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def modules_named(file: Path, node: ast.AST) -> list[str]:
    """Absolute names of the modules that an import statement names (of anything in them, too)."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            package = ["ksim", *file.relative_to(PACKAGE).parts[:-1]]
            base = ".".join([*package[: len(package) - node.level + 1], *([base] if base else [])])
        return [f"{base}.{alias.name}" for alias in node.names]
    return []


def imports(file: Path) -> list[tuple[int, str]]:
    """(line, module) of every import in a file, wherever it stands."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return [
        (node.lineno, name) for node in ast.walk(tree) if hasattr(node, "lineno") for name in modules_named(file, node)
    ]


def unit_named(module: str) -> str | None:
    """The part of ksim that a module name belongs to; None outside ksim."""
    parts = module.split(".")
    if parts[0] != "ksim":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in FLOORS else ""


def problems_of_imports(file: Path) -> list[str]:
    here, found = unit_of(file), []
    for line, module in imports(file):
        there = unit_named(module)
        if there in (None, "", here) or here == "":
            continue
        upward = FLOORS[there] > FLOORS[here]
        if upward or (FLOORS[there] == FLOORS[here] == ALOOF):
            kind = "an upper floor" if upward else "a sibling reader"
            found.append(f"{file.relative_to(TOP)}:{line}: ksim.{here} imports {module}, {kind}")
    return found


def test_every_part_of_ksim_has_a_floor() -> None:
    assert {unit_of(file) for file in FILES} - {""} <= set(FLOORS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_lead_downwards(file: Path) -> None:
    assert problems_of_imports(file) == []


def test_the_map_imports_nothing_of_ksim() -> None:
    assert [name for _, name in imports(PACKAGE / "__init__.py") if unit_named(name) is not None] == []


def test_siblings_import_each_other_in_no_circle() -> None:
    graph = nx.DiGraph()
    for file in FILES:
        for _, module in imports(file):
            here, there = unit_of(file), unit_named(module)
            if there and here and here != there:
                graph.add_edge(here, there)
    assert list(nx.simple_cycles(graph)) == []


def test_simpy_is_known_only_to_the_simulated_readers() -> None:
    users = {unit_of(file) for file in FILES for _, module in imports(file) if module.split(".")[0] == "simpy"}
    assert users <= MAY_IMPORT_SIMPY
    assert "macro" in users


def impurities(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and not getattr(node, "level", 0):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [f"{node.lineno}: import {n}" for n in names if n.split(".")[0] in BANNED_MODULES]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BANNED_CALLS:
            found.append(f"{node.lineno}: {node.func.id}()")
        elif isinstance(node, ast.Attribute) and node.attr in BANNED_ATTRIBUTES:
            # env.now is the clock of the simulation, scenario.seed is a value: only calls and modules are meant
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            if owner in {"datetime", "date", "os", "random", "np", "numpy"} or _is_np_random(node.value):
                found.append(f"{node.lineno}: {owner}.{node.attr}")
    return found


def _is_np_random(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "random"


@pytest.mark.parametrize(
    "file", [f for f in FILES if FLOORS.get(unit_of(f), 0) <= 3], ids=lambda file: str(file.relative_to(PACKAGE))
)
def test_floors_0_to_3_are_pure(file: Path) -> None:
    assert impurities(ast.parse(file.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "text",
    ["import time", "from random import random", "from datetime import datetime", "import os.path", "hash(x)"]
    + ["np.random.default_rng()", "np.random.seed(1)", "def f():\n    import time"],
)
def test_impurities_are_found(text: str) -> None:
    assert len(impurities(ast.parse(text))) == 1


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("import ksim.study", "ksim.study"),
        ("from ksim import cli", "ksim.cli"),
        ("from ksim.study.compare import compare", "ksim.study.compare.compare"),
        ("from ..study import compare", "ksim.study.compare"),
        ("from .. import report", "ksim.report"),
    ],
)
def test_upward_imports_are_found(text: str, named: str) -> None:
    file = PACKAGE / "macro" / "walker.py"
    assert modules_named(file, ast.parse(text).body[0]) == [named]
    assert FLOORS[unit_named(named) or ""] > FLOORS[unit_of(file)]
