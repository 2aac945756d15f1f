"""Texts of the command line: settings, file names, and the command itself."""

from __future__ import annotations

import shlex
import sys

import click

NO_RESULT = ("--workers", "--out", "--executor", "--shard", "--budget")
"""Options that change nothing in the result."""


def settings_of(variant: str) -> tuple[str, ...]:
    """The ``KEY=VALUE`` texts of a variant, which semicolons part."""
    return tuple(text.strip() for text in variant.split(";") if text.strip())


def precision_of(texts: tuple[str, ...], engine: str) -> dict[str, str]:
    """Targets by measure, of "MEASURE=TARGET" texts. Raises click's UsageError, and ScenarioError for a wrong name."""
    found: dict[str, str] = {}
    for text in texts:
        measure, equals, target = (part.strip() for part in text.partition("="))
        if not equals:
            raise click.UsageError(f"--precision {text[:80]!r}: expected MEASURE=TARGET")
        if engine == "exact":
            raise click.UsageError("--precision: exact values have no half-width")
        from ksim.study.measures import check_name  # late, as everything that is heavy

        check_name(measure)
        found[measure] = target
    return found


def file_name(name: str) -> str:
    """A name that any file system takes."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)[:80]


def command_line() -> str:
    """The command line without the options that change nothing in the result."""
    words, skip = ["ksim"], False
    for word in sys.argv[1:]:
        if skip:
            skip = False
        elif word in NO_RESULT:
            skip = True
        elif not word.startswith(tuple(f"{option}=" for option in NO_RESULT)):
            words.append(word)
    return shlex.join(words)
