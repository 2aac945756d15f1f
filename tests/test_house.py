"""The house rules that a machine can check: linter, formatter, types, headers, sizes, leaks."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *words], cwd=TOP, capture_output=True, text=True, check=False)


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=TOP, capture_output=True, text=True, check=True)
    return [TOP / line for line in listed.stdout.splitlines() if (TOP / line).is_file()]


@pytest.mark.parametrize("words", [("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",)], ids=" ".join)
def test_checker_is_clean(words: tuple[str, ...]) -> None:
    if words == ("mypy",) and sys.version_info[:2] > (3, 11):
        pytest.skip("types are checked with the packages of Python 3.11; later ones get other stubs of NumPy")
    done = run(*words)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("folder", ["faults", "strategies", "families"])
def test_models_say_what_they_model(folder: str) -> None:
    for path in (TOP / "ksim" / "model" / folder).glob("*.py"):
        if path.name != "__init__.py":
            text = path.read_text("utf-8")
            assert "Sources  " in text.split('"""')[1], path


def test_no_file_is_too_large() -> None:
    for path in (TOP / "ksim").rglob("*.py"):
        assert len(path.read_text("utf-8").splitlines()) <= 400, path


def test_typed_marker_is_there() -> None:
    assert (TOP / "ksim" / "py.typed").exists()


def test_nothing_of_one_machine_or_registry_is_committed() -> None:
    """No registry host and no path of a developer's machine, in any tracked text file."""
    leak = re.compile(
        "|".join(["pypi" + r"\.org", "pythonhosted" + r"\.org", "/ro" + "ot/", "/wo" + "rk/", "/ho" + "me/"])
    )
    for path in tracked():
        if path.suffix not in (".png", ".svg"):
            found = leak.search(path.read_text("utf-8", errors="replace"))
            assert found is None, f"{path}: {found and found[0]}"
