"""Rare things by their texts, answered exactly where that is possible, else by importance sampling.

"year_downtime > 4 h"   "software_year_downtime > 2 h"   "vmcore_lost"
"kill per year"         "panic without vmcore per panic" (which is what vmcore_lost means)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ksim.errors import NotSolvable, ScenarioError, UnitError
from ksim.evidence.transition import Layout
from ksim.exact.solve import Solution
from ksim.model.lifecycle import Lifecycle
from ksim.study import estimate
from ksim.study.engine import Engine
from ksim.study.estimate import Estimate
from ksim.study.measures import BUDGETS
from ksim.study.questions import BadYear, Question, RareEvent
from ksim.study.rare import rare
from ksim.units import duration_s

PATHS = 20_000
"""Of one answer, besides those of the pilot."""
_YEAR = re.compile(rf"(?:({'|'.join(BUDGETS)})_)?year_downtime\s*>\s*(.+)")
_EVENT = re.compile(r"(\S+)(?:\s+without\s+(\S+))?\s+per\s+(\S+)")
EVENTS = {"panic", "vmcore", "kill", "damage"}
"""Those that nodes of ksim's own strategies and faults count."""
ALIASES = {"vmcore_lost": "panic without vmcore per panic"}


def question_of(text: str) -> Question:
    """What a text asks. Raises ScenarioError."""
    stripped = ALIASES.get(text.strip(), text.strip())
    if year := _YEAR.fullmatch(stripped):
        try:
            return BadYear(duration_s(year[2]), year[1] or "")
        except UnitError as error:
            raise ScenarioError(f"'{text[:80]}': {error}") from None
    if event := _EVENT.fullmatch(stripped):
        return RareEvent(event[1], event[2] or "", "" if event[3] == "year" else event[3])
    raise ScenarioError(
        f"'{text[:80]}' asks nothing that is known: expected 'year_downtime > 4 h', 'software_year_downtime > 2 h', "
        f"'vmcore_lost', or 'EVENT [without EVENT] per EVENT' (or per year)"
    )


def answers(
    life: Lifecycle, texts: Sequence[str], engine: Engine, seed: int, confidence: float, notes: list[str]
) -> Iterator[tuple[str, Estimate]]:
    """Measures of one lifecycle: sampled ones with their variance reduction, exact ones, as the engine has them.

    Raises NotSolvable where the exact value is asked for and there is none.
    """
    for measure, question in _fitting(life.layout, texts):
        question.asked(life.layout)  # whether there is anything of the kind
        exact: list[Estimate] = []
        try:
            exact.append(estimate.exact(question.exactly(Solution(life)), question.unit))
        except NotSolvable:
            if engine == "exact":
                raise
        if engine in ("simulated", "compiled") or not exact:
            found = rare(life, question, seed=seed, paths=PATHS, confidence=confidence)
            yield measure, found.estimate
            if found.reduction is not None:
                gained = Estimate(found.reduction, None, confidence, found.paths, "1", found.estimate.method)
                yield f"{measure}:variance_reduction", gained
            if found.note:
                notes.append(f"{measure}: {found.note}")
        for value in exact:
            yield measure, value


def check_questions(layout: Layout, texts: Sequence[str]) -> None:
    """Raises ScenarioError for a question about something that a lifecycle does not have."""
    for _, question in _fitting(layout, texts):
        question.asked(layout)


def _fitting(layout: Layout, texts: Sequence[str]) -> Iterator[tuple[str, Question]]:
    """Measures, and the questions behind them that make sense here: a strategy may be one that has no vmcore."""
    missing = EVENTS - set(layout.events)
    for question in map(question_of, texts):
        if not isinstance(question, RareEvent):
            yield question.measure, question
        elif question.of not in missing and question.per not in missing:
            own = replace(question, without="") if question.without in missing else question
            yield question.measure, own
