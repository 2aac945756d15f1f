"""Which hangs Linux notices, when, and whether it panics."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksim.linux.detectors import HangKind, detect
from ksim.linux.sysctl import Settings

SOFT, HARD, TASK = HangKind.SOFT_LOCKUP, HangKind.HARD_LOCKUP, HangKind.HUNG_TASK


@pytest.mark.parametrize(
    ("kind", "low_s", "high_s"),
    [(SOFT, 20, 20), (HARD, 6, 20), (TASK, 120, 240)],
    ids=lambda value: str(value),
)
def test_defaults_report_and_do_not_panic(kind, low_s, high_s):
    seen = detect(Settings(), kind)
    assert (seen.fires, seen.panics) == (True, False)
    assert (seen.low_s, seen.high_s) == pytest.approx((low_s, high_s))
    assert seen.rule == f"{kind.value}_report"


@pytest.mark.parametrize(
    ("kind", "knob"), [(SOFT, "softlockup_panic"), (HARD, "hardlockup_panic"), (TASK, "hung_task_panic")]
)
def test_each_panic_knob_belongs_to_one_detector(kind, knob):
    made = Settings(**{knob: 1})
    assert [other for other in HangKind if detect(made, other).panics] == [kind]
    assert detect(made, kind).rule == f"{kind.value}_panic"


@pytest.mark.parametrize(
    ("off", "silent"),
    [
        ({"soft_watchdog": 0}, {SOFT}),
        ({"nmi_watchdog": 0}, {HARD}),
        ({"watchdog_thresh": 0}, {SOFT, HARD}),
        ({"hung_task_timeout_secs": 0}, {TASK}),
    ],
)
def test_each_switch_silences_its_detectors_even_if_they_should_panic(off, silent):
    made = Settings(softlockup_panic=1, hardlockup_panic=1, hung_task_panic=1, **off)
    for kind in (SOFT, HARD, TASK):
        seen = detect(made, kind)
        assert seen.fires == seen.panics == (kind not in silent)
        if kind in silent:
            assert (seen.low_s, seen.high_s, seen.rule) == (math.inf, math.inf, f"{kind.value}_off")


def test_hung_task_detector_is_silent_after_a_survived_oops():
    made = Settings(softlockup_panic=1, hardlockup_panic=1, hung_task_panic=1)
    blind = detect(made, TASK, tainted_by_oops=True)
    assert (blind.fires, blind.panics, blind.rule) == (False, False, "hung_task_silent_after_oops")
    assert detect(made, TASK).panics
    for kind in (SOFT, HARD):
        assert detect(made, kind, tainted_by_oops=True) == detect(made, kind)


def test_nobody_looks_at_a_silent_hang():
    made = Settings(softlockup_panic=1, hardlockup_panic=1, hung_task_panic=1)
    seen = detect(made, HangKind.SILENT)
    assert (seen.fires, seen.panics, seen.low_s, seen.rule) == (False, False, math.inf, "nobody_looks")


@given(st.integers(1, 60), st.integers(1, 10**6))
def test_latencies_scale_with_their_own_threshold_only(thresh, timeout):
    made = Settings(watchdog_thresh=thresh, hung_task_timeout_secs=timeout)
    soft, hard, task = (detect(made, kind) for kind in (SOFT, HARD, TASK))
    assert soft.low_s == soft.high_s == hard.high_s == 2 * thresh
    assert hard.low_s == pytest.approx(0.6 * thresh)
    assert (task.low_s, task.high_s) == (timeout, 2 * timeout)
