"""A lifecycle graph under construction, and the Linux facts that its builders ask for.

Faults and strategies add nodes here and know of each other only these junctions, each built when first asked
for: ``panic``, ``panic machine_check`` and ``panic pretimeout`` (of a watchdog), ``reset`` (firmware and
everything after it), ``production_kernel`` (where a kexec arrives), ``hung`` (the kernel panicked and stands
still), ``silent`` (so does the kernel that it jumped into), ``dead`` (no CPU runs tasks any more), ``wedged``
(kernel alive, service dead) and ``halted`` (stopped, power on or off).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from ksim.errors import GraphError
from ksim.model.lifecycle import Branch, Clock, Node, Service
from ksim.model.machine import Machine
from ksim.model.scenario import Scenario

if TYPE_CHECKING:
    from ksim.chance.distributions import Law


class Alive(NamedTuple):
    """What a running kernel has been through since its boot: survived oopses, warnings, and the fault (if any)
    that left damage in it which will show one day."""

    oopses: int = 0
    warns: int = 0
    damaged_by: str = ""

    @property
    def node(self) -> str:
        parts = [f"oopsed.{self.oopses}"] if self.oopses else []
        parts += [f"warned.{self.warns}"] if self.warns else []
        parts += [f"damaged:{self.damaged_by}"] if self.damaged_by else []
        return " ".join(parts) or "running"


class Plan(Machine):
    """The nodes so far. ``junctions``: first node of each junction and how to build it; ``notes``: remarks.

    ``enter``: the node of a running host in some state.
    """

    def __init__(
        self,
        scenario: Scenario,
        junctions: Mapping[str, tuple[str, Callable[[Plan], str]]],
        enter: Callable[[Plan, Alive], str],
    ) -> None:
        super().__init__(scenario)
        self.nodes: dict[str, Node] = {}
        self.notes: list[str] = []
        self._junctions, self._enter = junctions, enter
        self._asked: set[str] = set()

    def junction(self, name: str) -> str:
        """The first node of a junction; its nodes are added at the first call, and may lead back to it."""
        first, build = self._junctions[name]
        if name not in self._asked:
            self._asked.add(name)
            if build(self) != first:
                raise GraphError(f"junction '{name}' must begin with the node '{first}'")
        return first

    def alive(self, state: Alive) -> str:
        """The node of a running host in this state."""
        return self._enter(self, state)

    def choice(
        self,
        name: str,
        phase: str,
        *branches: Branch,
        service: Service = Service.DOWN,
        event: str = "",
        stream: str = "",
        work_lost_s: float = 0.0,
    ) -> str:
        """Adds a choice (once: a second call with the same name changes nothing) and returns its name."""
        return self._add(
            Node(name, phase, service, branches=branches, event=event, stream=stream, work_lost_s=work_lost_s)
        )

    def stage(self, name: str, law: Law, to: str, phase: str = "", event: str = "", work_lost_s: float = 0.0) -> str:
        """Adds a state of one way out: it lasts as long as ``law`` says."""
        return self.choice(name, phase or name, Branch(to, law), event=event, work_lost_s=work_lost_s)

    def race(
        self, name: str, phase: str, *clocks: Clock, service: Service = Service.DOWN, work_lost_s: float = 0.0
    ) -> str:
        """Adds a race of clocks and returns its name."""
        return self._add(Node(name, phase, service, clocks=clocks, work_lost_s=work_lost_s))

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _add(self, node: Node) -> str:
        if self.nodes.setdefault(node.name, node) != node:
            raise GraphError(f"two different nodes want the name '{node.name}': rename the fault table of that name")
        return node.name
