"""Scenario files for tests, and the checks that hold for every message of the loader."""

from __future__ import annotations

from pathlib import Path

import pytest

from ksim.errors import ScenarioError
from ksim.model.layers import SHOWN_LETTERS, SHOWN_PROBLEMS
from ksim.model.loader import load


def write(folder: Path, text: str | bytes, name: str = "s.toml") -> str:
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return str(folder / name)


def message(path: str, *overrides: str) -> str:
    """The message of the refusal, after the checks that hold for all of them."""
    with pytest.raises(ScenarioError) as caught:
        load(path, overrides)
    text = str(caught.value)
    lines = text.split("\n")
    assert text.strip()
    assert len(lines) <= SHOWN_PROBLEMS + 1
    assert all(line.strip() and line.isprintable() and len(line) <= SHOWN_LETTERS for line in lines), text
    for word in ("pydantic", "dictionary", "Traceback", "set_int_max_str_digits", "instance of"):
        assert word not in text
    return text
