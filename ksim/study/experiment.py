"""An experiment: one question, the scenarios and alternatives that answer it, and what was expected."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ksim.model.loader import Loaded
from ksim.study.compare import COMPARED, Row, Study
from ksim.study.engine import Engine
from ksim.study.pool import Progress


@dataclass(frozen=True, slots=True)
class Point:
    """One design point: its parameters as the table shows them, and the overrides behind them.

    ``scenario`` and ``observes`` stand in place of the experiment's own.
    """

    parameters: Mapping[str, str]
    overrides: tuple[str, ...]
    scenario: str = ""
    observes: Observes | None = None


Observes = Callable[[Mapping[str, Loaded], int | None, Progress | None], Study]
"""Variants by name (without any: one, named like the scenario), workers, progress."""
HERE = Point({}, ())


@dataclass(frozen=True, slots=True)
class Experiment:
    """What one file of ``experiments`` declares; ``name`` is also its folder under results/.

    At each of the ``points`` either ``strategies`` are compared or, where there are any, ``variants`` (name ->
    overrides); ``observes`` makes a study of its own of the variants. ``engine`` answers, see ``ksim.study.engine``;
    ``tails``: with exact quantiles and first years. ``shows`` are the measures of the summary by their headings.
    ``tells`` makes a text of the rows for the summary, ``finds`` sentences, ``draws`` a chart.
    """

    name: str
    question: str
    scenarios: tuple[str, ...]
    expectation: str
    strategies: tuple[str, ...] = COMPARED
    overrides: tuple[str, ...] = ()
    points: tuple[Point, ...] = (HERE,)
    variants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    observes: Observes | None = None
    engine: Engine = "compiled"
    tails: bool = False
    shows: Mapping[str, str] = field(default_factory=dict)
    tells: Callable[[Sequence[Row]], str] | None = None
    finds: Callable[[Sequence[Row]], list[str]] | None = None
    draws: Callable[[Sequence[Row], str], Any] | None = None
