"""A command that the disk does not answer. Off unless a probability or a rate is given.

Model    Each of ``per_s`` commands a second is lost with probability ``p``. Whoever waits for it waits for its timeout
         and an abort: the whole service (``hits_service``), or one thread of it (degraded). Where the abort works, the
         second try is answered. Where it does not, the error handler freezes the adapter, and with it the service, and
         climbs its ladder of resets; each helps with ``reset_works``. At its end the disk is offline, every I/O is EIO,
         and ``ksim.linux.escalation`` says what the file system does: a panic, or a service that is stuck until the
         next boot.
Sources  Linux drivers/scsi/scsi_error.c, drivers/nvme/host/pci.c, fs/ext4/super.c, fs/xfs/xfs_fsops.c, by
         ``ksim.linux.block``.
Assumes  the second try of a command is not lost too, and the disk works again after the next boot. Hung-task detectors
         do not panic meanwhile: a wait is shorter than their 120 s.
Solved   yes.
"""

from __future__ import annotations

from typing import Literal

from ksim.chance.distributions import Constant
from ksim.linux.block import Kind, abort_s, after_eio, reset_rungs_s
from ksim.model.fault import FaultSource, Struck
from ksim.model.fields import Number, Probability, Seconds, field_of, param
from ksim.model.impact import ImpactTable
from ksim.model.lifecycle import Branch, Budget, Service
from ksim.model.operations import Operations, per_operation
from ksim.model.plan import Plan
from ksim.model.schema_micro import MicroDisk, shared
from ksim.model.stages import NOW
from ksim.source import assumed


class Settings(Operations):
    """Keys of ``[faults.disk_command]``; those of the device are the same as in ``[micro.disk]``."""

    p: Probability = param(
        0.0, "1", "0", "1e-6", assumed("off unless a probability is given; nobody counted"),
        "P(a command is never answered)",
    )  # fmt: skip
    per_s: Number = param(1000.0, "1/s", "0.1", "100000", assumed("a busy database"), "commands of the disk per second")
    disk: Kind = field_of(shared(MicroDisk, "kind"))
    timeout: Seconds = field_of(shared(MicroDisk, "timeout"))
    abort_works: Probability = field_of(shared(MicroDisk, "abort_works"))
    reset_works: Probability = field_of(shared(MicroDisk, "reset_works"))
    hits_service: Probability = param(
        0.2, "1", "0", "1", assumed("a lost journal commit or a lost read under a lock stops all; most reads do not"),
        "P(the whole service waits for the lost command)",
    )  # fmt: skip
    fs: Literal["ext4", "xfs"] = field_of(shared(MicroDisk, "file_system"))
    errors: Literal["continue", "remount-ro", "panic"] = field_of(shared(MicroDisk, "errors"))


def strike(plan: Plan, settings: Settings, struck: Struck) -> str:
    answered, stuck = (Constant(settings.timeout + abort_s(settings.disk, works=works)) for works in (True, False))
    aborted, hits = settings.abort_works, settings.hits_service
    again = [Branch(struck.alive, answered, aborted)] if aborted > 0.0 else []
    frozen = [] if aborted == 1.0 else [Branch(_resets(plan, settings, struck), stuck, 1.0 - aborted)]
    ways = []
    if hits > 0.0:
        down = plan.choice(
            f"{struck.node} service waits", "disk timeout", *again, *frozen, stream=f"{struck.fault} waits"
        )
        ways.append(Branch(down, NOW, hits, cause=struck.fault))
    if hits < 1.0:
        frozen = [Branch(way.to, way.dwell, way.p, cause=struck.fault) for way in frozen]
        degraded = plan.choice(
            f"{struck.node} thread waits", "disk timeout", *again, *frozen,
            service=Service.DEGRADED, stream=f"{struck.fault} waits",
        )  # fmt: skip
        ways.append(Branch(degraded, NOW, 1.0 - hits))
    return plan.choice(struck.node, "disk timeout", *ways, service=Service.UP, stream=struck.fault)


def _resets(plan: Plan, settings: Settings, struck: Struck) -> str:
    """The ladder: one branch per rung that may help, and one for a disk that is gone."""
    ways, left, passed_s = [], 1.0, 0.0
    for lasts_s in reset_rungs_s(settings.disk):
        passed_s += lasts_s
        if left * settings.reset_works > 0.0:
            ways.append(Branch(struck.alive, Constant(passed_s), left * settings.reset_works))
        left *= 1.0 - settings.reset_works
    if left > 0.0:
        ways.append(Branch(_offline(plan, settings), Constant(passed_s), left))
    return plan.choice(f"{struck.node} reset", "disk reset", *ways, stream=f"{struck.fault} reset")


def _offline(plan: Plan, settings: Settings) -> str:
    """Every I/O is EIO: the file system panics, or takes no more writes; even where it goes on, nothing can be read."""
    event = after_eio(settings.fs, "journal" if settings.fs == "ext4" else "metadata, device gone").event
    return plan.junction("panic" if plan.decide(event, fs_errors=settings.errors).panics else "wedged")


def measured(table: ImpactTable) -> dict[str, float]:
    return {"per_s": table.mean("reads_per_s") + table.mean("writes_per_s")}


FAULT = FaultSource(
    name="disk_command",
    summary="a disk command without an answer: timeout, abort, resets, and a disk that is gone",
    budget=Budget.HARDWARE,
    settings=Settings,
    strike=strike,
    rate=per_operation,
    measured=measured,
)
