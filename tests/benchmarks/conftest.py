"""Ratios are printed at the end: single times mean little on a shared machine, ratios taken in one run do."""

from __future__ import annotations

import pytest

RATIOS: list[str] = []


@pytest.fixture
def report():
    """Call with a line to print it in the summary."""
    return RATIOS.append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if RATIOS:
        terminalreporter.section("ratios, measured alternately in this run")
        for line in RATIOS:
            terminalreporter.write_line(line)
