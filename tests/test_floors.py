"""The architecture, enforced: who may import whom, and what the lower floors may never touch."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

KSIM = Path(__file__).parents[1] / "ksim"
FLOOR = {
    "units": 0, "source": 0, "errors": 0,
    "linux": 1, "chance": 1, "evidence": 1,
    "model": 2,
    "micro": 3, "macro": 3, "compiled": 3, "exact": 3,
    "study": 4, "hosts": 4,
    "report": 5, "cli": 5, "__main__": 5,
}  # fmt: skip
FILES = sorted(KSIM.rglob("*.py"))
FORBIDDEN_BELOW_4 = {"random", "time", "datetime", "os", "secrets", "uuid"}
SIMPY_IS_FOR = {"micro", "macro"}


def room(path: Path) -> str:
    """The top-level part of ksim that a file belongs to; "" for ksim/__init__.py."""
    part = path.relative_to(KSIM).parts[0]
    return "" if part == "__init__.py" else part.removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports, also inside functions and under TYPE_CHECKING."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(KSIM)))
def test_imports_go_down(path: Path) -> None:
    here = room(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "ksim" or len(parts) < 2 or parts[1] == "__version__":
            continue
        assert here, "ksim/__init__.py is a map and imports nothing"
        there = parts[1]
        assert there in FLOOR, f"{path}: {there} has no floor"
        if there != here:
            above = FLOOR[there] > FLOOR[here]
            sibling = FLOOR[there] == FLOOR[here] == 3
            problem = f"{path} (floor {FLOOR[here]}) imports {name} (floor {FLOOR[there]})"
            assert not above, problem
            assert not sibling, problem


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(KSIM)))
def test_lower_floors_are_pure(path: Path) -> None:
    """No clock, no global chance, no environment below the studies; SimPy only in its readers."""
    here = room(path)
    tops = {name.split(".")[0] for name in imports(path)}
    if "simpy" in tops:
        assert here in SIMPY_IS_FOR
    if FLOOR.get(here, 0) < 4:
        impure = {name for name in imports(path) if name.split(".")[0] in FORBIDDEN_BELOW_4} - {"os.path"}
        assert not impure, f"{path} imports {impure}"
        calls = {n.func.id for n in ast.walk(ast.parse(path.read_text("utf-8")))
                 if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}  # fmt: skip
        assert not calls & {"hash", "id", "eval", "exec"}


@pytest.mark.parametrize("package", ["macro", "exact"])
def test_readers_name_no_fault_and_no_strategy(package: str) -> None:
    """A walker or solver that knows a name would be a special case."""
    names = {p.stem for folder in ("faults", "strategies") for p in (KSIM / "model" / folder).glob("*.py")}
    for path in (KSIM / package).glob("*.py"):
        texts = {n.value for n in ast.walk(ast.parse(path.read_text("utf-8")))
                 if isinstance(n, ast.Constant) and isinstance(n.value, str)}  # fmt: skip
        assert not texts & (names - {"__init__"}), path
