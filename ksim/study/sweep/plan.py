"""The plan of a sweep: hosts, factors and design, what is compared at each point, and what is asked for.

``plan_of`` reads it from a study file; ``ksim.study.sweep.assumed`` makes one of a scenario's assumptions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ksim.errors import ScenarioError, nearest
from ksim.model.compose import lifecycle, recovery_strategies
from ksim.model.layers import short
from ksim.model.lifecycle import Lifecycle
from ksim.model.loader import Loaded, Text
from ksim.model.scenario import MODEL_VERSION, Scenario
from ksim.study.engine import Engine
from ksim.study.replicate import collector_paused
from ksim.study.sweep.designs import Design, Point, points_of, size_of
from ksim.study.sweep.factors import Factor

DEFAULT_MEASURES = (
    "availability",
    "downtime_min_per_year",
    "software_downtime_min_per_year",
    "hardware_downtime_min_per_year",
    "outages_per_year",
    "software_outage_s_mean",
    "vmcore_captured",
)
HOST = "host"
"""The column that names the host where there are several."""


@dataclass(frozen=True)
class Host:
    """A kind of host: its scenario, settings on top of it, and its factors (with ``points``: a list in their place)."""

    name: str
    text: Text
    settings: tuple[str, ...]
    factors: tuple[Factor, ...]
    points: tuple[Point, ...] = ()


@dataclass(frozen=True)
class Task:
    """What one cell is computed from: all that a worker on another machine needs."""

    place: int
    text: Text
    overrides: tuple[str, ...]
    how: How

    def loaded(self) -> dict[str, Loaded]:
        """The scenario of the point under an empty name, or each of its variants by name."""
        variants = self.how.variants or {"": ()}
        return {name: self.text.load((*self.overrides, *settings)) for name, settings in variants.items()}

    def lifecycles(self) -> dict[str, tuple[Scenario, Lifecycle]]:
        """What is compared there: by strategy, by variant, or the scenario alone under an empty name."""
        return {
            name or strategy or "": (one.scenario, lifecycle(one.scenario, strategy))
            for name, one in self.loaded().items()
            for strategy in self.how.strategies or (None,)
        }


@dataclass(frozen=True)
class How:
    """What is done at each point. ``strategies`` are compared, or ``variants`` (name -> settings), or neither.

    ``precision``: half-widths by measure, as texts, in place of the scenario's number of replications.
    ``rare``: rare things, by the texts of ``ksim.study.rarities``.
    """

    strategies: tuple[str, ...] = ()
    variants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    measures: tuple[str, ...] = DEFAULT_MEASURES
    engine: Engine = "auto"
    precision: Mapping[str, str] = field(default_factory=dict)
    rare: tuple[str, ...] = ()

    def shown(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "strategies": list(self.strategies),
            "variants": {name: list(settings) for name, settings in self.variants.items()},
            "measures": list(self.measures),
            "engine": self.engine,
            "precision": dict(self.precision),
            "rare": list(self.rare),
        }


@dataclass(frozen=True)
class Plan:
    """A sweep. The points of all hosts come one after the other, in the order of the design."""

    name: str
    hosts: tuple[Host, ...]
    design: Design
    how: How
    budget_s: float | None = None

    @cached_property
    def points(self) -> tuple[tuple[Host, Point], ...]:
        """Every design point with its host; its place is its index. Raises ScenarioError for an empty design."""
        with collector_paused():  # a million points, none of which is ever garbage
            found = tuple((host, point) for host in self.hosts for point in self._points(host))
        if not found:
            raise ScenarioError("an empty design: there is no point in it")
        return found

    def _points(self, host: Host) -> Iterator[Point]:
        if self.design.kind == "list":
            yield from host.points
            return
        size_of(self.design, host.factors)
        yield from points_of(self.design, host.factors)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The parameter columns: the host where there are several, then every factor once."""
        keys = dict.fromkeys(key for host in self.hosts for key in self._keys(host))
        return (*((HOST,) if len(self.hosts) > 1 else ()), *keys)

    def _keys(self, host: Host) -> list[str]:
        return [key for point in host.points for key, _ in point.parameters] + [f.key for f in host.factors]

    def parameters(self, place: int) -> dict[str, str]:
        """The values of a point by column; empty where its host has no such factor."""
        host, point = self.points[place]
        own = {HOST: host.name, **dict(point.parameters)} if len(self.hosts) > 1 else dict(point.parameters)
        return {column: own.get(column, "") for column in self.columns}

    def named(self, place: int) -> str:
        """A point for messages: its place, counted from 1, and its values."""
        values = ", ".join(f"{key}={value}" for key, value in self.parameters(place).items() if value)
        return f"point {place + 1} ({short(values, 200) or 'the scenario as it stands'})"

    def task(self, place: int) -> Task:
        host, point = self.points[place]
        return Task(place, host.text, (*host.settings, *point.overrides), self.how)

    def load(self, place: int) -> Loaded:
        """The scenario of a point."""
        task = self.task(place)
        return task.text.load(task.overrides)

    @cached_property
    def twins(self) -> tuple[int, ...]:
        """By place: the first place with the same host and settings. Trajectories of Morris may meet."""
        first: dict[tuple[str, tuple[str, ...]], int] = {}
        return tuple(first.setdefault((host.name, p.overrides), place) for place, (host, p) in enumerate(self.points))

    @cached_property
    def digest(self) -> str:
        """What the sweep computes, as a content address: equal plans have equal cells."""
        own = {
            "model": MODEL_VERSION,
            "hosts": [
                [host.name, host.text.load(host.settings).scenario.resolved(), [list(p.overrides) for p in points]]
                for host, points in self._by_host()
            ],
            "how": self.how.shown(),
        }
        return hashlib.sha256(json.dumps(own, sort_keys=True, allow_nan=False).encode()).hexdigest()

    def _by_host(self) -> Iterator[tuple[Host, list[Point]]]:
        for host in self.hosts:
            yield host, [point for owner, point in self.points if owner is host]


def alternatives(how: How) -> tuple[str, ...]:
    """What is compared at each point, by name; empty: nothing is."""
    return tuple(how.variants) or how.strategies


def check_strategies(names: Sequence[str]) -> None:
    """Raises ScenarioError for a strategy that there is not, or that is named twice."""
    known = recovery_strategies()
    for name in names:
        if name not in known:
            raise ScenarioError(f"unknown strategy '{name}'{nearest(name, known)} (known: {', '.join(known)})")
        if list(names).count(name) > 1:
            raise ScenarioError(f"strategy '{name}' is named twice")
