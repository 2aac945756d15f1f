"""A recovery strategy: what follows a kernel panic until the service answers again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ksim.model.plan import Plan


@dataclass(frozen=True, slots=True)
class Strategy:
    """One file of ``ksim/model/strategies``. ``build`` adds the nodes after a panic and returns the first.

    ``summary`` says in one line what an administrator would have to configure.
    """

    name: str
    summary: str
    build: Callable[[Plan, Crash], str]


@dataclass(frozen=True, slots=True)
class Crash:
    """What panicked: ``node`` is the name that the panic's first node must have."""

    node: str
    is_machine_check: bool
