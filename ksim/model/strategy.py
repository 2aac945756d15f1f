"""A recovery strategy: what follows a kernel panic until the service answers again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ksim.linux.panic import Cause
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
    """What panicked: ``node`` is the name that the panic's first node must have.

    ``cause``: hardware errors override kernel.panic=0. ``armed``: kdump.service had loaded the crash kernel
    by then. ``work_lost_s``: what the panic throws away, in seconds of the host's work.
    """

    node: str
    cause: Cause = ""
    armed: bool = True
    work_lost_s: float = 0.0

    def has_crash_kernel(self, plan: Plan) -> bool:
        """Whether there is a crash kernel to jump into."""
        return self.armed and plan.crash_kernel_loaded
