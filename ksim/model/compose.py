"""From a scenario to its lifecycle graph: the running host, its faults, and the strategy after a panic."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache, partial
from types import ModuleType

from ksim.chance.distributions import weibull_of_mean
from ksim.errors import GraphError, ScenarioError, nearest
from ksim.model import faults, stages, strategies
from ksim.model.fault import FaultSource, Struck
from ksim.model.lifecycle import Branch, Budget, Clock, Lifecycle, Node, Service, trimmed
from ksim.model.plan import Plan
from ksim.model.scenario import Scenario
from ksim.model.strategy import Crash, Strategy

OOPSES_TOLD_APART = 15
"""Survived oopses that have a node each; an oops_limit beyond that is as good as out of reach."""


def _modules(package: ModuleType) -> list[ModuleType]:
    names = sorted(info.name for info in pkgutil.iter_modules(package.__path__))
    return [importlib.import_module(f"{package.__name__}.{name}") for name in names]


@cache
def fault_sources() -> dict[str, FaultSource]:
    """All fault sources by name."""
    return {module.FAULT.name: module.FAULT for module in _modules(faults)}


@cache
def recovery_strategies() -> dict[str, Strategy]:
    """All recovery strategies by name."""
    return {module.STRATEGY.name: module.STRATEGY for module in _modules(strategies)}


def lifecycle(scenario: Scenario, strategy: str | None = None) -> Lifecycle:
    """The graph of ``scenario``, under ``strategy`` or its own one.

    Raises ScenarioError for an unknown strategy or a scenario in which nothing can happen.
    """
    if scenario.lifecycle is not None:
        if strategy is not None:
            raise ScenarioError("a scenario with its own [lifecycle] has no strategies to choose from")
        return _own(scenario)
    known = recovery_strategies()
    name = scenario.recovery.strategy if strategy is None else strategy
    if name not in known:
        raise ScenarioError(f"recovery.strategy: unknown '{name}'{nearest(name, known)} (known: {', '.join(known)})")
    return _composed(scenario, known[name])


def _composed(scenario: Scenario, strategy: Strategy) -> Lifecycle:
    waiting = [("running", 0)]
    built: set[str] = set()

    def panic(is_machine_check: bool, plan: Plan) -> str:
        node = "panic.machine_check" if is_machine_check else "panic"
        return strategy.build(plan, Crash(node, is_machine_check))

    def oopsed(count: int, plan: Plan) -> str:
        limit = plan.linux.oops_limit
        told_apart = limit - 1 if 0 < limit <= OOPSES_TOLD_APART + 1 else 1
        name = f"oopsed.{min(count, told_apart)}"
        if name not in built:
            built.add(name)
            waiting.append((name, min(count, told_apart)))
        return name

    junctions: dict[str, Callable[[Plan], str]] = {
        "panic": partial(panic, False),
        "panic machine_check": partial(panic, True),
        "reset": stages.reset,
        "production_kernel": stages.production_kernel,
        "hung": stages.hung,
        "wedged": stages.wedged,
        "halted": stages.halted,
    }
    junctions |= {f"oopsed {n}": partial(oopsed, n) for n in range(1, OOPSES_TOLD_APART + 2)}
    plan = Plan(scenario, junctions)
    while waiting:
        _alive(plan, *waiting.pop(0))
    budgets = {name: _source(scenario, name).budget for name in scenario.faults}
    return Lifecycle("running", trimmed(plan.nodes.values(), "running"), budgets, tuple(plan.notes))


def _source(scenario: Scenario, name: str) -> FaultSource:
    return fault_sources()[scenario.faults[name].kind or name]


def _alive(plan: Plan, node: str, oopses: int) -> None:
    """A host at work: a race of all fault sources that have a rate."""
    clocks = []
    for name, settings in plan.scenario.faults.items():
        if settings.rate > 0.0:
            copy = name if oopses == 0 else f"{name}@{node}"
            target = _source(plan.scenario, name).strike(plan, settings, Struck(name, copy, node, oopses))
            clocks.append(Clock(name, weibull_of_mean(1.0 / settings.rate, settings.shape), target, cause=name))
    if not clocks:
        raise ScenarioError("no fault source has a rate above zero: nothing would ever happen")
    plan.race(node, node, *clocks, service=Service.UP if oopses == 0 else Service.DEGRADED)


def _own(scenario: Scenario) -> Lifecycle:
    """The graph that the scenario itself spells out in ``[lifecycle]``."""
    own = scenario.lifecycle
    assert own is not None
    nodes = [
        Node(
            name,
            table.phase or name,
            Service(table.service),
            tuple(Branch(way.to, way.dwell, way.p, way.cause) for way in table.branches),
            tuple(Clock(clock, way.after, way.to, way.cause) for clock, way in table.clocks.items()),
            table.event,
        )
        for name, table in own.nodes.items()
    ]
    budgets = {cause: Budget(budget) for cause, budget in own.budgets.items()}
    try:
        return Lifecycle(own.entry, tuple(nodes), budgets)
    except GraphError as error:
        raise ScenarioError(f"lifecycle: {error}") from None
