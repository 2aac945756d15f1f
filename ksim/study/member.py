"""One scenario that quantities are asked of, with what answers them: each worked out once, when it is asked for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property

from ksim.errors import NotSolvable, ScenarioError, nearest
from ksim.exact.interval import Interval
from ksim.exact.solve import OutageMoments, Solution
from ksim.linux.makedumpfile import DumpPlan
from ksim.model.compose import lifecycle
from ksim.model.dump import dump_plan
from ksim.model.lifecycle import Lifecycle, Service
from ksim.model.loader import Loaded
from ksim.model.machine import Machine


@dataclass
class Member:
    """A scenario, often the member of a family, with its graph, its solutions and the dump of its host."""

    loaded: Loaded
    _intervals: dict[frozenset[str], Interval] = field(default_factory=dict)

    @property
    def horizon_s(self) -> float:
        return self.loaded.scenario.horizon

    @cached_property
    def life(self) -> Lifecycle:
        return lifecycle(self.loaded.scenario)

    @cached_property
    def solution(self) -> Solution:
        return Solution(self.life)

    @cached_property
    def dump(self) -> DumpPlan:
        return dump_plan(Machine(self.loaded.scenario))

    @cached_property
    def outages(self) -> OutageMoments:
        found = self.solution.outages()
        if found is None:
            raise NotSolvable("there are no outages")
        return found

    def interval(self, until: Collection[str] = ()) -> Interval:
        key = frozenset(until)
        if key not in self._intervals:
            self._intervals[key] = Interval(self.life, key)
        return self._intervals[key]

    def nodes(self, service: Service) -> dict[str, float]:
        """The nodes of that service, each with weight 1."""
        return {node.name: 1.0 for node in self.life.nodes if node.service is service}

    def begin(self, cause: str | None = None) -> set[str]:
        """The down nodes at which outages begin, all or those of one cause.

        Raises NotSolvable where an entry into such a node does not tell that: it also comes later in an outage, or
        begins outages of several causes.
        """
        enters: dict[str, set[str | None]] = {}
        for node in self.life.nodes:
            for way in node.ways:
                if self.life[way.to].service is Service.DOWN:
                    enters.setdefault(way.to, set()).add(None if node.service is Service.DOWN else way.cause)
        if cause is None:
            found = {name: causes - {None} for name, causes in enters.items() if causes != {None}}
            unclear = [name for name in found if None in enters[name]]
        else:
            found = {name: causes for name, causes in enters.items() if cause in causes}
            unclear = [name for name, causes in found.items() if len(causes) > 1]
        for name in unclear:
            raise NotSolvable(f"an entry into node '{name}' need not be the begin of such an outage")
        return set(found)

    def reward(self, name: str) -> dict[str, float]:
        """The rates of a reward by node."""
        if name not in self.life.rewards:
            known = self.life.rewards
            raise ScenarioError(f"no reward '{name}'{nearest(name, known)} (known: {', '.join(known) or 'none'})")
        return dict(zip(self.life.layout.names, self.life.rewards[name][0], strict=True))
