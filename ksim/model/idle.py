"""Settings that change nothing: what a user wrote down, and Linux never asks for in anything that can happen here.

``kernel.panic`` beside a loaded crash kernel is the classic: the jump comes first. A setting is idle if the graph
without it is the same graph. Nothing is ignored in silence: the notes of a study name these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ksim.errors import KsimError
from ksim.model.lifecycle import Lifecycle
from ksim.model.scenario import Scenario

Compose = Callable[[Scenario, str | None], Lifecycle]


def idle_settings(scenario: Scenario, strategies: Sequence[str | None], compose: Compose) -> list[str]:
    """``key = value`` of each sysctl and kdump directive that makes no difference under any of the strategies."""
    if scenario.lifecycle is not None:
        return []
    graphs = {strategy: compose(scenario, strategy) for strategy in strategies}
    return [
        name
        for name, without in _without_each(scenario)
        if all(_same(without, strategy, graph, compose) for strategy, graph in graphs.items())
    ]


def _same(without: Scenario, strategy: str | None, graph: Lifecycle, compose: Compose) -> bool:
    try:
        return compose(without, strategy) == graph
    except KsimError:
        return False


def _without_each(scenario: Scenario) -> Iterator[tuple[str, Scenario]]:
    for key, value in scenario.linux.sysctl.items():
        rest = {k: v for k, v in scenario.linux.sysctl.items() if k != key}
        linux = scenario.linux.model_copy(update={"sysctl": rest})
        yield f"{key} = {value}", scenario.model_copy(update={"linux": linux})
    for key, value in scenario.kdump.given().items():
        kdump = scenario.kdump.model_copy(update={key: ""})
        yield f"kdump.{key} = {value}", scenario.model_copy(update={"kdump": kdump})
