"""The settings that decide what a failing kernel does, from a command line and from sysctl values.

Follows the kernel files that each knob names (defaults and ranges), fs/proc/proc_sysctl.c (``sysctl.*`` on
the command line) and Documentation/admin-guide/sysctl/{kernel,vm}.rst.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ksim.errors import LinuxError, nearest
from ksim.linux.cmdline import boot_parameters, leading_int
from ksim.linux.vocabulary import Release

INT_MAX = 2**31 - 1
UINT_MAX = 2**32 - 1
COUNTS_HUNG_TASKS_SINCE: Release = (6, 19)
"""Since then hung_task_panic=N panics once a scan finds N hung tasks (commit 9544f9e6947f)."""
SOFTLOCKUP_COUNT_SINCE: Release = (7, 0)
"""Since then softlockup_panic=N panics once a CPU is stuck for N thresholds."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The knobs of KNOBS by their last names; the defaults are those of upstream Linux 6.12 on x86-64.

    Seconds: panic, watchdog_thresh, hung_task_timeout_secs, hung_task_check_interval_secs,
    rcu_cpu_stall_timeout, workqueue_watchdog_thresh, workqueue_panic_on_stall_time. ``nmi_watchdog`` is the
    hard lockup detector and ``soft_watchdog`` the soft lockup detector, 1 for on. ``panic_on_taint`` is a
    mask. ``min_free_kbytes`` 0: as Linux works it out from the memory. The last four are no knobs but say which
    kernel this is: ``hardlockup_detector`` perf (needs a performance counter), buddy (6.5) or none, two build options
    as 0 or 1, and the release.
    """

    panic: int = 0
    panic_on_oops: int = 0
    oops_limit: int = 10000
    panic_on_warn: int = 0
    warn_limit: int = 0
    panic_on_taint: int = 0
    panic_on_taint_nousertaint: int = 0
    crash_kexec_post_notifiers: int = 0
    panic_print: int = 0
    softlockup_panic: int = 0
    hardlockup_panic: int = 0
    watchdog_thresh: int = 10
    nmi_watchdog: int = 1
    soft_watchdog: int = 1
    hung_task_panic: int = 0
    hung_task_timeout_secs: int = 120
    hung_task_check_interval_secs: int = 0
    hung_task_warnings: int = 10
    panic_on_rcu_stall: int = 0
    max_rcu_stall_to_panic: int = 0
    rcu_cpu_stall_timeout: int = 21
    rcu_cpu_stall_suppress: int = 0
    workqueue_watchdog_thresh: int = 0
    workqueue_panic_on_stall: int = 0
    workqueue_panic_on_stall_time: int = 0
    unknown_nmi_panic: int = 0
    panic_on_unrecovered_nmi: int = 0
    panic_on_io_nmi: int = 0
    panic_on_oom: int = 0
    oom_kill_allocating_task: int = 0
    memory_failure_recovery: int = 1
    memory_failure_early_kill: int = 0
    panic_on_unrecoverable_memory_failure: int = 0
    swappiness: int = 60
    dirty_ratio: int = 20
    dirty_background_ratio: int = 10
    min_free_kbytes: int = 0
    kexec_load_disabled: int = 0
    kexec_load_limit_panic: int = -1
    hardlockup_detector: str = "perf"
    bug_on_data_corruption: int = 0
    sched_stack_end_check: int = 0
    release: Release = (6, 12)

    @property
    def crash_kernel_loadable(self) -> bool:
        """Whether ``kexec -p`` works: kexec_load_disabled=1 locks the crash kernel out too, and
        kexec_load_limit_panic=0 allows no load of it (kexec_core.c)."""
        return self.kexec_load_disabled == 0 and self.kexec_load_limit_panic != 0


@dataclass(frozen=True, slots=True)
class Knob:
    """One sysctl (``name`` with a dot after kernel or vm) or boot parameter: field of Settings, range, file.

    ``since`` is the first release that has it; ``boot_only`` ones are no sysctls.
    """

    name: str
    field: str
    low: int
    high: int
    file: str
    since: Release = (0, 0)
    boot_only: bool = False


def _kernel(field: str, low: int, high: int, file: str, since: Release = (0, 0)) -> Knob:
    return Knob(f"kernel.{field}", field, low, high, file, since)


_PANIC, _EXIT, _WATCHDOG, _HUNG = "kernel/panic.c", "kernel/exit.c", "kernel/watchdog.c", "kernel/hung_task.c"
_RCU, _WORKQUEUE, _NMI = "kernel/rcu/tree_stall.h", "kernel/workqueue.c", "arch/x86/kernel/nmi.c"
KNOBS: tuple[Knob, ...] = (
    _kernel("panic", -INT_MAX - 1, INT_MAX, _PANIC),
    _kernel("panic_on_oops", -INT_MAX - 1, INT_MAX, _PANIC),
    _kernel("oops_limit", 0, UINT_MAX, _EXIT, (6, 1)),  # 6.2, and ported back to the 6.1 long-term release
    _kernel("panic_on_warn", 0, 1, _PANIC),
    _kernel("warn_limit", 0, UINT_MAX, _PANIC, (6, 1)),
    _kernel("panic_print", 0, UINT_MAX, _PANIC),
    _kernel("softlockup_panic", 0, 1, _WATCHDOG),
    _kernel("hardlockup_panic", 0, 1, _WATCHDOG),
    _kernel("watchdog_thresh", 0, 60, _WATCHDOG),
    _kernel("nmi_watchdog", 0, 1, _WATCHDOG),
    _kernel("soft_watchdog", 0, 1, _WATCHDOG),
    _kernel("watchdog", 0, 1, _WATCHDOG),
    _kernel("hung_task_panic", 0, 1, _HUNG),
    _kernel("hung_task_timeout_secs", 0, INT_MAX, _HUNG),
    _kernel("hung_task_check_interval_secs", 0, INT_MAX, _HUNG, (5, 0)),
    _kernel("hung_task_warnings", -1, INT_MAX, _HUNG),
    _kernel("panic_on_rcu_stall", 0, 1, _RCU),
    _kernel("max_rcu_stall_to_panic", 0, INT_MAX, _RCU, (5, 11)),
    _kernel("unknown_nmi_panic", -INT_MAX - 1, INT_MAX, _NMI),
    _kernel("panic_on_unrecovered_nmi", -INT_MAX - 1, INT_MAX, _NMI),
    _kernel("panic_on_io_nmi", -INT_MAX - 1, INT_MAX, _NMI),
    _kernel("kexec_load_disabled", 0, 1, "kernel/kexec_core.c"),
    _kernel("kexec_load_limit_panic", -1, INT_MAX, "kernel/kexec_core.c", (6, 3)),
    Knob("vm.panic_on_oom", "panic_on_oom", 0, 2, "mm/oom_kill.c"),
    Knob("vm.oom_kill_allocating_task", "oom_kill_allocating_task", -INT_MAX - 1, INT_MAX, "mm/oom_kill.c"),
    Knob("vm.memory_failure_recovery", "memory_failure_recovery", 0, 1, "mm/memory-failure.c"),
    Knob("vm.memory_failure_early_kill", "memory_failure_early_kill", 0, 1, "mm/memory-failure.c"),
    Knob(
        "vm.panic_on_unrecoverable_memory_failure", "panic_on_unrecoverable_memory_failure", 0, 1,
        "mm/memory-failure.c", (7, 0),
    ),
    Knob("vm.swappiness", "swappiness", 0, 200, "mm/vmscan.c"),
    Knob("vm.dirty_ratio", "dirty_ratio", 0, 100, "mm/page-writeback.c"),
    Knob("vm.dirty_background_ratio", "dirty_background_ratio", 0, 100, "mm/page-writeback.c"),
    Knob("vm.min_free_kbytes", "min_free_kbytes", 0, INT_MAX, "mm/page_alloc.c"),
    Knob("crash_kexec_post_notifiers", "crash_kexec_post_notifiers", 0, 1, _PANIC, boot_only=True),
    Knob("panic_on_taint", "panic_on_taint", 1, 2**20 - 1, _PANIC, (5, 8), boot_only=True),
    Knob("rcupdate.rcu_cpu_stall_timeout", "rcu_cpu_stall_timeout", 3, 300, _RCU, boot_only=True),
    Knob("rcupdate.rcu_cpu_stall_suppress", "rcu_cpu_stall_suppress", 0, 1, _RCU, boot_only=True),
    Knob("workqueue.watchdog_thresh", "workqueue_watchdog_thresh", 0, INT_MAX, _WORKQUEUE, boot_only=True),
    Knob("workqueue.panic_on_stall", "workqueue_panic_on_stall", 0, UINT_MAX, _WORKQUEUE, (6, 11), boot_only=True),
    Knob(
        "workqueue.panic_on_stall_time", "workqueue_panic_on_stall_time", 0, UINT_MAX, _WORKQUEUE, (7, 0),
        boot_only=True,
    ),
)  # fmt: skip


def parse_release(text: str) -> Release:
    """Major and minor number of "6.12" or "5.14.0-427.el9.x86_64". Raises LinuxError."""
    match = re.match(r"(\d{1,3})\.(\d{1,3})(?![0-9])", text)
    if match is None:
        raise LinuxError(f"not a kernel release: '{text[:60]}' (write for example '6.12')")
    return int(match[1]), int(match[2])


def knobs(release: Release, *, boot_only: bool = False) -> dict[str, Knob]:
    """The sysctls (or the boot-only parameters) of a release, by name, with the ranges of that release."""
    return {knob.name: _of(knob, release) for knob in KNOBS if knob.boot_only is boot_only and release >= knob.since}


def _of(knob: Knob, release: Release) -> Knob:
    counts = {"softlockup_panic": SOFTLOCKUP_COUNT_SINCE, "hung_task_panic": COUNTS_HUNG_TASKS_SINCE}
    since = counts.get(knob.field)
    return knob if since is None or release < since else replace(knob, high=INT_MAX)


def settings(
    cmdline: str,
    sysctl: Mapping[str, int | str],
    release: Release = (6, 12),
    built: Mapping[str, int | str] | None = None,
) -> Settings:
    """The settings of a kernel booted with ``cmdline`` once systemd-sysctl has written ``sysctl``.

    ``built`` are fields of Settings that the kernel's build or the platform decides (rcu_cpu_stall_timeout,
    workqueue_watchdog_thresh, hardlockup_detector, nmi_watchdog in a guest, crash_kexec_post_notifiers on
    Hyper-V). Then three steps, a later one wins: boot parameters (``panic=``, ``oops=panic``,
    ``panic_on_warn``, ``panic_on_taint=``, ``softlockup_panic=``, ``nmi_watchdog=[panic,|nopanic,]0|1``,
    ``nowatchdog``, ``nosoftlockup``, ``watchdog_thresh=`` and the dotted ones); then
    ``sysctl.kernel.X=``, ``sysctl.vm.X=`` and ``hung_task_panic=`` of the same command line, which Linux
    applies when it starts init; then ``sysctl`` in its order. ``nowatchdog`` (and ``kernel.watchdog=0``) is
    a master switch: the single detectors cannot be switched on past it.

    On the command line, unknown parameters are fine and values that Linux refuses change nothing. Two quirks
    of Linux are kept: ``watchdog_thresh=junk`` sets 0 and so switches the detectors off, and
    softlockup_panic= reads junk as 0 and any other number as yes.

    Raises LinuxError for an unknown key in ``sysctl`` and for a value that is no integer in Linux's range.
    """
    known = knobs(release)
    values: dict[str, int | str] = {"watchdog": 1, **(built or {})}
    for field in ("oops_limit", "warn_limit"):
        if f"kernel.{field}" not in known:
            values[field] = 0
    parameters = boot_parameters(cmdline)
    for name, value in parameters:
        values.update(_boot(name.replace("-", "_"), value, release))
    for name, value in parameters:
        values.update(_boot_sysctl(name, value, known))
    for key, raw in sysctl.items():
        knob = _knob(key, known, release)
        values[knob.field] = _checked(key, knob, raw)
    if not values.pop("watchdog"):
        values.update(nmi_watchdog=0, soft_watchdog=0)
    return replace(Settings(release=release), **values)  # type: ignore[arg-type]


def _knob(key: str, known: Mapping[str, Knob], release: Release) -> Knob:
    name = key.replace("/", ".")
    if name in known:
        return known[name]
    where = f"in Linux {release[0]}.{release[1]}"
    for knob in KNOBS:
        if name in (knob.name, f"kernel.{knob.name}") and knob.boot_only:
            raise LinuxError(f"'{key}' is no sysctl but a boot parameter: write {knob.name}= on the command line")
        if name == knob.name:
            raise LinuxError(
                f"'{key}' does not exist {where} (it came with {knob.since[0]}.{knob.since[1]}): sysctl(8) would "
                f"say 'cannot stat' and change nothing"
            )
    raise LinuxError(
        f"unknown sysctl '{key}' {where}{nearest(name, known)} (sysctl(8) says 'cannot stat' to a name that Linux does "
        f"not have, and changes nothing; real sysctls that have no part in failures are not modelled)"
    )


def _boot(name: str, value: str | None, release: Release) -> dict[str, int]:
    """What one boot parameter sets, before init runs."""
    known, dotted = knobs(release), knobs(release, boot_only=True)
    if name == "panic":
        number = to_int(value)
        return {} if number is None or not _in_range(known["kernel.panic"], number) else {"panic": number}
    if name == "oops":
        return {"panic_on_oops": 1} if value == "panic" else {}
    if name == "panic_on_warn":  # core_param(): the word alone counts as 1, and sets what the sysctl could not
        number = 1 if value is None else to_int(value)
        return {} if number is None else {"panic_on_warn": number}
    if name == "panic_on_taint":
        return _panic_on_taint(value or "") if name in dotted else {}
    if name in ("panic_print", "unknown_nmi_panic"):
        number = 1 if name == "unknown_nmi_panic" else to_int(value)
        return {} if number is None or number < 0 else {name: number}
    if name == "softlockup_panic":  # simple_strtoul: no complaint, no range
        high = known["kernel.softlockup_panic"].high
        return {} if value is None else {"softlockup_panic": min(leading_int(value)[0], high)}
    if name == "nowatchdog":
        return {"watchdog": 0}
    if name == "nosoftlockup":
        return {"soft_watchdog": 0}
    if name == "watchdog_thresh" and value:  # get_option: stores 0 even where it finds no number
        number, end = leading_int(value.removeprefix("-"))
        is_negative = value.startswith("-") and end > 0 and number > 0
        return {} if is_negative or number > INT_MAX else {"watchdog_thresh": number}
    if name == "nmi_watchdog":
        return _nmi_watchdog(value or "")
    return _module_parameter(dotted.get(name), value)


def _module_parameter(knob: Knob | None, value: str | None) -> dict[str, int]:
    """``crash_kexec_post_notifiers`` and ``workqueue.X=N``: a word alone, or Y, stands for 1 where 1 is a switch."""
    if knob is None:
        return {}
    switches = {None: 1, "Y": 1, "y": 1, "N": 0, "n": 0}
    number = switches[value] if knob.high == 1 and value in switches else to_int(value)
    return {} if number is None or not _in_range(knob, number) else {knob.field: number}


def _panic_on_taint(value: str) -> dict[str, int]:
    """panic_on_taint_usertaint(): HEX[,nousertaint]; a mask of unknown bits is cut, an empty one ignored."""
    mask, _, option = value.partition(",")
    if re.fullmatch(r"(0[xX])?[0-9a-fA-F]{1,16}", mask) is None:
        return {}
    bits = int(mask, 16) & (2**20 - 1)
    return {"panic_on_taint": bits, "panic_on_taint_nousertaint": int(option == "nousertaint")} if bits else {}


def _nmi_watchdog(value: str) -> dict[str, int]:
    """hardlockup_panic_setup() since 6.9: a list, every item looked at by its first letters."""
    values: dict[str, int] = {}
    for item in value.split(","):
        if item.startswith("panic"):
            values["hardlockup_panic"] = 1
        elif item.startswith("nopanic"):
            values["hardlockup_panic"] = 0
        elif item.startswith(("0", "1")):
            values["nmi_watchdog"] = int(item[0])
    return values


def _boot_sysctl(name: str, value: str | None, known: Mapping[str, Knob]) -> dict[str, int]:
    """process_sysctl_arg(): ``sysctl.kernel.X=N`` is written as by sysctl(8), with the same ranges."""
    path = "sysctl.kernel.hung_task_panic" if name == "hung_task_panic" else name.replace("/", ".")
    knob = known.get(path.removeprefix("sysctl."))
    number = to_int(value)
    if not path.startswith("sysctl.") or knob is None or number is None or not _in_range(knob, number):
        return {}
    return {knob.field: number}


def _checked(key: str, knob: Knob, raw: int | str) -> int:
    number = to_int(raw) if isinstance(raw, str) else raw
    # bool is an int to Python, but `true` is nothing that sysctl would write.
    if not isinstance(number, int) or isinstance(number, bool) or not _in_range(knob, number):
        raise LinuxError(
            f"{key} = {raw!r}: expected an integer from {knob.low} to {knob.high} (Linux would answer "
            f"'Invalid argument' and keep the old value)"
        )
    return number


def _in_range(knob: Knob, number: int) -> bool:
    return knob.low <= number <= knob.high


def to_int(text: str | None) -> int | None:
    """An integer in base 0 with an optional minus, nothing behind it; None if it is not one."""
    digits = (text or "").strip()
    sign = -1 if digits.startswith("-") else 1
    digits = digits.removeprefix("-")
    number, end = leading_int(digits)
    return sign * number if digits and end == len(digits) else None
