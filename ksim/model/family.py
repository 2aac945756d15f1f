"""A family of lifecycle graphs: parameters in, graph out. What ``[lifecycle] family = "NAME"`` in a scenario asks for.

The models of the dependability literature are such families: one structure, a few rates, sometimes a size. A member is
a graph like any other, and every reader reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from ksim.chance.distributions import Exponential
from ksim.errors import GraphError
from ksim.model.fields import Table
from ksim.model.lifecycle import Budget, Clock, Lifecycle, Node, Service

MAX_STATES = 20_000
"""Of a generated graph: it is held and solved as a whole."""


class FamilySettings(Table):
    """Keys of ``[lifecycle]`` where it asks for a family; each family adds its own."""

    family: str


@dataclass(frozen=True, slots=True)
class Family:
    """One file of ``ksim/model/families``. ``build`` is a pure function of the settings.

    It may raise GraphError for parameters that make no graph.
    """

    name: str
    summary: str
    settings: type[FamilySettings]
    build: Callable[[Any], Lifecycle]


S = TypeVar("S", bound=Hashable)


class Move(NamedTuple):
    """A transition of a Markov chain: ``what`` happens (the name of its clock) at ``rate`` per second."""

    what: str
    rate: float
    to: Any
    cause: str = ""


@dataclass(frozen=True)
class Chain:
    """A continuous-time Markov chain by its moves. States are any hashable values.

    ``moves`` lists what can happen in a state, ``name`` and ``service`` say what it is; ``phase`` names the row of its
    time in tables. ``rewards``: name -> (rate in a state, unit).
    """

    entry: Any
    moves: Callable[[Any], Iterable[Move]]
    name: Callable[[Any], str]
    service: Callable[[Any], Service]
    budgets: Mapping[str, Budget]
    phase: Callable[[Any], str]
    rewards: Mapping[str, tuple[Callable[[Any], float], str]]


def lifecycle_of(chain: Chain) -> Lifecycle:
    """The chain as a lifecycle: each state a race of exponential clocks, states in the order in which they are found.

    A move to the state itself changes nothing and is left out. Raises GraphError beyond MAX_STATES.
    """
    found: dict[Any, None] = {chain.entry: None}
    nodes: list[Node] = []
    todo = [chain.entry]
    for state in todo:
        clocks = []
        for move in chain.moves(state):
            if move.to == state or move.rate == 0.0:
                continue
            if move.to not in found:
                found[move.to] = None
                todo.append(move.to)
                if len(todo) > MAX_STATES:
                    raise GraphError(f"this member of the family has more than {MAX_STATES} states")
            clocks.append(Clock(move.what, Exponential(1.0 / move.rate), chain.name(move.to), move.cause))
        nodes.append(Node(chain.name(state), chain.phase(state), chain.service(state), clocks=tuple(clocks)))
    rewards = {
        name: (tuple(float(rate(state)) for state in todo), unit) for name, (rate, unit) in chain.rewards.items()
    }
    return Lifecycle(chain.name(chain.entry), tuple(nodes), chain.budgets, rewards=rewards)
