"""Hardware errors, exhausted memory, failing file systems, user space, taint: what panics, what kills, what goes on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksim.errors import LinuxError
from ksim.linux.escalation import escalate
from ksim.linux.events import EVENTS
from ksim.linux.rules import End, Strike
from ksim.linux.sysctl import Settings
from ksim.linux.taint import ALL, Taint, letters, parse_taint, tainted_names, tainted_text
from ksim.linux.vocabulary import Task, TaskKind


def decide(event, **state):
    made = {name: state.pop(name) for name in list(state) if name in Settings.__dataclass_fields__}
    return escalate(Strike(EVENTS[event], Settings(**made), **state))


@pytest.mark.parametrize("event", ["unknown_nmi", "serr_nmi", "iock_nmi"])
def test_an_nmi_is_logged_by_default(event):
    found = decide(event)
    assert (found.end, found.taint, found.killed) == (End.GOES_ON, Taint.none(), "")


@pytest.mark.parametrize(
    ("event", "knob", "message"),
    [
        ("unknown_nmi", "unknown_nmi_panic", "NMI: Not continuing"),
        ("unknown_nmi", "panic_on_unrecovered_nmi", "NMI: Not continuing"),
        ("serr_nmi", "panic_on_unrecovered_nmi", "NMI: Not continuing"),
        ("iock_nmi", "panic_on_io_nmi", "NMI IOCK error: Not continuing"),
    ],
)
def test_an_nmi_panics_by_its_own_knob(event, knob, message):
    assert decide(event, **{knob: 1}).message == message
    assert decide(event, **{knob: 1}, is_handled=True).end is End.GOES_ON
    knobs = {"unknown_nmi_panic", "panic_on_unrecovered_nmi", "panic_on_io_nmi"}
    own = {k for k in knobs if decide(event, **{k: 1}).panics}
    assert knob in own
    assert own < knobs


@pytest.mark.parametrize(
    ("event", "message", "wait_s"),
    [
        ("mce_fatal", "Fatal machine check", 30.0),
        ("mce_timeout", "Timeout: Not all CPUs entered broadcast exception handler", 30.0),
        ("ghes_fatal", "Fatal hardware error!", None),
    ],
)
def test_fatal_hardware_errors_panic_whatever_the_settings(event, message, wait_s):
    found = decide(event)
    assert found.message == message
    assert (found.aftermath.wait_s == wait_s) == (wait_s is not None)
    assert not decide(event, crash_kernel_loaded=True).early_kdump


@pytest.mark.parametrize(
    ("event", "end"),
    [
        ("mce_corrected", End.GOES_ON),
        ("mce_user", End.KILLED),
        ("mce_copy", End.KILLED),
        ("poison_clean", End.GOES_ON),
        ("poison_user", End.GOES_ON),
        ("poison_kernel", End.GOES_ON),
    ],
)
def test_recoverable_errors(event, end):
    assert decide(event).end is end


@pytest.mark.parametrize("event", ["mce_user", "poison_clean", "poison_user", "poison_kernel"])
def test_without_recovery_any_memory_failure_panics(event):
    assert decide(event, memory_failure_recovery=0).message.startswith("Memory failure on page ")


def test_early_kill_and_the_kernels_own_pages():
    assert "every process that maps the page" in decide("poison_user", memory_failure_early_kill=1).killed
    found = decide("poison_kernel", panic_on_unrecoverable_memory_failure=1)
    assert found.message.endswith("unrecoverable page")
    assert decide("mce_user").taint == Taint.MACHINE_CHECK


@pytest.mark.parametrize(
    ("event", "value", "message"),
    [
        ("oom", 1, "Out of memory: system-wide panic_on_oom is enabled"),
        ("oom", 2, "Out of memory: compulsory panic_on_oom is enabled"),
        ("oom_cpuset", 1, None),
        ("oom_cpuset", 2, "Out of memory: compulsory panic_on_oom is enabled"),
        ("oom_memcg", 1, None),
        ("oom_memcg", 2, "Out of memory: compulsory panic_on_oom is enabled"),
    ],
)
def test_panic_on_oom(event, value, message):
    assert (decide(event, panic_on_oom=value).message or None) == message


def test_an_oom_kill_is_no_panic_and_no_taint():
    found = decide("oom")
    assert (found.end, found.taint) == (End.KILLED, Taint.none())
    assert "highest badness" in found.killed
    assert "asked for memory" in decide("oom", oom_kill_allocating_task=1).killed
    assert "highest badness" in decide("oom_memcg", oom_kill_allocating_task=1).killed
    assert decide("oom_no_victim").message == "System is deadlocked on memory"


@pytest.mark.parametrize(
    ("event", "errors", "end"),
    [
        ("ext4_error", "continue", End.GOES_ON),
        ("ext4_error", "remount-ro", End.FILE_SYSTEM),
        ("ext4_error", "panic", End.PANIC),
        ("xfs_shutdown", "panic", End.FILE_SYSTEM),
        ("xfs_metadata_write", "panic", End.GOES_ON),
    ],
)
def test_file_systems(event, errors, end):
    assert decide(event, fs_errors=errors).end is end


@pytest.mark.parametrize(
    ("event", "task", "end", "message"),
    [
        ("user_fault", Task(), End.KILLED, ""),
        ("user_fault", Task(TaskKind.INIT), End.FROZEN, ""),
        ("user_fault", Task(TaskKind.INIT, init="other"), End.PANIC, "Attempted to kill init! exitcode=0x0000000b"),
        ("copy_fault", Task(), End.GOES_ON, ""),
        ("init_exit", Task(), End.PANIC, "Attempted to kill init! exitcode=0x00000100"),
    ],
)
def test_user_space(event, task, end, message):
    found = decide(event, task=task)
    assert (found.end, found.message) == (end, message)


def test_exit_127_of_init_is_a_wait_status():
    assert decide("init_exit", exit_code=127).message == "Attempted to kill init! exitcode=0x00007f00"


# ---------------------------------------------------------------- taint


def test_the_letters_are_those_of_the_kernels_table():
    table = {"P": 0, "F": 1, "S": 2, "R": 3, "M": 4, "B": 5, "U": 6, "D": 7, "A": 8, "W": 9, "C": 10, "I": 11, "O": 12}
    table |= {"E": 13, "L": 14, "K": 15, "X": 16, "T": 17, "N": 18, "J": 19}
    assert {letters(Taint(1 << bit)): bit for bit in range(20)} == table


def test_rendering():
    taint = Taint.DIE | Taint.WARN
    assert tainted_text(Taint.none(), (6, 12)) == "Not tainted"
    assert tainted_text(taint, (6, 1)) == "Tainted: G      D W         "
    assert tainted_text(Taint.PROPRIETARY_MODULE | Taint.OOT_MODULE, (6, 1)).startswith("Tainted: P           O")
    assert tainted_names(taint, (6, 11)) is None
    assert tainted_names(taint, (6, 12)) == "Tainted: [D]=DIE, [W]=WARN"
    assert tainted_names(Taint.none(), (7, 3)) is None


@given(st.integers(0, ALL))
def test_letters_and_numbers_mean_the_same(value):
    assert parse_taint(str(value)) == Taint(value)
    if value:
        assert parse_taint(letters(Taint(value))) == Taint(value)


@pytest.mark.parametrize("text", ["", "Z", "d", "DWZ", "-1", str(ALL + 1), "0x80"])
def test_no_taint(text):
    with pytest.raises(LinuxError, match="not a taint"):
        parse_taint(text)
