"""Rare things that may be asked of any lifecycle: a bad year, and events that hardly ever happen.

A question follows one path from the entry, as far as it must, and says what it found: what is counted, how far it came
(for a search that looks for it by and by), how long the path was, and how many events it is to be related to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ksim.errors import ScenarioError, nearest
from ksim.evidence.transition import Layout
from ksim.exact.solve import Solution
from ksim.exact.yearly import Downtime
from ksim.study.biased import Step
from ksim.units import MINUTE_S, YEAR_S


class Found(NamedTuple):
    """``hits`` is what is averaged, ``score`` how close it came to one; ``related`` is what it is divided by."""

    hits: float
    score: float
    related: float
    steps: int


Follow = Callable[[Iterable[Step]], Found]


class Question(Protocol):
    """``is_ratio``: whether the answer is a ratio of means over paths, or the mean of ``hits``, which is 0 or 1."""

    @property
    def measure(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def is_ratio(self) -> bool: ...
    @property
    def horizon_s(self) -> float:
        """No path is longer, in seconds."""
        ...

    @property
    def enough(self) -> float:
        """The score of a path that has it."""
        ...

    def asked(self, layout: Layout) -> Follow:
        """What follows paths of a lifecycle. Raises ScenarioError where that has nothing of the kind."""
        ...

    def exactly(self, solution: Solution) -> float:
        """The same by the exact reader. Raises NotSolvable."""
        ...


@dataclass(frozen=True)
class BadYear:
    """P(a host that starts fresh is down for more than ``over_s`` in ``horizon_s``), by all outages or one budget's."""

    over_s: float
    budget: str = ""
    horizon_s: float = YEAR_S
    unit = "1"
    is_ratio = False

    @property
    def measure(self) -> str:
        group = f"{self.budget}_" if self.budget else ""
        length = "year" if self.horizon_s == YEAR_S else f"{self.horizon_s:g}_s"
        return f"{group}{length}_downtime_over_{self.over_s / MINUTE_S:g}_min"

    @property
    def enough(self) -> float:
        return self.over_s

    def asked(self, layout: Layout) -> Follow:
        if not 0.0 <= self.over_s < self.horizon_s:
            raise ScenarioError(f"a downtime of more than {self.over_s:g} s in {self.horizon_s:g} s is out of question")
        if self.budget and self.budget not in layout.budgets.values():
            raise ScenarioError(f"there are no {self.budget} outages{nearest(self.budget, layout.budgets.values())}")
        counted = [not self.budget or layout.budgets.get(cause) == self.budget for cause in layout.causes]
        down, over_s, horizon_s = layout.down, self.over_s, self.horizon_s

        def follow(steps: Iterable[Step]) -> Found:
            time = spent = 0.0
            counts, many = False, 0
            for node, dwell, edge, target in steps:
                many += 1
                if down[node]:
                    # once the limit is passed, how long it goes on does not matter, and no more draws are taken
                    spent += (min(time + dwell, horizon_s) - time) * counts
                    if spent > over_s:
                        return Found(1.0, math.inf, 1.0, many)
                elif down[target]:
                    counts = counted[edge]
                time += dwell
                if time >= horizon_s:
                    break
            return Found(0.0, spent, 1.0, many)

        return follow

    def exactly(self, solution: Solution) -> float:
        return Downtime(solution, self.budget or None, self.horizon_s).exceeds(self.over_s).value


@dataclass(frozen=True)
class RareEvent:
    """How often ``of`` happens in the long run, per year or per event ``per``; each event ``without`` undoes one.

    Events are those that nodes count, or entries into the node of that name. ``RareEvent("panic", "vmcore", "panic")``
    is the share of panics without a vmcore. Paths are cycles from entry to entry.
    """

    of: str
    without: str = ""
    per: str = ""
    is_ratio = True
    horizon_s = math.inf
    enough = 1e-9

    @property
    def unit(self) -> str:
        return "1" if self.per else "1/y"

    @property
    def measure(self) -> str:
        without = f"_without_{self.without}" if self.without else ""
        return f"{self.of}{without}_per_{self.per or 'year'}"

    def asked(self, layout: Layout) -> Follow:
        known = {*layout.names, *filter(None, layout.events)}
        for name in filter(None, (self.of, self.without, self.per)):
            if name not in known:
                raise ScenarioError(f"'{name}' is no event and no node of this lifecycle{nearest(name, known)}")
        weights, related_to = self._weights(layout)
        entry, per = layout.entry, bool(self.per)

        def follow(steps: Iterable[Step]) -> Found:
            count = related = many = 0
            time = 0.0
            for _, dwell, _, target in steps:
                many += 1
                time += dwell
                count += weights[target]
                related += related_to[target]
                if target == entry:
                    break
            return Found(count, abs(count), related if per else time / YEAR_S, many)

        return follow

    def _weights(self, layout: Layout) -> tuple[list[int], list[int]]:
        """What the entry into a node adds to the count, and to what that is divided by."""
        nodes = list(zip(layout.names, layout.events, strict=True))
        counts = [_is(name, event, self.of) - _is(name, event, self.without) for name, event in nodes]
        return counts, [_is(name, event, self.per) for name, event in nodes]

    def exactly(self, solution: Solution) -> float:
        weights, related_to = self._weights(solution.layout)
        count = math.fsum(v * w for v, w in zip(solution.visits, weights, strict=True))
        if not self.per:
            return count / solution.cycle_s * YEAR_S
        return count / math.fsum(v * p for v, p in zip(solution.visits, related_to, strict=True))


def _is(name: str, event: str, wanted: str) -> int:
    return int(bool(wanted) and wanted in (name, event))
