"""The cache of machine code: paid once, never believed when it is damaged or old, and never needed."""

import importlib.util
import itertools
from pathlib import Path

import pytest
from numba.core import caching

from ksim.compiled import jit

CODE = """
from ksim.compiled.jit import jit, kernel

@jit
def doubled(x):
    return 2.0 * x

@kernel
def answer(x):
    return doubled(x) + 1.0
"""
numbers = itertools.count()


@pytest.fixture
def answer(tmp_path: Path):
    """Imports a module with a kernel as a new process would; returns what it says, and whether the cache knew it."""
    file = tmp_path / "code.py"
    file.write_text(CODE)

    def ask(x: float = 20.5) -> tuple[float, bool]:
        spec = importlib.util.spec_from_file_location("code_under_test", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found = module.answer(x)
        return found, bool(module.answer.stats.cache_hits)

    return ask


def files(tmp_path: Path, pattern: str) -> list[Path]:
    return sorted(tmp_path.glob(f"**/{pattern}"))


def test_machine_code_is_made_once(answer) -> None:
    assert answer() == (42.0, False)
    assert answer() == (42.0, True)
    assert answer(1.0) == (3.0, True)


@pytest.mark.parametrize("pattern", ["*.nbi", "*.nbc"])
@pytest.mark.parametrize("damage", ["empty", "cut", "a bit", "other"])
def test_damaged_files_are_made_anew(answer, tmp_path: Path, pattern: str, damage: str) -> None:
    answer()
    (file,) = files(tmp_path, pattern)
    text = file.read_bytes()
    middle = len(text) // 2
    file.write_bytes(
        {
            "empty": b"",
            "cut": text[:middle],
            "a bit": text[:middle] + bytes([text[middle] ^ 1]) + text[middle + 1 :],
            "other": b"not a cache\n",
        }[damage]
    )
    found, knew = answer()
    assert found == 42.0
    assert not knew or (pattern, damage) == ("*.nbi", "a bit")  # a bit of the index may be one that nobody reads
    assert answer() == (42.0, True)


def test_every_byte_of_the_code_counts(answer, tmp_path: Path) -> None:
    answer()
    (file,) = files(tmp_path, "*.nbc")
    text = file.read_bytes()
    for place in range(0, len(text), len(text) // 12):
        file.write_bytes(text[:place] + bytes([text[place] ^ 0x10]) + text[place + 1 :])
        assert answer()[0] == 42.0
        file.write_bytes(text)


def test_code_of_other_sources_is_stale(answer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert answer() == (42.0, False)
    monkeypatch.setattr(jit, "sources", lambda: "another version of the files")
    assert answer() == (42.0, False)
    assert answer() == (42.0, True)


def test_sources_are_all_files_of_machine_code() -> None:
    named = {file.name for file in Path(jit.__file__).parent.glob("*.py")}
    assert {"draws.py", "scalar.py", "tally.py", "walk.py", "program.py"} <= named
    assert len(jit.sources()) == 32


def test_nowhere_to_write(answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "__pycache__").write_text("a file where a directory should be")
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [caching.InTreeCacheLocator])
    assert answer() == (42.0, False)
    assert answer() == (42.0, False)


def test_a_full_disk(answer, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(jit.Checked, "_save_data", full)
    assert answer() == (42.0, False)
    monkeypatch.undo()
    assert answer() == (42.0, False)  # the index speaks of code that is not there
    assert answer() == (42.0, True)


def test_a_numba_that_keeps_its_code_in_another_way(answer, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise AttributeError("_cache_path")

    monkeypatch.setattr(jit.Kept, "__init__", gone)
    assert answer() == (42.0, False)
