"""The stages that strategies share: the way from a reset to the service, silent states, capture, kexec.

Each function adds its nodes to the plan and returns the first one.
"""

from __future__ import annotations

from ksim.chance.distributions import Constant, lognormal_of_mean
from ksim.linux.core_collector import Collector, parse_core_collector
from ksim.linux.makedumpfile import DumpPlan, plan_dump
from ksim.model.lifecycle import Branch, Clock
from ksim.model.plan import Plan

NOW = Constant(0.0)


def reset(plan: Plan) -> str:
    """A hardware reset: firmware and boot loader, then the production kernel."""
    boot = plan.scenario.host.boot
    kernel = plan.junction("production_kernel")
    loader = plan.stage("loader", boot.loader, kernel)
    return plan.stage("firmware", boot.firmware, loader)


def production_kernel(plan: Plan) -> str:
    """The production kernel after a crash, up to the service: the root file system was not unmounted."""
    boot, recovery = plan.scenario.host.boot, plan.scenario.recovery
    shares = recovery.severity
    application = plan.stage("application", boot.application, "running")
    userspace = plan.stage("userspace", boot.userspace, application)
    initrd = plan.choice(
        "initrd",
        "initrd",
        Branch(plan.stage("journal_replay", recovery.journal, userspace), boot.initrd, shares.journal),
        Branch(plan.stage("fsck", recovery.fsck, userspace), boot.initrd, shares.fsck),
        Branch(plan.stage("reinstall", recovery.reinstall, userspace), boot.initrd, shares.reinstall),
    )
    return plan.stage("kernel", boot.kernel, initrd)


def hung(plan: Plan) -> str:
    """The kernel is dead and silent: a hardware watchdog that nobody feeds, the BMC or a human resets it."""
    watchdog = plan.scenario.host.watchdog
    clocks = [] if watchdog is None else [Clock("watchdog", Constant(watchdog), plan.junction("reset"))]
    return plan.race("hung", "hung", *clocks, *_from_outside(plan))


def wedged(plan: Plan) -> str:
    """The kernel lives and systemd feeds the watchdog, but the service is stuck for ever: only outside helps."""
    return plan.race("wedged", "hung", *_from_outside(plan))


def halted(plan: Plan) -> str:
    """Halted, powered off, or in a shell that nobody sees: no watchdog runs, someone outside has to act."""
    return plan.race("halted", "halted", *_from_outside(plan))


def _from_outside(plan: Plan) -> list[Clock]:
    reset, bmc = plan.junction("reset"), plan.scenario.host.bmc
    clocks = [] if bmc is None else [Clock("bmc", Constant(bmc), reset)]
    return [*clocks, Clock("operator", plan.scenario.recovery.operator, reset)]


def act(plan: Plan, action: str) -> str:
    """Where a failure_action or final_action of kdump.conf leads."""
    return plan.junction("reset" if action == "reboot" else "halted")


def capture(plan: Plan, panic: str, after_dump: str) -> str:
    """The panic jumps into the capture kernel, which dumps and goes to ``after_dump``; or it fails.

    A capture that fails costs ``capture.failed``, then hangs silently or takes the ``failure_action``; so does
    a dump that outlasts ``capture.timeout``. With a reservation below ``capture.memory`` it always fails.
    """
    settings, kdump = plan.scenario.capture, plan.scenario.kdump
    success = settings.success
    if plan.reservation.bytes < settings.memory:
        success = 0.0
        plan.note(
            f"the capture kernel needs {settings.memory / 2**20:.0f} MiB, crashkernel= reserves "
            f"{plan.reservation.bytes / 2**20:.0f} MiB: every capture runs out of memory"
        )
    failure = act(plan, kdump.failure_action)
    failed = plan.choice(
        "capture_failed",
        "capture failed",
        Branch(plan.junction("hung"), settings.failed, settings.hangs),
        Branch(failure, settings.failed, 1.0 - settings.hangs),
    )
    saved = plan.stage("vmcore_saved", settings.finish, after_dump, phase="final action", event="vmcore")
    clocks = [Clock("makedumpfile", lognormal_of_mean(dump(plan).total_s, settings.dump_sigma), saved)]
    if settings.timeout is not None:
        clocks.append(Clock("dump_timeout", Constant(settings.timeout), failure))
    dumping = plan.race("dump", "dump", *clocks)
    booting = plan.stage("capture_boot", settings.boot, dumping, phase="capture boot")
    return plan.choice(panic, "panic", Branch(booting, NOW, success), Branch(failed, NOW, 1.0 - success), event="panic")


def dump(plan: Plan) -> DumpPlan:
    """Size and mean duration of the dump on this host."""
    scenario = plan.scenario
    host, settings = scenario.host, scenario.capture
    collector = parse_core_collector(scenario.kdump.core_collector)
    threads = min(collector.threads, host.cpus, settings.nr_cpus)
    over_network = bool(scenario.kdump.nfs or scenario.kdump.ssh)
    return plan_dump(
        Collector(collector.compressor, collector.level, threads),
        host.memory,
        scenario.workload.pages.values(),
        write_bytes_per_s=host.network if over_network else host.disk_write,
        scan_s_per_tib=settings.scan_per_tib,
    )


def kexec(plan: Plan) -> str:
    """A jump into the production kernel without firmware; a failed one ends in a reset or in silence."""
    settings = plan.scenario.kexec
    failed = plan.choice(
        "kexec_failed",
        "kexec failed",
        Branch(plan.junction("hung"), settings.failed, settings.hangs),
        Branch(plan.junction("reset"), settings.failed, 1.0 - settings.hangs),
    )
    return plan.choice(
        "kexec",
        "kexec",
        Branch(plan.junction("production_kernel"), settings.jump, settings.success),
        Branch(failed, settings.jump, 1.0 - settings.success),
    )
