"""An experiment: one question, the scenarios and strategies that answer it, and what was expected."""

from __future__ import annotations

from dataclasses import dataclass

from ksim.study.compare import COMPARED


@dataclass(frozen=True, slots=True)
class Experiment:
    """What one file of ``experiments`` declares; ``name`` is also its folder under results/."""

    name: str
    question: str
    scenarios: tuple[str, ...]
    expectation: str
    strategies: tuple[str, ...] = COMPARED
    overrides: tuple[str, ...] = ()
