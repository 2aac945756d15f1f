"""Factors that change nothing: a sweep over one would measure nothing, so it is refused before any work is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ksim.errors import KsimError, NotSolvable, ScenarioError, nearest
from ksim.exact.solve import Solution
from ksim.model.lifecycle import Lifecycle
from ksim.model.scenario import Scenario
from ksim.study import measures
from ksim.study.rarities import check_questions
from ksim.study.sequential import Target
from ksim.study.sweep.factors import Levels, Range
from ksim.study.sweep.plan import Host, How, Plan, Task
from ksim.study.tails import is_tail

CONTEXTS = 12
"""Points of the design, evenly spread, at which a factor may show that it matters."""
LEVELS = 32
"""Values of a factor that are looked at, evenly spread, both ends among them."""


def check_factors(plan: Plan) -> None:
    """Raises ScenarioError for a factor of the plan that no scenario knows, or whose values all give the same host."""
    for host in plan.hosts:
        own = [point.overrides for owner, point in plan.points if owner is host]
        contexts = [(), *own[:: max(1, len(own) // CONTEXTS)]]
        for key, values in _factors(host):
            _check(plan.how, host, key, values, contexts)
        if plan.how.precision or plan.how.rare:
            _check_questions(plan.how, host, own[0])


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
        yield key, _spread(list(found))


def _levels(factor: Levels) -> list[str]:
    found = [factor.setting(i) for i in range(len(factor.texts))]
    return _spread(found) if len(found) > 1 else [*found, ""]


def _spread(values: list[str]) -> list[str]:
    last = min(LEVELS, len(values)) - 1
    return [values[round(i * (len(values) - 1) / max(1, last))] for i in range(last + 1)]


def _check(how: How, host: Host, key: str, values: Sequence[str], contexts: Sequence[tuple[str, ...]]) -> None:
    problem: KsimError | None = None
    for context in contexts:
        rest = tuple(setting for setting in context if not setting.startswith(f"{key}="))
        seen: list[Any] = []
        for value in values:
            try:
                found = _what_counts(how, host, (*rest, *([value] if value else [])))
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


def _what_counts(how: How, host: Host, overrides: tuple[str, ...]) -> Any:
    """All of a scenario that the asked measures can depend on."""
    scenario, graphs = _graphs(how, host, overrides)
    run: tuple[Any, ...] = ()
    if _is_sampled(how, graphs):
        run = (scenario.seed, scenario.replications, scenario.confidence, scenario.horizon)
    elif "downtime_min_in_horizon" in how.measures:
        run = (scenario.horizon,)
    return graphs, run


def _graphs(how: How, host: Host, overrides: tuple[str, ...]) -> tuple[Scenario, list[Lifecycle]]:
    """The scenario of a point (the first of its variants), and the lifecycles that are compared there."""
    found = list(Task(0, host.text, (*host.settings, *overrides), how).lifecycles().values())
    return found[0][0], [graph for _, graph in found]


def _check_questions(how: How, host: Host, overrides: tuple[str, ...]) -> None:
    """Raises ScenarioError for a precision in another unit, and for what none of the lifecycles has."""
    scenario, graphs = _graphs(how, host, overrides)
    units = {name: unit for graph in graphs for name, unit in measures.units(graph, scenario.horizon).items()}
    for measure, text in how.precision.items():
        if measure not in units:
            raise ScenarioError(f"precision: {measure} cannot be sampled here{nearest(measure, units)}")
        Target.parse(text).check(measure, units[measure])
    for graph in graphs:
        check_questions(graph.layout, how.rare)


def _is_sampled(how: How, graphs: Sequence[Lifecycle]) -> bool:
    if how.engine != "auto":
        return how.engine != "exact"
    try:
        for graph in graphs:
            Solution(graph)
    except NotSolvable:
        return True
    return bool(how.rare) or any(map(is_tail, how.measures))  # some of them may have no exact value
