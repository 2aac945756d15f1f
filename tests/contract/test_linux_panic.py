"""panic(): what it does in which order, and what the machine does next. Facts, sections 1.3, 1.6 and 2.3."""

import itertools
import math

import pytest

from ksim.linux.escalation import escalate
from ksim.linux.events import EVENTS
from ksim.linux.panic import PANIC_ROWS, after_panic
from ksim.linux.rules import Strike
from ksim.linux.sysctl import Settings

ORDER = [
    "crash_kexec", "notifiers", "panic_print", "kmsg_dump", "crash_kexec_late", "machine_check_timeout",
    "panic_timeout", "panic_at_once", "endless_loop",
]  # fmt: skip


def held(found):
    return [step.rule for step in found.steps if step.held]


def expected(panic, loaded, late, cause, release, cma):
    """The prose: a crash kernel comes before everything else, unless notifiers and pstore have to run first; the
    machine-check code puts 30 s where kernel.panic is 0, and so did GHES code before 6.1; above 0 it waits, below 0
    it does not, and at 0 it loops for ever."""
    if loaded:
        return "capture", 10.0 if cma else 0.0
    if panic == 0 and (cause == "machine_check" or (cause == "ghes" and release < (6, 1))):
        return "reboot", 30.0
    if panic == 0:
        return "hang", math.inf
    return "reboot", float(max(panic, 0))


@pytest.mark.parametrize("panic", [-(2**31), -1, 0, 1, 10, 30, 2**31 - 1])
@pytest.mark.parametrize("cause", ["", "machine_check", "ghes"])
def test_whole_table(panic, cause):
    for loaded, late, release, cma in itertools.product(
        (False, True), (0, 1), ((5, 15), (6, 1), (6, 12), (7, 3)), (False, True)
    ):
        settings = Settings(panic=panic, crash_kexec_post_notifiers=late, release=release)
        found = after_panic(settings, crash_kernel_loaded=loaded, cause=cause, has_cma=cma)
        assert (found.action, found.wait_s) == expected(panic, loaded, late, cause, release, cma)
        leaves_a_record = not loaded or bool(late)
        assert found.writes_pstore == found.runs_notifiers == leaves_a_record


def test_the_rows_stand_in_the_order_of_panic():
    assert [row.name for row in PANIC_ROWS] == ORDER
    for found in (
        after_panic(Settings(panic=10, panic_print=1), crash_kernel_loaded=False),
        after_panic(Settings(crash_kexec_post_notifiers=1), crash_kernel_loaded=True),
    ):
        asked = [step.rule for step in found.steps]
        assert asked == ORDER[: len(asked)]
        assert asked[-1] == found.rule


@pytest.mark.parametrize(
    ("settings", "loaded", "cause", "rows"),
    [
        (Settings(), True, "", ["crash_kexec"]),
        (Settings(crash_kexec_post_notifiers=1), True, "", ["notifiers", "kmsg_dump", "crash_kexec_late"]),
        (Settings(panic_print=1), False, "", ["notifiers", "panic_print", "kmsg_dump", "endless_loop"]),
        (Settings(panic=10), False, "", ["notifiers", "kmsg_dump", "panic_timeout"]),
        (Settings(panic=-1), False, "machine_check", ["notifiers", "kmsg_dump", "panic_at_once"]),
        (Settings(), False, "machine_check", ["notifiers", "kmsg_dump", "machine_check_timeout"]),
    ],
)
def test_what_runs_before_the_end(settings, loaded, cause, rows):
    assert held(after_panic(settings, crash_kernel_loaded=loaded, cause=cause)) == rows


@pytest.mark.parametrize("panic", [0, 10, -1])
def test_kernel_panic_is_never_reached_where_a_crash_kernel_starts(panic):
    one, other = (after_panic(Settings(panic=p), crash_kernel_loaded=True) for p in (panic, 77))
    assert (one.action, one.wait_s, held(one)) == (other.action, other.wait_s, held(other))


@pytest.mark.parametrize(
    ("bits", "text"),
    [
        (1, "prints tasks"), (2, "prints memory"), (4, "prints timers"), (8, "prints locks"), (16, "prints ftrace"),
        (32, "prints the log again"), (64, "prints backtraces of all CPUs"), (128, "prints blocked tasks"),
        (0b1000001, "prints tasks, backtraces of all CPUs"), (1 << 20, "nothing more is printed"),
    ],
)  # fmt: skip
def test_panic_print_bit_by_bit(bits, text):
    steps = {step.rule: step.says for step in after_panic(Settings(panic_print=bits), crash_kernel_loaded=False).steps}
    assert steps["panic_print"] == text


def test_panic_print_is_skipped_by_kdump_unless_notifiers_come_first():
    for late, printed in ((0, False), (1, True)):
        settings = Settings(panic_print=3, crash_kexec_post_notifiers=late)
        assert ("panic_print" in held(after_panic(settings, crash_kernel_loaded=True))) == printed


def test_cma_costs_ten_seconds_on_both_ways_into_the_crash_kernel_and_none_elsewhere():
    for late in (0, 1):
        settings = Settings(crash_kexec_post_notifiers=late)
        found = after_panic(settings, crash_kernel_loaded=True, has_cma=True)
        assert found.wait_s == 10.0
        assert "after 10 s for stray DMA" in found.steps[-1].says
    assert after_panic(Settings(panic=5), crash_kernel_loaded=False, has_cma=True).wait_s == 5.0


@pytest.mark.parametrize(
    ("event", "wait_s"),
    [("mce_fatal", 30.0), ("mce_timeout", 30.0), ("ghes_fatal", math.inf), ("sysrq_c", math.inf)],
)
@pytest.mark.parametrize("panic", [0, 10])
def test_which_events_override_the_timeout(event, wait_s, panic):
    found = escalate(Strike(EVENTS[event], Settings(panic=panic)))
    assert found.aftermath is not None
    assert found.aftermath.wait_s == (10.0 if panic else wait_s)


def test_an_mce_that_recovery_may_not_handle_panics_without_the_override():
    """Facts, 2.3: the 30 s are the machine-check code's; memory_failure() is not part of it."""
    found = escalate(Strike(EVENTS["mce_user"], Settings(memory_failure_recovery=0)))
    assert found.aftermath is not None
    assert found.aftermath.action == "hang"


def test_cma_reaches_the_decision():
    strike = Strike(EVENTS["sysrq_c"], crash_kernel_loaded=True)
    waits = [escalate(strike, has_cma=has_cma).aftermath.wait_s for has_cma in (False, True)]
    assert waits == [0.0, 10.0]
