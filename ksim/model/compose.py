"""From a scenario to its lifecycle graph: the running host, its faults, and the strategy after a panic."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from functools import cache, partial
from types import ModuleType

from ksim.chance.distributions import Constant, weibull_of_mean
from ksim.errors import GraphError, ScenarioError, nearest
from ksim.linux.fadump import fadump
from ksim.linux.panic import Cause
from ksim.model import families as family_files
from ksim.model import faults, stages, strategies
from ksim.model.family import Family, FamilySettings
from ksim.model.fault import FaultSource, Struck
from ksim.model.lifecycle import Branch, Budget, Clock, Lifecycle, Node, Service, trimmed
from ksim.model.plan import Alive, Plan
from ksim.model.scenario import Scenario
from ksim.model.schema import FaultSettings
from ksim.model.strategy import Crash, Strategy
from ksim.units import LONGEST_S

CRASH, AT_ONCE_S = "the crash", 1e-9
"""Clock and cause of a crash that has happened, and when it strikes in its graph: before anything else could."""
TOLD_APART = 15
"""Survived oopses, or warnings, that have a node each; a limit beyond that is as good as out of reach."""


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


@cache
def families() -> dict[str, Family]:
    """All families of lifecycle graphs by name."""
    return {module.FAMILY.name: module.FAMILY for module in _modules(family_files)}


def strategy_named(scenario: Scenario, name: str | None) -> Strategy:
    """The strategy of that name, or the scenario's own. Raises ScenarioError for an unknown one."""
    known = recovery_strategies()
    name = scenario.recovery.strategy if name is None else name
    if name not in known:
        raise ScenarioError(f"recovery.strategy: unknown '{name}'{nearest(name, known)} (known: {', '.join(known)})")
    return known[name]


def lifecycle(scenario: Scenario, strategy: str | None = None) -> Lifecycle:
    """The graph of ``scenario``, under ``strategy`` or its own one.

    Raises ScenarioError for an unknown strategy or a scenario in which nothing can happen.
    """
    if scenario.lifecycle is not None:
        if strategy is not None:
            raise ScenarioError("a scenario with its own [lifecycle] has no strategies to choose from")
        return _own(scenario)
    return _composed(scenario, strategy_named(scenario, strategy))


def recovery(scenario: Scenario, start: str, strategy: str | None = None) -> Lifecycle:
    """The same graph as ``lifecycle``, with one more clock: a crash at once that leads to ``start``.

    ``start`` is a junction of ``ksim.model.plan``. What follows the first transition is the way back from that crash.
    Raises ScenarioError for an unknown strategy, or a scenario that spells out a graph of its own.
    """
    if scenario.lifecycle is not None:
        raise ScenarioError("a scenario with its own [lifecycle] says nothing about the kernel at work")
    return _composed(scenario, strategy_named(scenario, strategy), start)


def _composed(scenario: Scenario, strategy: Strategy, start: str = "") -> Lifecycle:
    waiting = [Alive()]
    known = {Alive()}

    def panic(cause: Cause, plan: Plan) -> str:
        lost = scenario.workload.at_risk
        return strategy.build(plan, Crash(f"panic.{cause}" if cause else "panic", cause, work_lost_s=lost))

    def enter(plan: Plan, state: Alive) -> str:
        oopses = min(state.oopses, _told_apart(plan.linux.oops_limit, 1))
        warns = min(state.warns, _told_apart(plan.linux.warn_limit, 0))
        state = state._replace(oopses=oopses, warns=warns)
        if state not in known:
            known.add(state)
            waiting.append(state)
        return state.node

    def boots_again(armed: bool, plan: Plan) -> str:
        return strategy.build(plan, Crash("panic.armed_boot" if armed else "panic.early_boot", armed=armed))

    junctions: dict[str, tuple[str, Callable[[Plan], str]]] = {
        "panic": ("panic", partial(panic, "")),
        "panic machine_check": ("panic.machine_check", partial(panic, "machine_check")),
        "panic early_boot": ("panic.early_boot", partial(boots_again, False)),
        "panic armed_boot": ("panic.armed_boot", partial(boots_again, True)),
        "panic pretimeout": ("panic.pretimeout", lambda plan: strategy.build(plan, Crash("panic.pretimeout"))),
        "reset": ("firmware", stages.reset),
        "production_kernel": ("kernel", stages.production_kernel),
        "hung": ("hung", stages.hung),
        "silent": ("silent", stages.silent),
        "dead": ("dead", stages.dead),
        "wedged": ("wedged", stages.wedged),
        "halted": ("halted", stages.halted),
    }
    plan = Plan(scenario, junctions, enter)
    at_once = [Clock(CRASH, Constant(AT_ONCE_S), plan.junction(start), cause=CRASH)] if start else []
    while waiting:
        _alive(plan, waiting.pop(0), at_once)
    budgets = {name: _source(scenario, name).budget for name in scenario.faults}
    if start:
        budgets[CRASH] = Budget.SOFTWARE
    if plan.reservation.text and not plan.reservation.bytes:
        plan.note(f"nothing is reserved for a crash kernel, and Linux boots all the same ({plan.reservation.why})")
    if warning := fadump(plan.cmdline).warning:
        plan.note(warning)
    for warning in scenario.kdump.conf.warnings:
        plan.note(warning)
    nodes = trimmed(plan.nodes.values(), "running")
    return Lifecycle("running", nodes, budgets, tuple(plan.notes), _facts(plan))


def _facts(plan: Plan) -> dict[str, tuple[float, str]]:
    given_up = plan.reservation.given_up_bytes
    return {
        "crashkernel_mib": (given_up / 2**20, "MiB"),
        "crashkernel_share": (given_up / plan.scenario.host.memory, "1"),
    }


def _told_apart(limit: int, otherwise: int) -> int:
    """Up to how many oopses or warnings of one boot are told apart: all below a limit that can be reached."""
    return limit - 1 if 0 < limit <= TOLD_APART + 1 else otherwise


def _source(scenario: Scenario, name: str) -> FaultSource:
    return fault_sources()[scenario.faults[name].kind or name]


def _rate(source: FaultSource, settings: FaultSettings, name: str) -> float:
    rate = source.rate(settings)
    if rate and not 1.0 / LONGEST_S <= rate <= 1.0:
        raise ScenarioError(
            f"faults.{name}: {rate:.3g} strikes a second; a lifecycle takes none, or from 1e-9 a year to 1 a second"
        )
    return rate


def _alive(plan: Plan, state: Alive, others: Sequence[Clock] = ()) -> None:
    """A host at work: a race of all fault sources that have a rate, and of ``others``."""
    clocks = list(others)
    node, is_fresh = state.node, state == Alive()
    for name, settings in plan.scenario.faults.items():
        source = _source(plan.scenario, name)
        rate = _rate(source, settings, name)
        if rate > 0.0:
            copy = name if is_fresh else f"{name}@{node}"
            target = source.strike(plan, settings, Struck(name, copy, node, state))
            clocks.append(Clock(name, weibull_of_mean(1.0 / rate, settings.shape), target, cause=name))
        clocks += source.aftereffect(plan, settings, name, state)
    if not clocks:
        raise ScenarioError("no fault source has a rate above zero: nothing would ever happen")
    degraded = state.oopses > 0 or state.damaged_by
    plan.race(node, node, *clocks, service=Service.DEGRADED if degraded else Service.UP)


def _own(scenario: Scenario) -> Lifecycle:
    """The graph that the scenario itself spells out in ``[lifecycle]``, or the member of a family that it asks for."""
    own = scenario.lifecycle
    assert own is not None
    if isinstance(own, FamilySettings):
        try:
            return families()[own.family].build(own)
        except GraphError as error:
            raise ScenarioError(f"lifecycle: {error}") from None
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
