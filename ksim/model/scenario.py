"""A scenario: one host, its settings and its faults, resolved and frozen."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, SkipValidation

from ksim.model.family import FamilySettings
from ksim.model.fields import Label, LawText, Name, Probability, Table
from ksim.model.schema import FaultSettings, Host, Kexec, Recovery, Run, Workload
from ksim.model.schema_linux import Capture, Kdump, Linux
from ksim.model.schema_micro import Micro

MODEL_VERSION = 2
"""Changes whenever the same scenario and seed would give other numbers than before."""


MAX_NODES, MAX_WAYS = 1000, 60
"""Of a graph of one's own: it is solved as a whole, and each clock of a race meets each other one."""


class BranchTable(Table):
    """A branch of a node of one's own: probability, dwell, target; a cause where it begins an outage."""

    to: str
    dwell: LawText
    p: Probability = 1.0
    cause: str = ""


class ClockTable(Table):
    """A clock of a race of one's own."""

    after: LawText
    to: str
    cause: str = ""


class NodeTable(Table):
    """A node of one's own: either ``branches`` or ``clocks``."""

    service: Literal["up", "degraded", "down"]
    phase: Label = ""
    event: Literal["", "panic", "vmcore"] = ""
    branches: tuple[BranchTable, ...] = Field(default=(), max_length=MAX_WAYS)
    clocks: dict[Name, ClockTable] = Field(default_factory=dict, max_length=MAX_WAYS)


class LifecycleTable(Table):
    """``[lifecycle]``: a graph spelled out in the scenario, in place of host, faults and strategy.

    With a key ``family`` it is a FamilySettings instead: a graph that one file of ``ksim/model/families`` builds.
    """

    entry: str
    nodes: dict[Name, NodeTable] = Field(max_length=MAX_NODES)
    budgets: dict[Name, Literal["software", "hardware", "planned"]]


class Scenario(Run):
    """All that a run depends on. Made by ``ksim.model.loader``; two equal scenarios give equal results."""

    name: Name
    host: Host = Host()
    linux: Linux = Linux()
    workload: Workload = Workload()
    kdump: Kdump = Kdump()
    capture: Capture = Capture()
    kexec: Kexec = Kexec()
    recovery: Recovery = Recovery()
    faults: Annotated[dict[str, SerializeAsAny[FaultSettings]], SkipValidation] = Field(default_factory=dict)
    lifecycle: Annotated[SerializeAsAny[LifecycleTable | FamilySettings] | None, SkipValidation] = None
    micro: Micro | None = None

    def resolved(self) -> dict[str, Any]:
        """Every key with its value, quantities as texts in SI units; what a manifest stores."""
        tables = {"host", "linux", "workload", "kdump", "capture", "kexec", "recovery", "faults"}
        leave_out: dict[str, Any] = dict.fromkeys(tables if self.lifecycle is not None else {"lifecycle"}, True)
        if self.micro is None:
            leave_out["micro"] = True
        if not self.workload.impact:
            leave_out.setdefault("workload", {"impact"})
        leave_out.setdefault("capture", self.capture.added_later())
        return self.model_dump(mode="json", exclude=leave_out)

    def digest(self) -> str:
        """Content address: sha256 over the resolved scenario and the version of the model."""
        text = json.dumps([MODEL_VERSION, self.resolved()], sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()
