"""A lifecycle graph under construction, and the Linux facts that its builders ask for.

Faults and strategies add nodes here and know of each other only these junctions, each built when first asked
for: ``panic``, ``reset`` (firmware and everything after it), ``production_kernel`` (where a kexec arrives),
``hung`` (kernel dead), ``wedged`` (kernel alive, service dead) and ``halted`` (stopped, power on or off).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ksim.errors import GraphError
from ksim.linux.cmdline import Reservation, crashkernel
from ksim.linux.distro import PROFILES
from ksim.linux.sysctl import Settings, parse_release, settings
from ksim.model.lifecycle import Branch, Clock, Node, Service

if TYPE_CHECKING:
    from ksim.chance.distributions import Law
    from ksim.model.scenario import Scenario


@dataclass
class Plan:
    """The nodes so far. ``junctions``: how to build each junction, by name; ``notes``: remarks for the reader."""

    scenario: Scenario
    junctions: dict[str, Callable[[Plan], str]]
    nodes: dict[str, Node] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @cached_property
    def linux(self) -> Settings:
        """The settings in force: the distribution's, then the command line's, then the sysctls'."""
        own = self.scenario.linux
        return settings(own.cmdline, {**PROFILES[own.distro].sysctl, **own.sysctl}, parse_release(own.release))

    @cached_property
    def reservation(self) -> Reservation:
        """What ``crashkernel=`` reserves; an empty command line means the distribution's default one."""
        own = self.scenario.linux
        return crashkernel(own.cmdline or PROFILES[own.distro].crashkernel, self.scenario.host.memory)

    @property
    def crash_kernel_loaded(self) -> bool:
        return self.reservation.bytes > 0 and self.linux.crash_kernel_loadable

    def junction(self, name: str) -> str:
        """The first node of a junction; its nodes are added at the first call."""
        return self.junctions[name](self)

    def choice(
        self,
        name: str,
        phase: str,
        *branches: Branch,
        service: Service = Service.DOWN,
        event: str = "",
        stream: str = "",
    ) -> str:
        """Adds a choice (once: a second call with the same name changes nothing) and returns its name."""
        return self._add(Node(name, phase, service, branches=branches, event=event, stream=stream))

    def stage(self, name: str, law: Law, to: str, phase: str = "", event: str = "") -> str:
        """Adds a state of one way out: it lasts as long as ``law`` says."""
        return self.choice(name, phase or name, Branch(to, law), event=event)

    def race(self, name: str, phase: str, *clocks: Clock, service: Service = Service.DOWN) -> str:
        """Adds a race of clocks and returns its name."""
        return self._add(Node(name, phase, service, clocks=clocks))

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _add(self, node: Node) -> str:
        if self.nodes.setdefault(node.name, node) != node:
            raise GraphError(f"two different nodes want the name '{node.name}': rename the fault table of that name")
        return node.name
