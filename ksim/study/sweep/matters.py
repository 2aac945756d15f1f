"""Factors that change nothing: a sweep over one would measure nothing, so it is refused before any work is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ksim.errors import KsimError, NotSolvable, ScenarioError
from ksim.exact.solve import Solution
from ksim.model.compose import lifecycle
from ksim.model.lifecycle import Lifecycle
from ksim.model.loader import Loaded
from ksim.study.sweep.factors import Levels, Range
from ksim.study.sweep.plan import Host, How, Plan
from ksim.study.tails import is_tail

CONTEXTS = 12
"""Points of the design, evenly spread, at which a factor may show that it matters."""
LEVELS = 8


def check_factors(plan: Plan) -> None:
    """Raises ScenarioError for a factor of the plan that no scenario knows, or whose values all give the same host."""
    for host in plan.hosts:
        own = [point.overrides for owner, point in plan.points if owner is host]
        contexts = [(), *own[:: max(1, len(own) // CONTEXTS)]]
        for key, values in _factors(host):
            _check(plan.how, host, key, values, contexts)


def _factors(host: Host) -> Iterator[tuple[str, Sequence[str]]]:
    """Keys and some of their settings; an empty one leaves the scenario's own value."""
    for factor in host.factors:
        if isinstance(factor, Range):
            yield factor.key, [factor.setting(u) for u in (0.0, 1.0, 0.5)]
        else:
            yield factor.key, _levels(factor)
    listed: dict[str, dict[str, None]] = {}
    for point in host.points:
        for (key, _), setting in zip(point.parameters, point.overrides, strict=True):
            listed.setdefault(key, {"": None})[setting] = None
    for key, found in listed.items():
        yield key, list(found)[:LEVELS]


def _levels(factor: Levels) -> list[str]:
    many = range(len(factor.texts))
    return [factor.setting(i) for i in many][:LEVELS] + ([""] if len(many) == 1 else [])


def _check(how: How, host: Host, key: str, values: Sequence[str], contexts: Sequence[tuple[str, ...]]) -> None:
    problem: KsimError | None = None
    for context in contexts:
        rest = tuple(setting for setting in context if not setting.startswith(f"{key}="))
        seen: list[Any] = []
        for value in values:
            try:
                found = _what_counts(how, host.text.load((*host.settings, *rest, *([value] if value else []))), host)
            except KsimError as error:
                problem = problem or error
                continue
            if seen and found != seen[0]:
                return
            seen.append(found)
    if problem is not None:
        raise ScenarioError(f"factor {key}: {str(problem).removeprefix('--set: ')}")
    name = f" of host '{host.name}'" if host.name != "host" else ""
    raise ScenarioError(f"factor {key}: the scenario{name} ignores it, so it would measure nothing")


def _what_counts(how: How, loaded: Loaded, host: Host) -> Any:
    """All of a scenario that the asked measures can depend on."""
    scenario = loaded.scenario
    if how.variants:
        own = [host.text.load((*host.settings, *settings)) for settings in how.variants.values()]
        graphs = [lifecycle(variant.scenario) for variant in own]
    else:
        graphs = [lifecycle(scenario, name) for name in how.strategies or (None,)]
    run: tuple[Any, ...] = ()
    if _is_sampled(how, graphs):
        run = (scenario.seed, scenario.replications, scenario.confidence, scenario.horizon)
    elif "downtime_min_in_horizon" in how.measures:
        run = (scenario.horizon,)
    return graphs, run


def _is_sampled(how: How, graphs: Sequence[Lifecycle]) -> bool:
    if how.engine != "auto":
        return how.engine != "exact"
    try:
        for graph in graphs:
            Solution(graph)
    except NotSolvable:
        return True
    return bool(how.rare) or any(map(is_tail, how.measures))  # some of them may have no exact value
