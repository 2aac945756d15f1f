"""The stages that faults and strategies share: the way from a reset to the service, silent states, kexec, victims.

Each function adds its nodes to the plan and returns the first one.
"""

from __future__ import annotations

from ksim.chance.distributions import Constant, Law
from ksim.linux.boot import crash_kernel_armed, root_mount
from ksim.linux.hw_watchdog import after_panic_s, in_hang_s, pretimeout_panics
from ksim.model.lifecycle import Branch, Clock, Service
from ksim.model.plan import Plan

NOW = Constant(0.0)


def reset(plan: Plan) -> str:
    """A hardware reset: firmware and boot loader, then the production kernel."""
    boot = plan.scenario.host.boot
    kernel = plan.junction("production_kernel")
    loader = plan.stage("loader", boot.loader, kernel)
    return plan.stage("firmware", boot.firmware, loader)


def production_kernel(plan: Plan) -> str:
    """The production kernel after a crash, up to the service: the root file system was not unmounted.

    The root file system may not be there (``recovery.root_fails``), and what crashed the last kernel may crash this
    one (``recovery.crashes_again``), before kdump.service has loaded the crash kernel or after that.
    """
    boot, recovery = plan.scenario.host.boot, plan.scenario.recovery
    application = plan.stage("application", boot.application, "running")
    again, early = recovery.crashes_again, recovery.crashes_early
    if crash_kernel_armed("userspace", early_kdump=EARLY_KDUMP in plan.words):
        early = 0.0  # loaded from the initramfs already
    ways = [Branch(application, boot.userspace, 1.0 - again)]
    if again > 0.0:
        ways += [
            Branch(plan.junction("panic early_boot"), boot.userspace, again * early),
            Branch(plan.junction("panic armed_boot"), boot.userspace, again * (1.0 - early)),
        ]
    userspace = plan.choice("userspace", "userspace", *ways)
    mounts, shares = 1.0 - recovery.root_fails, recovery.severity
    ways = [
        Branch(plan.stage("journal_replay", recovery.journal, userspace), boot.initrd, mounts * shares.journal),
        Branch(plan.stage("fsck", recovery.fsck, userspace), boot.initrd, mounts * shares.fsck),
        Branch(plan.stage("reinstall", recovery.reinstall, userspace), boot.initrd, mounts * shares.reinstall),
    ]
    if recovery.root_fails > 0.0:
        ways.append(Branch(no_root(plan), boot.initrd, recovery.root_fails))
    return plan.stage("kernel", boot.kernel, plan.choice("initrd", "initrd", *ways))


EARLY_KDUMP = "rd.earlykdump"
"""Boot parameter: dracut's initramfs loads the crash kernel (kdump-utils, early-kdump-howto.txt)."""


def no_root(plan: Plan) -> str:
    """The root device is not there: an emergency shell that waits for ever, or a panic long before kdump."""
    outcome = root_mount(
        initramfs=plan.scenario.recovery.initramfs,
        found=False,
        rootwait=plan.words.get("rootwait", ""),
        release=plan.release,
    )
    if outcome.panics:
        to = plan.junction("panic early_boot")
    else:
        to = plan.junction("halted")
    return plan.stage("root_wait", Constant(outcome.wait_s), to, phase="root wait")


def hung(plan: Plan) -> str:
    """A panic that ended in a loop: a hardware watchdog that nobody feeds, the BMC or a human resets it."""
    host, clocks = plan.scenario.host, []
    if host.watchdog is not None and (left := after_panic_s(host.watchdog_driver, host.watchdog)) is not None:
        clocks = [Clock("watchdog after panic", Constant(left), plan.junction("reset"))]
    return plan.race("hung", "hung", *clocks, *from_outside(plan))


def silent(plan: Plan) -> str:
    """A kernel that a panic jumped into and that hangs itself: the watchdog ticks on from where it was."""
    return plan.race("silent", "hung", *starved_watchdog(plan), *from_outside(plan))


def dead(plan: Plan) -> str:
    """No CPU runs tasks any more, and the kernel had no say in it, unless the watchdog warns it by an NMI first."""
    lost = plan.scenario.workload.at_risk
    to = "panic pretimeout" if pretimeout_panics(plan.scenario.host.watchdog_driver) else "reset"
    return plan.race("dead", "hung", *starved_watchdog(plan, to), *from_outside(plan), work_lost_s=lost)


def wedged(plan: Plan) -> str:
    """The kernel lives and systemd feeds the watchdog, but the service is stuck for ever: only outside helps."""
    return plan.race("wedged", "hung", *from_outside(plan), work_lost_s=plan.scenario.workload.at_risk)


def halted(plan: Plan) -> str:
    """Halted, powered off, or in a shell that nobody sees: no watchdog runs, someone outside has to act."""
    return plan.race("halted", "halted", *from_outside(plan))


def starved_watchdog(plan: Plan, to: str = "reset") -> list[Clock]:
    """The hardware watchdog that nobody feeds from now on, if there is one that fires; ``to``: junction after it."""
    host = plan.scenario.host
    left = None if host.watchdog is None else in_hang_s(host.watchdog_driver, host.watchdog)
    return [] if left is None else [Clock("watchdog", Constant(left), plan.junction(to))]


def from_outside(plan: Plan) -> list[Clock]:
    """The BMC's monitoring, if there is one, and a human."""
    to, bmc = plan.junction("reset"), plan.scenario.host.bmc
    clocks = [] if bmc is None else [Clock("bmc", Constant(bmc), to)]
    return [*clocks, Clock("operator", plan.scenario.recovery.operator, to)]


def act(plan: Plan, action: str) -> str:
    """Where a failure_action or final_action of kdump.conf leads; without one it is a reboot."""
    return plan.junction("reset" if action in ("", "reboot") else "halted")


def kexec(plan: Plan) -> str:
    """A jump into the production kernel without firmware; a failed one ends in a reset or in silence."""
    settings = plan.scenario.kexec
    failed = plan.choice(
        "kexec_failed",
        "kexec failed",
        Branch(plan.junction("silent"), settings.failed, settings.hangs),
        Branch(plan.junction("reset"), settings.failed, 1.0 - settings.hangs),
    )
    return plan.choice(
        "kexec",
        "kexec",
        Branch(plan.junction("production_kernel"), settings.jump, settings.success),
        Branch(failed, settings.jump, 1.0 - settings.success),
    )


def at_risk_of_one_process(plan: Plan) -> float:
    """Seconds of the host's work that die with one of its processes."""
    return plan.scenario.workload.at_risk / plan.scenario.workload.processes


def victim(plan: Plan, name: str, alive: str, hits: float, restart: Law, cause: str) -> str:
    """One process dies in a kernel that goes on: with probability ``hits`` the service, which then restarts."""
    down = plan.stage(f"{name} restart", restart, alive, phase="service restart")
    return plan.choice(
        name,
        "kill",
        Branch(down, NOW, hits, cause=cause),
        Branch(alive, NOW, 1.0 - hits),
        service=Service.UP,
        event="kill",
        work_lost_s=at_risk_of_one_process(plan),
    )
