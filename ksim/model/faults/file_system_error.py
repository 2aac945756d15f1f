"""The root file system finds itself inconsistent, or cannot write its journal. Off unless a rate is given.

Model    ``ksim.linux.escalation`` says what ext4 does by its mount option ``errors``, and XFS always: go on, take no
         more writes (the system is up and its service is not, until someone outside acts), or panic.
Sources  Linux fs/ext4/super.c, fs/xfs/xfs_fsops.c.
Solved   yes.
"""

from __future__ import annotations

from typing import Literal

from ksim.linux.rules import End
from ksim.model.fault import FaultSource, Struck
from ksim.model.fields import param
from ksim.model.lifecycle import Branch, Budget, Service
from ksim.model.plan import Plan
from ksim.model.schema import FaultSettings
from ksim.model.stages import NOW
from ksim.source import Source, assumed


class Settings(FaultSettings):
    """Keys of ``[faults.file_system_error]``."""

    fs: Literal["ext4", "xfs"] = param("ext4", "", "", "", assumed("the default of most installers"), "root fs")
    errors: Literal["continue", "remount-ro", "panic"] = param(
        "remount-ro", "", "", "", Source("mount(8), ext4(5)", "what installers put on the root file system"),
        "mount option errors= of ext4",
    )  # fmt: skip


def strike(plan: Plan, settings: Settings, struck: Struck) -> str:
    if settings.fs == "xfs":
        decision = plan.decide("xfs_shutdown")
    else:
        decision = plan.decide("ext4_error", fs_errors=settings.errors)
    if decision.panics:
        branch = Branch(plan.junction("panic"), NOW, cause=struck.fault)
    elif decision.end is End.FILE_SYSTEM:
        branch = Branch(plan.junction("wedged"), NOW, cause=struck.fault)
    else:
        branch = Branch(struck.alive, NOW)
    return plan.choice(struck.node, "file system", branch, service=Service.UP)


FAULT = FaultSource(
    name="file_system_error",
    summary="ext4 by its errors= option: goes on, read-only, or a panic; XFS shuts down",
    budget=Budget.SOFTWARE,
    settings=Settings,
    strike=strike,
)
