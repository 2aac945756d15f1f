"""The capture kernel at work, as nodes: from the jump to the final action of kdump.conf, with all that can fail.

What is decided by Linux or kdump stands in ``ksim.linux``: the memory need against the reservation
(``capture_memory``), threads, levels and space of the dump (``ksim.model.dump``), the actions
(``kdump_conf``), and what the capture kernel does when it panics itself (``distro``: its own panic=).
"""

from __future__ import annotations

import math

from ksim.chance.distributions import Constant, lognormal_exceeds, lognormal_of_mean, quantile_of
from ksim.linux.capture_memory import need_bytes, outcome
from ksim.linux.distro import capture_panic_s
from ksim.linux.hw_watchdog import left_for_dump_s
from ksim.linux.kdump_conf import ACTIONS, NETWORK_WAIT_S
from ksim.linux.panic import after_panic
from ksim.model.dump import dump_attempts, nr_cpus, over_network
from ksim.model.lifecycle import Branch, Clock
from ksim.model.machine import Machine
from ksim.model.plan import Plan
from ksim.model.stages import NOW, act, starved_watchdog
from ksim.model.strategy import Crash

BINS = 8
"""Equally likely boot times that stand for the law of the capture boot where a reset is due after the panic."""


def capture(plan: Plan, crash: Crash, after_dump: str) -> str:
    """The panic jumps into the capture kernel, which dumps and goes to ``after_dump``; or it fails.

    In the order of time: the jump; too little memory (by ``capture.memory`` against the reservation: the capture
    kernel panics, and its own panic= decides); another failure (``capture.success``: it hangs silently or takes the
    failure_action); the boot; a network target that never answers; the dump, level by level where space is short,
    under ``capture.timeout`` and the hardware watchdog.
    """
    settings = plan.scenario.capture
    jump_s = after_panic(plan.linux, crash_kernel_loaded=True, has_cma=plan.reservation.cma_bytes > 0).wait_s
    starved = _short_of_memory(plan)
    works = (1.0 - starved) * settings.success
    return plan.choice(
        crash.node,
        "panic",
        Branch(_booting(plan, after_dump), Constant(jump_s), works),
        Branch(_failed(plan), Constant(jump_s), 1.0 - starved - works),
        Branch(_out_of_memory(plan), Constant(jump_s), starved),
        event="panic",
        work_lost_s=crash.work_lost_s,
    )


# ---------------------------------------------------------------- failures


def _short_of_memory(plan: Plan) -> float:
    """P(the capture kernel needs more than crashkernel= reserves)."""
    memory, reserved = plan.scenario.capture.memory, plan.reservation.bytes
    need = needed_bytes(plan)
    short = lognormal_exceeds(reserved, need, memory.sigma)
    if short > 0.5:
        plan.note(
            f"the capture kernel needs about {need / 2**20:.0f} MiB, crashkernel= reserves {reserved / 2**20:.0f} MiB: "
            f"{short:.0%} of the captures run out of memory"
        )
    return short


def needed_bytes(plan: Machine) -> float:
    """What the capture kernel of this host needs, in the median."""
    parts = plan.scenario.capture.memory
    return need_bytes(
        kernel_bytes=parts.kernel,
        modules_bytes=parts.modules,
        initramfs_bytes=parts.initramfs,
        runtime_bytes=parts.runtime,
        luks_bytes=parts.luks,
        network=over_network(plan),
        nr_cpus=nr_cpus(plan),
    )


def _out_of_memory(plan: Plan) -> str:
    """OOM kills, then ``System is deadlocked on memory``: the panic of the capture kernel, by its own panic=."""
    settings = plan.scenario.capture
    end = outcome(0, needed_bytes(plan), capture_panic_s(plan.profile, settings.append))
    to = plan.junction("silent" if end.wait_s is None else "reset")
    panicked = plan.stage("capture_panic", Constant(end.wait_s or 0.0), to, phase="capture failed")
    return plan.stage("capture_oom", settings.boot, panicked, phase="capture failed")


def _failed(plan: Plan) -> str:
    settings = plan.scenario.capture
    return plan.choice(
        "capture_failed",
        "capture failed",
        Branch(plan.junction("silent"), settings.failed, settings.hangs),
        Branch(_failure_action(plan), settings.failed, 1.0 - settings.hangs),
    )


def _failure_action(plan: Plan) -> str:
    """What kdump.conf wants when there is no dump. A shell waits for ever; whoever leaves it gets final_action."""
    kdump = plan.scenario.kdump
    action = ACTIONS[kdump.failure_action or kdump.default or "reboot"]
    final = act(plan, kdump.final_action)
    if action.ends == "shell":
        return plan.race("capture_shell", "halted", Clock("operator", plan.scenario.recovery.operator, final))
    if action.ends != "dump":
        return act(plan, action.name)
    saved = plan.stage("rootfs_vmcore", plan.scenario.capture.finish, final, phase="final action", event="vmcore")
    whole = dump_attempts(plan, local=True)[-1]
    dumping = plan.stage("rootfs_dump", Constant(whole.seconds), saved, phase="dump") if whole.complete else final
    return plan.stage("rootfs_wait", Constant(action.wait_s), dumping, phase="target wait")


# ---------------------------------------------------------------- boot, target, dump


def _booting(plan: Plan, after_dump: str) -> str:
    """The capture boot, with whatever resets a silent machine meanwhile: a watchdog that is fed once its driver is
    there, or one that starves to the end, or a BMC (or cluster) that was not told of the dump."""
    settings = plan.scenario.capture
    limit_s = _reset_after_s(plan)
    if limit_s is None:
        up = _target(plan, after_dump, None)
        if plan.scenario.host.watchdog is None:
            return plan.stage("capture_boot", settings.boot, up, phase="capture boot")
        clock = Clock("capture boot", settings.boot, up)
        return plan.race("capture_boot", "capture boot", clock, *starved_watchdog(plan))
    branches = []
    for number in range(BINS):
        boot_s = quantile_of(settings.boot, (number + 0.5) / BINS)
        if limit_s <= boot_s:
            branches.append(Branch(plan.junction("reset"), Constant(limit_s), 1.0 / BINS))
        else:
            to = _target(plan, after_dump, (number, limit_s - boot_s))
            branches.append(Branch(to, Constant(boot_s), 1.0 / BINS))
    return plan.choice("capture_boot", "capture boot", *branches)


def _reset_after_s(plan: Plan) -> float | None:
    """Seconds from the panic after which something resets the machine under the capture kernel; None: nothing does."""
    host, limits = plan.scenario.host, []
    if host.watchdog is not None:
        feeds = plan.scenario.capture.feeds_watchdog
        limits.append(left_for_dump_s(host.watchdog_driver, host.watchdog, capture_feeds=feeds))
    if host.bmc is not None and not plan.scenario.kdump.fence_kdump_nodes:
        limits.append(host.bmc)
    return min((limit for limit in limits if limit is not None), default=None)


Starving = tuple[int, float] | None
"""(number of the copy, seconds until something resets the machine); None: nothing does."""


def _named(name: str, starving: Starving) -> str:
    return name if starving is None else f"{name} ({starving[0]})"


def _target(plan: Plan, after_dump: str, starving: Starving) -> str:
    """A network target answers after a while, or never: then kdump waits ten minutes and gives up."""
    settings = plan.scenario.capture
    if not over_network(plan):
        return _dumping(plan, after_dump, starving)
    never = plan.stage("target_lost", Constant(NETWORK_WAIT_S), _failure_action(plan), phase="target wait")
    if starving is not None and starving[1] < NETWORK_WAIT_S:
        cut = Constant(starving[1])
        never = plan.stage(_named("target_lost", starving), cut, plan.junction("reset"), phase="target wait")
    if starving is not None:  # the wait runs against the watchdog, too; what is left of it then counts from here
        number, left = starving
        wait_s = quantile_of(settings.target_wait, 0.5)
        if left <= wait_s:
            return plan.stage(_named("target_wait", starving), Constant(left), plan.junction("reset"), "target wait")
        starving = (number, left - wait_s)
        reached = plan.stage(
            _named("target_wait", starving), Constant(wait_s), _dumping(plan, after_dump, starving), "target wait"
        )
    else:
        reached = plan.stage("target_wait", settings.target_wait, _dumping(plan, after_dump, None), "target wait")
    return plan.choice(
        _named("target", starving),
        "target wait",
        Branch(reached, NOW, 1.0 - settings.target_lost),
        Branch(never, NOW, settings.target_lost),
        stream="target",
    )


def _dumping(plan: Plan, after_dump: str, starving: Starving) -> str:
    """makedumpfile, level by level: an attempt that fills the target is thrown away for the next one."""
    settings = plan.scenario.capture
    tries = dump_attempts(plan)
    saved = plan.stage("vmcore_saved", settings.finish, after_dump, phase="final action", event="vmcore")
    *full, last = tries
    if last.complete:
        clocks = [Clock("makedumpfile", lognormal_of_mean(last.seconds, settings.dump_sigma), saved)]
    else:
        plan.note(f"the dump does not fit into {plan.scenario.host.dump_space} B at any level: every capture fails")
        clocks = [Clock("makedumpfile full", Constant(last.seconds), _failure_action(plan))]
    if settings.timeout is not None:
        clocks.append(Clock("dump_timeout", Constant(settings.timeout), _failure_action(plan)))
    if starving is not None:
        left = starving[1] - math.fsum(attempt.seconds for attempt in full)
        clocks.append(Clock(_named("reset", starving), Constant(max(0.0, left)), plan.junction("reset")))
    node = plan.race(_named("dump", starving), "dump", *clocks)
    for number, attempt in reversed(list(enumerate(full))):
        node = plan.stage(_named(f"dump_full.{number}", starving), Constant(attempt.seconds), node, phase="dump")
    return node
