"""One crash in full: ``ksim trace`` tells the same story in a table, as a kernel log, as data and as a trace."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from ksim.cli import cli, exit_with
from ksim.errors import ScenarioError
from ksim.linux.vocabulary import Context
from ksim.micro.causes import parse_fault
from ksim.micro.machine import Boot
from ksim.micro.recorder import Recorder
from ksim.model.loader import load
from ksim.report.story import as_data
from ksim.report.story_trace import trace
from ksim.study.story import Story, console, tell
from tests.contract.test_console_real_readers import squad
from tests.trace_processor import TraceProcessor


def story(fault: str, *overrides: str, record: bool = False, base: str = "rack-server") -> Story:
    given = ("micro.span=5 s", *overrides)
    return tell(load(base, given).scenario, [parse_fault(fault)] if fault else [], record=record)


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def ksim(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """The command, in this process."""

    def run(*words: str) -> Done:
        with pytest.raises(SystemExit) as end:
            exit_with(lambda: cli.main(args=list(words), prog_name="ksim", standalone_mode=False))
        out, err = capsys.readouterr()
        return Done(int(end.value.code or 0), out, err)

    return run


def test_a_panic_and_the_way_back() -> None:
    found = story("null_deref")
    assert found.ending.kind == "panicked"
    phases = [stage.phase for stage in found.stages]
    assert phases[:4] == ["panic", "capture boot", "dump", "final action"]
    assert phases[-1] == "application"
    assert "firmware" in phases
    for before, after in zip(found.stages, found.stages[1:], strict=False):
        assert before.end_s == after.start_s, "the stages tile the way back"
    assert found.stages[0].start_s == pytest.approx(found.ending.at_ns * 1e-9)
    assert found.downtime_s == pytest.approx(sum(stage.end_s - stage.start_s for stage in found.stages))


def test_the_strategy_decides_on_the_way_back() -> None:
    scenario = load("rack-server", ("micro.span=5 s",)).scenario
    fault = [parse_fault("null_deref")]
    by_name = {name: tell(scenario, fault, strategy=name) for name in ("full_reboot", "kdump", "kexec_reboot")}
    assert {name: "firmware" in {s.phase for s in found.stages} for name, found in by_name.items()} == {
        "full_reboot": True, "kdump": True, "kexec_reboot": False,
    }  # fmt: skip
    assert len({found.ending.at_ns for found in by_name.values()}) == 1, "the crash is the same"


def test_a_survived_oops_has_no_way_back() -> None:
    found = story("null_deref", "linux.sysctl.kernel.panic_on_oops=0")
    assert (found.ending.kind, found.stages, found.downtime_s) == ("survived", (), 0.0)
    assert found.ending.damage == ("1 oopses",)


def test_a_hang_that_nobody_sees_is_silent_and_ends_from_outside() -> None:
    found = story("silent_hang:1")
    assert (found.ending.kind, found.ending.silent, console(found)[:-1]) == ("hung", True, ())
    assert found.stages[0].phase == "hung"


@pytest.mark.parametrize(
    ("fault", "overrides"),
    [
        ("disk_dies:20", ("micro.disk.kind=scsi", "micro.disk.timeout=1 s", "micro.span=70 s", "micro.load=0.1")),
        ("nic_hang:20", ("micro.nic.driver=virtio_net", "micro.span=8 s")),
    ],
)
def test_a_kernel_with_nothing_left_to_serve_with_needs_somebody_outside(
    fault: str, overrides: tuple[str, ...]
) -> None:
    found = story(fault, *overrides)
    assert (found.ending.kind, found.ending.serves) == ("survived", False)
    assert found.stages[0].phase == "hung"
    assert found.downtime_s > 60.0


def test_the_dump_is_a_dump_of_this_memory() -> None:
    """More dirty and anonymous memory in use: at dump level 0 nothing changes, at 31 only kernel pages count."""
    level_8 = ("kdump.core_collector=makedumpfile -d 23", "capture.dump_sigma=0.0")

    def dump_s(workload: str) -> float:
        found = story("sysrq_c:1", f"micro.workload={workload}", *level_8)
        return next(stage.end_s - stage.start_s for stage in found.stages if stage.phase == "dump")

    assert dump_s("database") > 2.0 * dump_s("idle"), "a quarter of RAM is the database's own"


def test_recording_changes_nothing_and_holds_the_last_second() -> None:
    scenario = load("rack-server", ("micro.workload=database",)).scenario
    faults = [parse_fault("gpf@submit_bio:900")]
    plain = Boot(scenario, faults=faults)
    recorder = Recorder()
    watched = Boot(scenario, faults=faults, recorder=recorder)
    assert plain.run(5.0) == watched.run(5.0)
    assert plain.sys.count == watched.sys.count
    assert {work.mode for work in recorder.works} == {"user", "kernel", "switch"}
    by_cpu: dict[int, int] = {}
    for work in recorder.works:
        assert work.start_ns >= by_cpu.get(work.cpu, 0), "one at a time on a CPU"
        by_cpu[work.cpu] = work.end_ns


def test_both_plays_of_a_recorded_boot_show_their_progress() -> None:
    seen: list[tuple[int, int]] = []
    scenario = load("vm", ("micro.workload=idle", "micro.span=10 s")).scenario
    tell(scenario, record=True, progress=lambda done, total: seen.append((done, total)))
    assert {total for _, total in seen} == {20}
    done = [done for done, _ in seen]
    assert done == sorted(done)
    assert (min(done), max(done)) == (0, 20)
    assert sum(d > 10 for d in done) > 10


def test_the_trace_opens_in_the_real_trace_processor(tmp_path: Path) -> None:
    found = story("soft_lockup", "micro.workload=database", "micro.load=0.2", "micro.span=30 s", record=True)
    path = tmp_path / "crash.json"
    trace(found).write(path)
    processor = TraceProcessor(path)
    errors = processor.query("select name, value from stats where severity = 'error' and value > 0")
    assert errors == []
    cpus = processor.query(
        "select count(*) as n from thread join process using (upid) "
        "where process.name = 'CPUs' and thread.name like 'CPU %'"
    )
    assert cpus == [{"n": found.scenario.host.cpus}]
    states = {
        row["name"]
        for row in processor.query(
            "select distinct s.name as name from slice s join thread_track t on s.track_id = t.id join thread "
            "using (utid) join process using (upid) where process.name = 'Tasks'"
        )
    }
    assert {"running", "sleeping", "uninterruptible"} <= states
    log = processor.query(
        "select s.name as line from slice s join thread_track t on s.track_id = t.id join thread using (utid) "
        "where thread.name = 'kernel log' order by s.ts"
    )
    assert any("soft lockup" in row["line"] for row in log)
    assert log[-1]["line"].startswith("Kernel panic") or "soft lockup" in log[-1]["line"]
    disk = processor.query("select count(*) as n, min(dur) as least from slice where category = 'disk'")
    assert disk[0]["n"] > 100
    assert disk[0]["least"] > 0
    counters = {row["name"] for row in processor.query("select distinct name from counter_track")}
    assert any("dirty memory" in name for name in counters)
    assert any("calls in flight" in name for name in counters)
    way_back = processor.query("select name, dur from slice where category = 'recovery' order by ts")
    assert [row["name"] for row in way_back] == [s.phase for s in found.stages if s.end_s > s.start_s]
    panic = processor.query("select max(ts + dur) as at from slice where category in ('user', 'kernel')")
    assert panic[0]["at"] <= found.ending.at_ns, "nothing runs after the panic"


def test_the_console_is_that_of_the_crash() -> None:
    found = story("null_deref@vfs_write:20", "micro.workload=database", "linux.release=6.1")
    lines = console(found)
    text = "\n".join(lines)
    assert "BUG: kernel NULL pointer dereference" in text
    assert "RIP: 0010:vfs_write+0x1f3/0x4c0" in text
    assert "Comm: postgres" in text
    assert "6.1.0" in text
    assert re.fullmatch(r"\[ +\d+\.\d{6}\] .*", lines[0])
    assert lines[-1] == "reboot: Restarting system"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("null_deref", "bug"), ("gpf@napi_poll:50", "oops"), ("soft_lockup", "bug"),
     ("sysrq_c:5", "panic"), ("stack_protector:5", "panic"), ("warn:5", "exception")],
)  # fmt: skip
def test_a_reader_of_real_logs_knows_the_crash(fault: str, kind: str) -> None:
    found = story(fault, "micro.load=0.2", "micro.span=30 s")
    assert kind in squad("".join(f"{line}\n" for line in console(found)))


def test_interrupts_strike_whoever_runs() -> None:
    found = story("null_deref@blk_mq_complete_request:50", "linux.sysctl.kernel.panic_on_oops=0")
    assert found.ending.kind == "panicked"
    assert found.ending.decision is not None
    assert found.ending.decision.strike.where is Context.HARDIRQ


def test_as_data_is_json() -> None:
    data = json.loads(json.dumps(as_data(story("null_deref")), allow_nan=False))
    assert (data["ending"], data["event"], data["task"]) == ("panicked", "null_deref", "nginx")
    assert sum(data["impact"]["pages"].values()) == pytest.approx(1.0)
    assert data["downtime_s"] > 60.0
    assert data["lost"]["calls_missed"] > data["lost"]["calls_in_flight"]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("nul_deref", "did you mean 'null_deref'"),
        ("null_deref@vfs_raed", "did you mean 'vfs_read'"),
        ("null_deref:0", "expected a pass from 1"),
        ("null_deref:x", "expected a pass from 1"),
        ("disk_lost@vfs_read", "strikes at submit_bio and nowhere else"),
        ("", "unknown fault ''"),
    ],
)
def test_a_fault_that_is_none(fault: str, expected: str) -> None:
    with pytest.raises(ScenarioError, match=re.escape(expected)):
        parse_fault(fault)


def test_the_command(ksim: Callable[..., Done], tmp_path: Path) -> None:
    given = ("--set", "micro.span=2 s", "--fault", "null_deref")
    table, log, data = (
        ksim("trace", "vm", *given),
        ksim("trace", "vm", *given, "--console"),
        ksim("trace", "vm", *given, "--json"),
    )
    assert [done.returncode for done in (table, log, data)] == [0, 0, 0], table.stderr
    assert "The kernel panicked." in table.stdout
    assert "The service answers again after" in table.stdout
    assert log.stdout.startswith("[")
    assert json.loads(data.stdout)["ending"] == "panicked"
    path = tmp_path / "crash.json"
    assert ksim("trace", "vm", *given, "--perfetto", str(path)).returncode == 0
    assert json.loads(path.read_text())["traceEvents"]
    again = ksim("trace", "vm", *given, "--perfetto", str(tmp_path / "again.json"))
    assert again.returncode == 0
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (("--fault", "nul_deref"), 2, "did you mean 'null_deref'"),
        (("--set", "micro.disk.lost=2"), 2, "expected a probability from 0 to 1"),
        (("--set", "micro.workload=databse"), 2, "micro.workload"),
        (("--set", "host.memory=1 GiB"), 2, "host.memory is"),
        (("--console", "--json"), 2, "either the one or the other"),
        (("--perfetto", "/proc/nowhere/x.json"), 3, "cannot write the trace"),
        (("--strategy", "kdmp"), 2, "did you mean 'kdump'"),
    ],
)
def test_bad_input(ksim: Callable[..., Done], words: tuple[str, ...], code: int, expected: str) -> None:
    given = () if "--fault" in words else ("--fault", "sysrq_c:1")
    done = ksim("trace", "rack-server", "--set", "micro.span=1 s", *given, *words)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert expected in done.stderr


def test_a_graph_of_its_own_has_no_kernel_at_work(ksim: Callable[..., Done]) -> None:
    done = ksim("trace", "experiments/scenarios/c4_rejuvenation.toml")
    assert done.returncode == 2
    assert "says nothing about the kernel at work" in done.stderr


def test_without_a_cpu_the_hardware_watchdog_starves() -> None:
    lost = ("host.cpus=2", "host.watchdog=60 s", "micro.load=0.1", "kernel.hardlockup_panic=0")
    told = story("all_cpus_hang:5", *lost)
    assert told.ending.kind == "hung"
    assert told.stages[0].end_s - told.stages[0].start_s <= 61.0  # nobody outside had to see it


def test_an_unknown_strategy_is_refused_even_where_nothing_crashes(ksim: Callable[..., Done]) -> None:
    done = ksim("trace", "vm", "--set", "micro.span=1 s", "--strategy", "kdumb")
    assert done.returncode == 2
    assert "did you mean 'kdump'" in done.stderr


def test_a_card_that_nobody_resets_is_damage() -> None:
    told = story("nic_hang:1", "micro.nic.driver=virtio_net", base="vm")
    assert told.ending.damage == ("eth0 sends nothing any more",)
