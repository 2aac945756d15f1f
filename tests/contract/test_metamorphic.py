"""How answers relate to each other when the scenario changes, where no answer need be known."""

from __future__ import annotations

import math

import pytest

from ksim.exact.solve import Solution
from ksim.linux.makedumpfile import plan_dump
from ksim.macro.walker import Walker
from ksim.model.compose import lifecycle
from ksim.model.dump import dump_attempts
from ksim.model.lifecycle import Lifecycle
from ksim.model.loader import load
from ksim.model.machine import Machine
from ksim.model.scenario import Scenario
from ksim.study import measures
from ksim.units import YEAR_S

BASES = ("rack-server", "vm", "large-memory")
STRATEGIES = ("auto", "full_reboot", "kdump", "kdump_kexec", "kexec_reboot", "hang_until_operator")
ONLY_OOPS = tuple(f"faults.{name}.rate=0" for name in ("kernel_hang", "machine_check", "hardware_repair"))


def scenario(base: str = "rack-server", *overrides: str) -> Scenario:
    return load(base, overrides).scenario


def life(strategy: str, *overrides: str, base: str = "rack-server") -> Lifecycle:
    return lifecycle(scenario(base, *overrides), strategy)


def exact(graph: Lifecycle) -> dict[str, float]:
    return {name: found.value for name, found in measures.exact(Solution(graph), 10 * YEAR_S, with_tails=False)}


def phases(strategy: str, *overrides: str) -> dict[str, float]:
    """Seconds per software outage by phase."""
    prefix = "software_outage_s_mean:phase="
    found = exact(life(strategy, *overrides))
    return {name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)}


def path(graph: Lifecycle) -> list[tuple[float, str, str, str]]:
    walked = Walker(graph, seed=3).path(0, 200 * YEAR_S)
    return [tuple(step) for step in walked.transitions(graph.layout)]  # type: ignore[misc]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_fault_of_rate_zero_changes_nothing(strategy: str) -> None:
    """Not one bit of the trajectory, nor of the exact answer."""
    other = 'faults.other={kind="kernel_oops", rate="0 /y"}'
    pause = "faults.host_pause.rate=0 /y"
    one, two = life(strategy), life(strategy, other, pause)
    assert path(one) == path(two)
    found = exact(two)
    assert {name: found[name] for name in exact(one)} == exact(one)
    assert all(value == 0.0 for name, value in found.items() if name not in exact(one))


@pytest.mark.parametrize("oops", [0, 1])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_rate_in_two_halves_is_the_whole_rate(strategy: str, oops: int) -> None:
    settings = f"linux.sysctl.kernel.panic_on_oops={oops}"
    whole = exact(life(strategy, settings, "faults.kernel_oops.rate=3 /y"))
    halves = exact(
        life(strategy, settings, "faults.kernel_oops.rate=1 /y", 'faults.x={kind="kernel_oops", rate="2 /y"}')
    )
    shared = {name for name in whole if "cause=" not in name}
    assert shared == {name for name in halves if "cause=" not in name}
    for name in shared:
        assert halves[name] == pytest.approx(whole[name], rel=1e-12, abs=1e-300), name
    prefix = "downtime_min_per_year:cause="
    assert halves[f"{prefix}kernel_oops"] == pytest.approx(whole[f"{prefix}kernel_oops"] / 3, rel=1e-12)
    assert halves[f"{prefix}x"] == pytest.approx(2 * whole[f"{prefix}kernel_oops"] / 3, rel=1e-12)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_order_of_fault_tables_is_irrelevant(strategy: str, tmp_path) -> None:
    """By the bits: draws are addressed by name."""
    one, two = '[faults.a]\nkind = "kernel_oops"\nrate = "5 /y"\n', '[faults.b]\nkind = "kernel_hang"\nrate = "2 /y"\n'
    found = []
    for text in (one + two, two + one):
        (tmp_path / "s.toml").write_text(text)
        found.append(path(lifecycle(load(str(tmp_path / "s.toml")).scenario, strategy)))
    assert found[0] == found[1]
    assert len(found[0]) > 1000


def test_all_times_doubled_double_every_interval() -> None:
    half = {
        f"host.boot.{p}": s for p, s in zip(("firmware", "loader", "kernel", "initrd", "userspace"), range(10, 60, 10))
    }
    times = half | {"host.boot.application": 30, "recovery.journal": 2, "recovery.fsck": 100, "recovery.reinstall": 900}
    settings = ("linux.sysctl.kernel.panic=-1", "faults.kernel_oops.detect=0")

    def at(factor: int) -> list[tuple[float, str, str, str]]:
        laws = [f"{key}={factor * seconds} s" for key, seconds in times.items()]
        return path(life("full_reboot", *ONLY_OOPS, *settings, *laws, f"faults.kernel_oops.rate={4 // factor} /y"))

    slow, fast = at(2), at(1)
    n = min(len(slow), len(fast))
    assert n > 1000
    # the uptime is 1 / rate times the same draw: 2^-52 relative rounding in the sum of times
    assert all(a[1:] == b[1:] and math.isclose(a[0], 2 * b[0], rel_tol=1e-9) for a, b in zip(slow[:n], fast[:n]))


def test_capture_that_always_fails_equals_its_fallback() -> None:
    """Fails at once and does what failure_action says: a plain reboot without any wait."""
    given = ("capture.success=0", "capture.failed=0", "capture.hangs=0", "linux.sysctl.kernel.panic=-1")
    for action, strategy in (("reboot", "full_reboot"),):
        kdump = exact(life("kdump", *given, f"kdump.failure_action={action}"))
        fallback = exact(life(strategy, *given))
        for name in ("availability", "software_outage_s_mean", "software_outage_s_sd", "downtime_min_per_year"):
            assert kdump[name] == pytest.approx(fallback[name], rel=1e-12), name
        assert kdump["vmcore_captured"] == 0.0
    # whatever panics before kdump.service has run ends as kernel.panic says: here it does not happen
    calm = (*ONLY_OOPS, "recovery.crashes_again=0", "capture.memory.sigma=0")
    hanging = exact(life("kdump", "capture.success=0", "capture.failed=0", "capture.hangs=1"))
    nothing = exact(life("hang_until_operator", *calm))
    of_oops = exact(life("kdump", *calm, "capture.success=0", "capture.failed=0", "capture.hangs=1"))
    assert of_oops["software_outage_s_mean"] == pytest.approx(nothing["software_outage_s_mean"], rel=1e-12)
    assert hanging["vmcore_captured"] == 0.0


@pytest.mark.parametrize("strategy", ["kdump", "kdump_kexec"])
@pytest.mark.parametrize("cmdline", ["crashkernel=64M", "crashkernel=214M"])
def test_a_reservation_below_the_need_saves_nothing(strategy: str, cmdline: str) -> None:
    sharp = "capture.memory.sigma=0.0"
    short = life(strategy, f"linux.cmdline={cmdline}", sharp)
    assert exact(short)["vmcore_captured"] == 0.0
    assert any("run out of memory" in note for note in short.notes)
    enough = life(strategy, "linux.cmdline=crashkernel=215M", sharp)
    assert exact(enough)["vmcore_captured"] > 0.8
    assert not enough.notes
    # with a spread around the need, the reservation that meets it exactly fails every other time
    half = exact(life(strategy, "linux.cmdline=crashkernel=215M"))["vmcore_captured"]
    assert half == pytest.approx(0.5 * exact(enough)["vmcore_captured"], rel=1e-9)


@pytest.mark.parametrize(
    ("distro", "append", "visited", "not_visited"),
    [
        ("rhel9", "", "firmware", "silent"),
        ("debian12", "", "silent", ""),
        ("debian12", "panic=5", "firmware", "silent"),
        ("rhel9", "panic=0", "silent", ""),
    ],
)
def test_a_capture_kernel_out_of_memory_ends_by_its_own_panic(distro, append, visited, not_visited) -> None:
    found = life(
        "kdump", f"linux.distro={distro}", f"capture.append={append}", "linux.cmdline=crashkernel=64M",
        "capture.hangs=0", "kernel.panic_on_oops=1",
    )  # fmt: skip
    names = {node.name for node in found.nodes}
    assert "capture_oom" in names
    (way,) = found["capture_panic"].branches
    assert way.to == visited
    assert not_visited not in names


def test_old_crashes_are_not_captured_before_kdump_has_started() -> None:
    """Crashes of a boot: early ones meet no crash kernel, unless it is loaded from the initramfs."""
    again = ("recovery.crashes_again=0.5", "recovery.crashes_early=1.0", "capture.memory.sigma=0")
    late, early = life("kdump", *again), life("kdump", *again, "linux.cmdline=crashkernel=512M rd.earlykdump")
    assert exact(late)["vmcore_captured"] < 0.6 * exact(early)["vmcore_captured"]
    assert "panic.early_boot" in late.index
    assert "panic.early_boot" not in early.index


@pytest.mark.parametrize(("given", "cut"), [
    (("host.watchdog=60 s",), False),
    (("host.watchdog=60 s", "capture.feeds_watchdog=false"), True),
    (("host.watchdog=60 s", "capture.feeds_watchdog=false", "host.watchdog_driver=softdog"), False),
    (("host.bmc=60 s",), True),
    (("host.bmc=60 s", "kdump.fence_kdump_nodes=peer"), False),
])  # fmt: skip
def test_what_nobody_feeds_or_tells_cuts_the_dump(given: tuple[str, ...], cut: bool) -> None:
    whole = exact(life("kdump", *ONLY_OOPS))["vmcore_captured"]
    found = exact(life("kdump", *ONLY_OOPS, *given))["vmcore_captured"]
    assert (found < 0.8 * whole) == cut


def test_a_watchdog_that_warns_by_an_nmi_saves_a_dump_of_a_dead_host() -> None:
    shows = "soft_lockup=0.0, hard_lockup=0.0, hung_task=0.0, rcu_stall=0.0, workqueue_lockup=0.0, silent_hang=0.0"
    given = ("faults.kernel_oops.rate=0 /y", "host.watchdog=60 s", "kernel.hardlockup_panic=0",
             f"faults.kernel_hang.shows={{{shows}, all_cpus_hang=1.0}}")  # fmt: skip
    resets, warns = life("kdump", *given), life("kdump", *given, "host.watchdog_driver=hpwdt")
    assert "panic.pretimeout" not in resets.index
    assert warns["dead"].clocks[0].to == "panic.pretimeout"
    assert exact(warns)["panics_per_year"] > 1.5 * exact(resets)["panics_per_year"]
    assert exact(warns)["vmcore_captured"] > 0.8
    assert exact(warns)["work_lost_min_per_year"] == pytest.approx(exact(resets)["work_lost_min_per_year"], rel=1e-4)


def test_a_full_target_loses_the_dump_unless_a_smaller_level_fits() -> None:
    space = "host.dump_space=2 GB"
    full = life("kdump", space, "kdump.core_collector=makedumpfile -l -d 1")
    assert exact(full)["vmcore_captured"] == 0.0
    assert any("does not fit" in note for note in full.notes)
    listed = exact(life("kdump", space, "kdump.core_collector=makedumpfile -l -d 1,31", "capture.timeout=none"))
    small = exact(life("kdump", space, "kdump.core_collector=makedumpfile -l -d 31", "capture.timeout=none"))
    assert listed["vmcore_captured"] == pytest.approx(small["vmcore_captured"], rel=1e-9) != 0.0
    assert listed["software_outage_s_mean"] > small["software_outage_s_mean"]
    network = life("kdump", space, "kdump.nfs=h:/d", "kdump.failure_action=dump_to_rootfs", "capture.target_lost=1.0")
    assert "rootfs_vmcore" in network.index


def test_no_firmware_leaves_kexec_only_what_is_its_own() -> None:
    """With POST and loader of 0 s a kexec differs from a reboot in the phases that they do not share."""
    given = (*ONLY_OOPS, "host.boot.firmware=0", "host.boot.loader=0", "linux.sysctl.kernel.panic=-1")
    reboot, kexec = phases("full_reboot", *given), phases("kexec_reboot", *given)
    own = {"kexec", "kexec failed", "hung", "panic", "firmware", "loader"}
    assert set(reboot) ^ set(kexec) <= own
    shared = (set(reboot) | set(kexec)) - own
    assert {
        "kernel",
        "initrd",
        "userspace",
        "application",
        "journal_replay",
        "fsck",
        "reinstall",
        "detection",
    } <= shared
    for phase in shared:
        assert kexec[phase] == pytest.approx(reboot[phase], rel=1e-12), phase
    assert reboot.get("firmware", 0.0) == reboot.get("loader", 0.0) == 0.0
    perfect = phases("kexec_reboot", *given, "kexec.success=1", "kexec.jump=0")
    assert math.fsum(perfect.values()) == pytest.approx(math.fsum(reboot.values()), rel=1e-12)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_faults_that_never_come_cost_nothing(base: str, strategy: str) -> None:
    before = 1.0
    for rate in ("1e-1", "1e-4", "1e-7"):
        rates = [f"faults.{name}.rate={rate} /y" for name in scenario(base).faults]
        down = 1.0 - exact(life(strategy, *rates, base=base))["availability"]
        assert 0.0 <= down < before / 900
        before = down


@pytest.mark.parametrize("phase", ["firmware", "loader", "kernel", "initrd", "userspace", "application"])
def test_one_stage_longer_makes_no_outage_shorter(phase: str) -> None:
    """Under common draws each single outage gets weakly longer, not just their mean."""

    def lengths(seconds: int) -> list[float]:
        graph = life("kexec_reboot", *ONLY_OOPS, f"host.boot.{phase}={seconds} s", "faults.kernel_oops.rate=20 /y")
        found, began = [], 0.0
        for time, source, target, _ in path(graph):
            if target == "kernel_oops.detection" or (source == "kernel_oops" and target == "panic"):
                began = time
            if target == "running":
                found.append(time - began)
        return found

    short, long = lengths(5), lengths(50)
    n = min(len(short), len(long))
    assert n > 1000
    assert all(b >= a - 1e-3 for a, b in zip(short[:n], long[:n]))
    assert (
        sum(b > a + 1.0 for a, b in zip(short[:n], long[:n])) > (0.01 if phase in ("firmware", "loader") else 0.99) * n
    )


# ---------------------------------------------------------------- memory and its dump


def dump_of(*overrides: str) -> float:
    """Bytes written."""
    found = scenario("rack-server", *overrides)
    (planned,) = dump_attempts(Machine(found))
    assert planned.seconds > 0.0
    return planned.bytes_written


def test_more_memory_makes_an_unfiltered_dump_larger() -> None:
    sizes = [dump_of("kdump.core_collector=makedumpfile -d 0", f"host.memory={gib} GiB") for gib in (64, 128, 256)]
    assert sizes[1] == pytest.approx(2 * sizes[0], rel=1e-12)
    assert sizes[2] == pytest.approx(4 * sizes[0], rel=1e-12)


def test_a_filtered_dump_grows_only_by_kernel_pages() -> None:
    gib = 2**30

    def filtered(memory: int, kernel: float, level: int) -> float:
        share = kernel / memory
        pages = {"kernel": share, "free": 0.5 * (1 - share), "user": 1 - share - 0.5 * (1 - share)}
        return dump_of(
            f"host.memory={memory} GiB",
            f"kdump.core_collector=makedumpfile -d {level}",
            "workload.pages={" + ", ".join(f"{name}={value!r}" for name, value in pages.items()) + "}",
        )

    # 64 B of struct page for each 4 KiB of RAM are kernel pages; 8 GiB hold those of either size. Uncompressed.
    assert filtered(64, 8.0, 31) == pytest.approx(8 * gib, rel=1e-9)
    assert filtered(256, 8.0, 31) == pytest.approx(filtered(64, 8.0, 31), rel=1e-9), "only free and user pages grew"
    assert filtered(256, 16.0, 31) == pytest.approx(2 * filtered(256, 8.0, 31), rel=1e-9)
    assert filtered(256, 8.0, 0) == pytest.approx(4 * filtered(64, 8.0, 0), rel=1e-9)


@pytest.mark.parametrize("level", [0, 1, 2, 4, 8, 16, 17, 31])
def test_a_level_leaves_out_no_more_than_the_whole_of_it(level: int) -> None:
    size = dump_of(f"kdump.core_collector=makedumpfile -d {level}")
    assert dump_of("kdump.core_collector=makedumpfile -d 31") <= size <= dump_of("kdump.core_collector=cp")


def test_threads_beyond_the_capture_kernels_cpus_do_nothing() -> None:
    def seconds(*overrides: str) -> float:
        (planned,) = dump_attempts(Machine(scenario("rack-server", *overrides)))
        return planned.seconds

    collector = "kdump.core_collector=makedumpfile -c -d 1 --num-threads"
    cpus = "capture.append=nr_cpus=8"
    assert seconds(f"{collector} 8") == seconds(f"{collector} 1"), "nr_cpus is 1"
    assert seconds(f"{collector} 8", cpus) < seconds(f"{collector} 1", cpus)
    assert seconds(f"{collector} 8", cpus, "host.cpus=1") == seconds(f"{collector} 1")
    without = "kdump.core_collector=makedumpfile -c -d 1"
    assert seconds(without, cpus) == seconds(f"{collector} 1", cpus)
    appends = (cpus, "linux.distro=fedora")
    assert seconds(without, *appends) == seconds(f"{collector} 8", *appends), "adds --num-threads=$(nproc) by itself"
    assert seconds(f"{collector} 1", *appends) == seconds(without, *appends), "whatever was given before it"


def test_the_dump_of_the_stages_is_the_dump_of_makedumpfile() -> None:
    found = scenario("rack-server", "kdump.ssh=a@b", "host.network=10 MB/s")
    from ksim.linux.core_collector import parse_core_collector

    plain = plan_dump(
        parse_core_collector(found.kdump.conf.core_collector),
        found.host.memory,
        found.workload.pages.values(),
        write_bytes_per_s=1e7,
        scan_s_per_tib=found.capture.scan_per_tib,
    )
    (planned,) = dump_attempts(Machine(found))
    assert (planned.seconds, planned.bytes_written) == (plain.total_s, plain.output_bytes)
