"""Hangs, memory, hardware and file systems, line by line. Follows kernel/watchdog.c, kernel/hung_task.c,
kernel/rcu/tree_stall.h, kernel/workqueue.c, mm/oom_kill.c, arch/x86/kernel/nmi.c, mce/core.c, fs/ext4, fs/xfs."""

from __future__ import annotations

from ksim.linux.console.look import Look, call_trace, cpu_lines, modules, registers
from ksim.linux.detectors import Detection
from ksim.linux.escalation import Decision
from ksim.linux.rules import Strike
from ksim.linux.taint import tainted_text
from ksim.linux.vocabulary import Release

_UNIT_S = 2**30 / 1e9
"""The watchdog's clock counts in these: running_clock() >> 30."""
BUDGET_LINE_SINCE: Release = (6, 12)
IO_WAIT_SINCE: Release = (7, 0)
WATCHDOG_PREFIX_SINCE: Release = (6, 12)
CPU_FIRST_SINCE: Release = (7, 0)
REPORT_BEFORE_PANIC_SINCE: Release = (6, 12)


def hang(decision: Decision, look: Look) -> list[str]:
    """What the detectors print, in the order in which they look; up to the first that panics."""
    found = sorted((d for d in decision.detections if d.fires), key=lambda d: d.latency.low_s)
    lines: list[str] = []
    for detection in found:
        lines += _DETECTORS[detection.detector](decision.strike, look, detection)
        if detection.panics and detection.message == decision.message:
            break
    return lines


def _soft_lockup(strike: Strike, look: Look, detection: Detection) -> list[str]:
    # the sixth sample after the last touch is the first beyond the threshold: 22 s at the default of 10
    at_s = max(2.4 * strike.settings.watchdog_thresh, detection.panic_latency.low_s if detection.panics else 0.0)
    seconds = int(at_s / _UNIT_S)
    task = f"{strike.task.comm}:{strike.task.pid}"
    head = f"watchdog: BUG: soft lockup - CPU#{look.cpu} stuck for {seconds}s! [{task}]"
    return [
        head,
        modules(look),
        *cpu_lines(strike, look, strike.taint),
        *registers(look, "<f3> 90 8b"),
        *call_trace(look),
    ]


def _hard_lockup(strike: Strike, look: Look, detection: Detection) -> list[str]:
    text = f"Watchdog detected hard LOCKUP on cpu {look.cpu}"
    if look.since >= CPU_FIRST_SINCE:
        head = f"watchdog: CPU{look.cpu}: {text}"
    else:
        head = f"{'watchdog' if look.since >= WATCHDOG_PREFIX_SINCE else 'NMI watchdog'}: {text}"
    body = [*cpu_lines(strike, look, strike.taint), *registers(look, "<f3> 90 8b"), *call_trace(look, "NMI")]
    return [head, modules(look), *body]


def _hung_task(strike: Strike, look: Look, detection: Detection) -> list[str]:
    left = strike.settings.hung_task_warnings - strike.hung_reports
    unlimited = strike.settings.hung_task_warnings < 0
    if not unlimited and left <= 0 and not (detection.panics and look.since >= REPORT_BEFORE_PANIC_SINCE):
        return []
    task, seconds = strike.task, strike.settings.hung_task_timeout_secs
    wait = " in I/O wait" if look.since >= IO_WAIT_SINCE else ""
    lines = [
        f"INFO: task {task.comm}:{task.pid} blocked{wait} for more than {seconds} seconds.",
        f"      {tainted_text(strike.taint, look.since)} {look.release} #1",
        '"echo 0 > /proc/sys/kernel/hung_task_timeout_secs" disables this message.',
        f"task:{task.comm:<15.15} state:D stack:0     pid:{task.pid:<5} tgid:{task.pid:<5} ppid:1      "
        "flags:0x00004002",
        *call_trace(look),
    ]
    if left == 1 and not unlimited and look.since >= BUDGET_LINE_SINCE:
        lines.append("Future hung task reports are suppressed, see sysctl kernel.hung_task_warnings")
    return lines


def _rcu_stall(strike: Strike, look: Look, detection: Detection) -> list[str]:
    jiffies = strike.settings.rcu_cpu_stall_timeout * look.hz + 2
    flavour = "rcu_preempt" if look.preempt in ("full", "lazy") or look.since >= (6, 0) else "rcu_sched"
    return [
        f"rcu: INFO: {flavour} self-detected stall on CPU",
        f"rcu: \t{look.cpu}-....: ({jiffies - 2} ticks this GP) idle=9c4c/1/0x4000000000000000 "
        f"softirq=4321/4321 fqs={jiffies // 2}",
        f"rcu: \t(t={jiffies} jiffies g=12345 q=67 ncpus={look.cpus})",
        *cpu_lines(strike, look, strike.taint),
        *registers(look, "<f3> 90 8b"),
        *call_trace(look, "IRQ"),
    ]


def _workqueue(strike: Strike, look: Look, detection: Detection) -> list[str]:
    seconds = strike.settings.workqueue_watchdog_thresh + 2
    return [
        f"BUG: workqueue lockup - pool cpus={look.cpu} node=0 flags=0x0 nice=0 stuck for {seconds}s!",
        "Showing busy workqueues and worker pools:",
    ]


_DETECTORS = {
    "soft_lockup": _soft_lockup,
    "hard_lockup": _hard_lockup,
    "hung_task": _hung_task,
    "rcu_stall": _rcu_stall,
    "workqueue_lockup": _workqueue,
}


def memory(decision: Decision, look: Look) -> list[str]:
    """Out of memory: the invocation, the constraint, and the kill, if there is one."""
    strike = decision.strike
    task, is_memcg = strike.task, strike.event.name == "oom_memcg"
    constraint = {"oom_memcg": "CONSTRAINT_MEMCG", "oom_cpuset": "CONSTRAINT_CPUSET"}.get(
        strike.event.name, "CONSTRAINT_NONE"
    )
    gfp = "gfp_mask=0x140dca(GFP_HIGHUSER_MOVABLE|__GFP_COMP|__GFP_ZERO), order=0, oom_score_adj=0"
    lines = [f"{task.comm} invoked oom-killer: {gfp}", *cpu_lines(strike, look, strike.taint), *call_trace(look)]
    lines += ["Mem-Info:", "Tasks state (memory values in pages):"]
    if decision.panics:
        return [*lines, *decision.prints]
    scope = "oom_memcg=/system.slice" if is_memcg else "global_oom"
    pid = task.pid if decision.rule == "oom_kill_allocating_task" else 2048
    comm = task.comm if decision.rule == "oom_kill_allocating_task" else "java"
    head = "Memory cgroup out of memory" if is_memcg else "Out of memory"
    sizes = "total-vm:8388608kB, anon-rss:4194304kB, file-rss:1024kB, shmem-rss:0kB, UID:1000"
    return [
        *lines,
        f"oom-kill:constraint={constraint},nodemask=(null),cpuset=/,mems_allowed=0,{scope},"
        f"task_memcg=/system.slice/{comm}.service,task={comm},pid={pid},uid=1000",
        f"{head}: Killed process {pid} ({comm}) {sizes} pgtables:8400kB oom_score_adj:0",
        f"oom_reaper: reaped process {pid} ({comm}), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB",
    ]


def hardware(decision: Decision, look: Look) -> list[str]:
    """NMIs, machine checks, poisoned pages."""
    strike = decision.strike
    match strike.event.name:
        case "unknown_nmi":
            head = [] if strike.is_handled else [f"Uhhuh. NMI received for unknown reason 2d on CPU {look.cpu}."]
            return [*head, *decision.prints]
        case "serr_nmi":
            head = [] if strike.is_handled else [f"NMI: PCI system error (SERR) for reason a1 on CPU {look.cpu}."]
            return [*head, *decision.prints]
        case "iock_nmi":
            if strike.is_handled:
                return []
            first = f"NMI: IOCK error (debug interrupt?) for reason 71 on CPU {look.cpu}."
            return [first, *cpu_lines(strike, look, strike.taint), *registers(look, "<f3> 90 8b")]
        case "mce_fatal" | "mce_timeout":
            prefix = "mce: [Hardware Error]:"
            return [
                f"{prefix} CPU {look.cpu}: Machine Check Exception: 5 Bank 7: be00000000800400",
                f"{prefix} RIP !INEXACT! 10:<ffffffffb0c1a2b3> {{{look.function}}}",
                f"{prefix} TSC 1a2b3c4d5e6f ADDR 3a7f21000 MISC 86",
                f"{prefix} PROCESSOR 0:50654 TIME 1705312800 SOCKET 0 APIC 8 microcode 2006e05",
                f"{prefix} Run the above through 'mcelog --ascii'",
                f"{prefix} Machine check: Processor context corrupt",
            ]
        case "ghes_fatal":
            return [
                "{1}[Hardware Error]: Hardware error from APEI Generic Hardware Error Source: 1",
                "{1}[Hardware Error]: event severity: fatal",
            ]
    return list(decision.prints)


def file_system(decision: Decision, look: Look) -> list[str]:
    """ext4 and XFS."""
    strike = decision.strike
    if strike.event.name == "ext4_error":
        what = f"inode #2: comm {strike.task.comm}: reading directory lblock 0"
        head = f"EXT4-fs error (device sda1): ext4_find_entry:1234: {what}"
        journal = ["Aborting journal on device sda1-8."] if strike.fs_errors == "remount-ro" else []
        return [head, *journal, *decision.prints]
    if strike.event.name == "ext4_abort":
        what = f"comm {strike.task.comm}: Detected aborted journal"
        return [f"EXT4-fs error (device sda1): ext4_journal_check_start:83: {what}", *decision.prints]
    if strike.event.name == "xfs_shutdown":
        where = "xlog_ioend_work+0x6f/0x90 (fs/xfs/xfs_log.c:1378)"
        head = f"XFS (sda1): Log I/O Error (0x2) detected at {where}.  Shutting down filesystem."
        return ["XFS (sda1): log I/O error -5", head, *decision.prints]
    return ['XFS (sda1): metadata I/O error in "xfs_buf_ioend+0x8f/0x1a0" at daddr 0x40 len 8 error 5']
