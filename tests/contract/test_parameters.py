"""Every parameter matters: change it, and the exact answer moves in the direction that Linux would have it.

CASES must name every key of the schema; a new key without a case fails.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel

from ksim.exact.solve import Solution
from ksim.model.compose import fault_sources, lifecycle
from ksim.model.idle import idle_settings
from ksim.model.loader import load
from ksim.model.scenario import Scenario
from ksim.model.schema import Shares
from ksim.units import YEAR_S


class Case(NamedTuple):
    """From ``low`` to ``high``, ``measure`` moves up (+1) or down (-1) under ``strategy`` and ``given``."""

    low: str
    high: str
    sign: int = 1
    strategy: str = "kdump"
    given: tuple[str, ...] = ()
    measure: str = "downtime"


NO_PANIC = "linux.sysctl.kernel.panic_on_oops=0"
BY_READ = "kdump.core_collector=makedumpfile -l -d 31 --non-mmap"
NVME = "host.disk_write=5 GB/s"
THREADS = "kdump.core_collector=makedumpfile -z -d 31 --num-threads 8"
BOOT = ("firmware", "loader", "kernel", "initrd", "userspace", "application")
LIMIT_1 = "linux.cmdline=crashkernel=512M sysctl.kernel.oops_limit=1"


def _shares(names: str, **given: float) -> str:
    """All shares of a table: those that are not given are 0."""
    return "{" + ", ".join(f"{name}={given.get(name, 0.0)}" for name in names.split()) + "}"


_hang = partial(_shares, "soft_lockup hard_lockup hung_task rcu_stall workqueue_lockup all_cpus_hang silent_hang")
_stall = partial(_shares, "soft_lockup hard_lockup hung_task rcu_stall workqueue_lockup")
_page = partial(_shares, "mce_user poison_clean poison_user poison_kernel")
IDLE_DIRECTIVES = (
    "path", "sshkey", "kdump_pre", "kdump_post", "kdump_emergency", "extra_bins", "extra_modules", "dracut_args",
    "force_rebuild", "force_no_rebuild", "auto_reset_crashkernel", "fence_kdump_args", "raw", "ext2", "ext3", "ext4",
    "minix", "btrfs", "xfs", "virtiofs",
)  # fmt: skip
"""kdump obeys them; when the host is back does not depend on them, as far as anybody measured."""
CASES: dict[str, Case] = {
    "host.cpus": Case("1", "8", -1, given=(THREADS, "capture.append=nr_cpus=8")),
    "host.hypervisor": Case("none", "kvm", -1, measure="vmcore"),
    "host.dump_space": Case("1 GB", "none", 1, measure="vmcore"),
    "host.watchdog_driver": Case("iTCO_wdt", "ipmi_watchdog", 1, "hang_until_operator", ("host.watchdog=60 s",)),
    "capture.append": Case("panic=0", "panic=10", -1, given=("linux.cmdline=crashkernel=128M",)),
    "capture.target_wait": Case("5 s", "120 s", given=("kdump.nfs=host:/dump",)),
    "capture.target_lost": Case("0.0", "0.3", -1, given=("kdump.nfs=host:/dump",), measure="vmcore"),
    "capture.feeds_watchdog": Case("false", "true", 1, given=("host.watchdog=60 s",), measure="vmcore"),
    **{f"capture.memory.{part}": Case("1 MiB", "800 MiB", -1, measure="vmcore")
       for part in ("kernel", "modules", "initramfs", "runtime", "luks")},
    "capture.memory.sigma": Case("0.1", "2.0", -1, measure="vmcore"),
    "recovery.crashes_again": Case("0.0", "0.5"),
    "recovery.crashes_early": Case("0.0", "1.0", -1, given=("recovery.crashes_again=0.5",), measure="share"),
    "recovery.root_fails": Case("0.0", "0.05"),
    "recovery.initramfs": Case("none", "dracut", 1, given=("recovery.root_fails=0.05",)),
    "workload.impact": Case("build-farm", "idle", 1, given=(NO_PANIC,), measure="vmcore"),
    "workload.at_risk": Case("1 min", "1 h", measure="work_lost"),
    "workload.processes": Case("1", "100", -1, given=(NO_PANIC,), measure="work_lost"),
    "host.memory": Case("64 GB", "512 GB"),
    **{f"host.boot.{p}": Case("1 s", "60 s") for p in BOOT},
    "host.disk_write": Case("10 MB/s", "500 MB/s", -1),
    "host.network": Case("10 MB/s", "500 MB/s", -1, given=("kdump.nfs=host:/dump",)),
    "kdump.nfs": Case("''", "host:/dump", 1, given=("host.network=10 MB/s",)),
    "kdump.ssh": Case("''", "user@host", 1, given=("host.network=10 MB/s",)),
    "host.watchdog": Case("60 s", "600 s", 1, "hang_until_operator"),
    "host.bmc": Case("60 s", "600 s", 1, "hang_until_operator"),
    "workload.pages": Case(
        "{zero=0.0,cache=0.0,private_cache=0.0,user=0.0,free=0.99,kernel=0.01}",
        "{zero=0.0,cache=0.0,private_cache=0.0,user=0.0,free=0.90,kernel=0.10}",
    ),
    "linux.distro": Case("rhel9", "upstream", -1, "auto", measure="vmcore"),
    "linux.cmdline": Case("crashkernel=512M", "quiet", -1, "auto", measure="vmcore"),
    "linux.release": Case("5.14", "6.12", 1, given=(NO_PANIC, LIMIT_1), measure="vmcore"),
    "linux.sysctl": Case("{'kernel.panic_on_oops'=0}", "{'kernel.panic_on_oops'=1}", 1, measure="vmcore"),
    "kdump.core_collector": Case("makedumpfile -l -d 31", "makedumpfile -c -d 0", 1),
    "kdump.failure_action": Case("reboot", "halt"),
    "kdump.default": Case("reboot", "halt"),
    "kdump.final_action": Case("reboot", "poweroff"),
    "kdump.fence_kdump_nodes": Case("''", "peer", 1, given=("host.bmc=60 s",), measure="vmcore"),
    "capture.boot": Case("10 s", "90 s"),
    "capture.success": Case("0.6", "0.9", 1, measure="vmcore"),
    "capture.failed": Case("10 s", "600 s"),
    "capture.hangs": Case("0.0", "0.8"),
    "capture.scan_per_tib": Case("15 s", "900 s"),
    "capture.thread_rate": Case("10 MB/s", "none", -1),
    "capture.plateau": Case("500 MB/s", "2 GB/s", -1, given=(THREADS, "capture.append=nr_cpus=8", NVME)),
    "capture.struct_page": Case("32 B", "64 B", -1, given=("host.disk_write=10 MB/s",)),
    "capture.read_scan": Case("1.0", "2.6", given=(BY_READ,)),
    "capture.read_doubles_at": Case("64 GB", "none", -1, given=(BY_READ,)),
    "capture.dump_sigma": Case("0.1", "2.0", -1, given=("capture.timeout=60 s",), measure="vmcore"),
    "capture.timeout": Case("20 s", "1800 s", 1, measure="vmcore"),
    "capture.finish": Case("1 s", "60 s"),
    "kexec.jump": Case("1 s", "60 s", 1, "kexec_reboot"),
    "kexec.success": Case("0.5", "0.99", -1, "kexec_reboot"),
    "kexec.failed": Case("10 s", "600 s", 1, "kexec_reboot"),
    "kexec.hangs": Case("0.0", "1.0", 1, "kexec_reboot"),
    "recovery.strategy": Case("full_reboot", "hang_until_operator", 1, ""),
    "recovery.severity": Case("{journal=1.0, fsck=0.0, reinstall=0.0}", "{journal=0.5, fsck=0.4, reinstall=0.1}"),
    "recovery.journal": Case("0 s", "30 s"),
    "recovery.fsck": Case("60 s", "3600 s"),
    "recovery.reinstall": Case("600 s", "7200 s"),
    "recovery.operator": Case("5 min", "5 h", 1, "hang_until_operator"),
}  # fmt: skip
HARMFUL = ("kernel.panic_on_warn=1", "kernel.unknown_nmi_panic=1")
"""By default Linux only prints a warning and logs an NMI."""
FAULT_CASES: dict[str, Case] = {
    "rate": Case("0.1 /y", "1 /y", given=HARMFUL),
    "shape": Case("0.7", "1.0", -1),
    "kind": Case("kernel_hang", "hardware_repair", 1),
    "kernel_oops.context": Case(
        "{process=1.0,softirq=0.0,hardirq=0.0,bh_disabled=0.0,idle=0.0,init=0.0}",
        "{process=0.0,softirq=0.0,hardirq=1.0,bh_disabled=0.0,idle=0.0,init=0.0}", given=(NO_PANIC,), measure="vmcore",
    ),
    "kernel_oops.detect": Case("0 s", "60 s"),
    "kernel_oops.process_local": Case("0.5", "0.9", -1, given=(NO_PANIC,)),
    "kernel_oops.leaks_lock": Case("0.0", "0.9", given=(NO_PANIC,)),
    "kernel_oops.leaked": Case(
        "{mutex=0.0,rwsem=0.0,spinlock=1.0,spinlock_irq=0.0}", "{mutex=1.0,rwsem=0.0,spinlock=0.0,spinlock_irq=0.0}",
        given=(NO_PANIC,),
    ),
    "kernel_oops.damage_shows": Case("1 h", "60 d", -1, given=(NO_PANIC,), measure="vmcore"),
    "kernel_hang.shows": Case(
        _hang(soft_lockup=1.0), _hang(silent_hang=1.0),
    ),
    "stall.shows": Case(_stall(hung_task=1.0), _stall(soft_lockup=1.0), measure="vmcore"),
    "stall.lasts": Case("5 s", "10 s"),
    "out_of_memory.constraint": Case(
        "{oom=0.0,oom_cpuset=0.0,oom_memcg=1.0}", "{oom=1.0,oom_cpuset=0.0,oom_memcg=0.0}",
        given=("vm.panic_on_oom=1",), measure="vmcore",
    ),
    "out_of_memory.hits_service": Case("0.0", "1.0"),
    "out_of_memory.asks_service": Case("0.0", "1.0", given=("vm.oom_kill_allocating_task=1",)),
    "out_of_memory.restart": Case("1 s", "600 s"),
    "memory_poison.page": Case(_page(poison_clean=1.0), _page(poison_user=1.0)),
    "memory_poison.hits_service": Case("0.0", "1.0"),
    "memory_poison.touched": Case("0.0", "1.0"),
    "memory_poison.restart": Case("1 s", "600 s"),
    "memory_poison.consumed": Case("1 h", "90 d", -1),
    "nmi.reasons": Case(
        "{unknown_nmi=0.0,serr_nmi=1.0,iock_nmi=0.0}", "{unknown_nmi=1.0,serr_nmi=0.0,iock_nmi=0.0}",
        given=("kernel.unknown_nmi_panic=1",),
    ),
    "file_system_error.fs": Case("ext4", "xfs", 1, given=("faults.file_system_error.errors=continue",)),
    "file_system_error.errors": Case("continue", "remount-ro"),
    "disk_command.p": Case("0.0", "1e-9"),
    "disk_command.per_s": Case("1.0", "1000.0", given=("faults.disk_command.p=1e-9",)),
    "disk_command.disk": Case("scsi", "nvme", given=("faults.disk_command.abort_works=0.0",)),
    "disk_command.timeout": Case("10 s", "180 s"),
    "disk_command.abort_works": Case("0.0", "1.0", -1),
    "disk_command.reset_works": Case("0.0", "1.0", -1),
    "disk_command.hits_service": Case("0.0", "1.0"),
    "disk_command.fs": Case("xfs", "ext4", 1, given=("faults.disk_command.errors=panic",), measure="vmcore"),
    "disk_command.errors": Case("remount-ro", "panic", 1, measure="vmcore"),
    "packet.p": Case("0.0", "1e-9"),
    "packet.per_s": Case("1.0", "1000.0", given=("faults.packet.p=1e-9",)),
    "packet.driver": Case("ixgbe", "mlx5_core"),
    "packet.reset": Case("1 s", "10 s"),
    "machine_check.resets": Case("0.0", "1.0", -1, measure="vmcore"),
    "hardware_repair.repair": Case("1 h", "10 h"),
    "host_pause.pause": Case("50 ms", "30 s"),
}  # fmt: skip
RUN_KEYS = {"seed", "horizon", "replications", "confidence", "name", "faults", "lifecycle", "micro"}


def leaves(model: type[BaseModel], prefix: str = "") -> set[str]:
    """Dotted keys of a table; a table of shares counts as one key."""
    found: set[str] = set()
    for name, field in model.model_fields.items():
        kind: Any = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel) and not issubclass(kind, Shares):
            found |= leaves(kind, f"{prefix}{name}.")
        else:
            found.add(prefix + name)
    return found


def test_every_key_has_a_case() -> None:
    assert leaves(Scenario) - RUN_KEYS == set(CASES) | {f"kdump.{name}" for name in IDLE_DIRECTIVES}
    own = {f"{name}.{key}" for name, source in fault_sources().items() for key in source.settings.model_fields}
    missing = {key for key in own if key not in FAULT_CASES and key.split(".")[1] not in ("rate", "shape", "kind")}
    # a driver oops has the keys of a kernel oops
    assert {key for key in missing if not key.startswith("driver_oops.")} == set()


def value(measure: str, strategy: str, overrides: tuple[str, ...]) -> float:
    solution = Solution(lifecycle(load("rack-server", overrides).scenario, strategy or None))
    match measure:
        case "vmcore":
            return solution.event_rate("vmcore") * YEAR_S
        case "share":
            return solution.event_rate("vmcore") / solution.event_rate("panic")
        case "work_lost":
            return solution.work_lost
    return solution.unavailability


@pytest.mark.parametrize("key", sorted(CASES))
def test_key_moves_the_answer(key: str) -> None:
    case = CASES[key]
    low, high = (value(case.measure, case.strategy, (*case.given, f"{key}={v}")) for v in (case.low, case.high))
    assert (high - low) * case.sign > 1e-9 * abs(low), f"{key}: {low} -> {high}"


PAIRS = [(f, k) for f in sorted(fault_sources()) for k in sorted(FAULT_CASES) if "." not in k or k.startswith(f"{f}.")]


@pytest.mark.parametrize(("fault", "key"), PAIRS)
def test_fault_key_moves_the_answer(fault: str, key: str) -> None:
    case, own = FAULT_CASES[key], key.split(".")[-1]
    if key == "kind":
        low, high = (value("downtime", "kdump", ("faults.x.rate=1 /y", f"faults.x.kind={v}")) for v in case[:2])
    else:
        given = (*case.given, f"faults.{fault}.rate=1 /y") if own != "rate" else case.given
        if own == "shape":
            given = (*given, *HARMFUL)
        low, high = (value(case.measure, case.strategy, (*given, f"faults.{fault}.{own}={v}")) for v in case[:2])
    if own == "shape":  # another law in the race; only for a source alone it would leave the mean as it is
        assert high != low
    else:
        assert (high - low) * case.sign > 1e-9 * abs(low), f"{fault}.{own}: {low} -> {high}"


def sysctl(name: str, low: int, high: int, sign: int, strategy: str = "kdump", measure: str = "downtime", *given: str):
    return pytest.param(name, low, high, sign, strategy, measure, given, id=name)


@pytest.mark.parametrize(
    ("name", "low", "high", "sign", "strategy", "measure", "given"),
    [
        sysctl("panic", 5, 60, 1, "full_reboot"),
        sysctl("panic_on_oops", 0, 1, 1, "kdump", "vmcore"),
        sysctl("oops_limit", 1, 10000, -1, "kdump", "vmcore", NO_PANIC),
        sysctl("softlockup_panic", 0, 1, 1, "kdump", "vmcore"),
        sysctl("hardlockup_panic", 0, 1, 1, "kdump", "vmcore"),
        sysctl("hung_task_panic", 0, 1, 1, "kdump", "vmcore"),
        sysctl("watchdog_thresh", 10, 60, 1, "kdump"),
        sysctl("hung_task_timeout_secs", 120, 1200, 1, "kdump", "downtime", "linux.sysctl.kernel.hung_task_panic=1"),
        sysctl("nmi_watchdog", 0, 1, 1, "kdump", "vmcore"),
        sysctl("soft_watchdog", 0, 1, 1, "kdump", "vmcore"),
        sysctl("kexec_load_disabled", 0, 1, -1, "kdump", "vmcore"),
        sysctl("panic_on_warn", 0, 1, 1, "kdump", "vmcore", "faults.kernel_warning.rate=1 /y"),
        sysctl("warn_limit", 0, 3, 1, "kdump", "vmcore", "faults.kernel_warning.rate=5 /y"),
        sysctl("panic_on_rcu_stall", 0, 1, 1, "kdump", "vmcore", "kernel.softlockup_panic=0"),
        sysctl("unknown_nmi_panic", 0, 1, 1, "kdump", "vmcore", "faults.nmi.rate=1 /y"),
        sysctl("panic_on_io_nmi", 0, 1, 1, "kdump", "vmcore", "faults.nmi.rate=1 /y"),
    ],
)
def test_sysctl_moves_the_answer(name: str, low: int, high: int, sign: int, strategy: str, measure: str, given) -> None:
    a, b = (value(measure, strategy, (*given, f"linux.sysctl.kernel.{name}={v}")) for v in (low, high))
    assert (b - a) * sign > 1e-9 * abs(a)


@pytest.mark.parametrize("name", IDLE_DIRECTIVES)
def test_a_directive_that_changes_nothing_is_named(name: str) -> None:
    value = {"path": "/dumps", "auto_reset_crashkernel": "no", "force_rebuild": "1", "force_no_rebuild": "1"}.get(
        name, "x"
    )
    scenario = load("rack-server", (f"kdump.{name}={value}",)).scenario
    assert f"kdump.{name} = {value}" in idle_settings(scenario, ("kdump",), lifecycle)
    assert "kdump.final_action = halt" not in idle_settings(
        load("rack-server", ("kdump.final_action=halt",)).scenario, ("kdump",), lifecycle
    )


@pytest.mark.parametrize(
    ("overrides", "strategy", "idle"),
    [
        (("kernel.panic=60",), "kdump", "kernel.panic = 60"),
        (("kernel.panic=60",), "full_reboot", None),
        (("vm.panic_on_oom=1",), "kdump", "vm.panic_on_oom = 1"),
        (("vm.panic_on_oom=1", "faults.out_of_memory.rate=1 /y"), "kdump", None),
        (("kernel.hung_task_panic=1", "kernel.hung_task_timeout_secs=0"), "kdump", "kernel.hung_task_panic = 1"),
    ],
)
def test_a_setting_that_linux_never_asks_for_is_named(
    overrides: tuple[str, ...], strategy: str, idle: str | None
) -> None:
    """kernel.panic beside a loaded crash kernel: the jump comes first, but for crashes before kdump.service."""
    calm = ("recovery.crashes_again=0", "recovery.root_fails=0")
    found = idle_settings(load("rack-server", (*calm, *overrides)).scenario, (strategy,), lifecycle)
    key = overrides[0].replace("=", " = ")
    assert (key in found) == (idle is not None)
