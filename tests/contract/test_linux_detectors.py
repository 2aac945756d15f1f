"""Which hangs Linux notices, when, and whether it panics."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksim.linux.detectors import NEVER, SEEN_BY, detections, first_panic
from ksim.linux.escalation import escalate
from ksim.linux.events import EVENTS
from ksim.linux.rules import End, Strike
from ksim.linux.sysctl import Settings
from ksim.linux.taint import Taint

ALL_PANIC = {"softlockup_panic": 1, "hardlockup_panic": 1, "hung_task_panic": 1, "panic_on_rcu_stall": 1}
WORKQUEUE = {"workqueue_watchdog_thresh": 30}


def strike(event, **state):
    made = {name: state.pop(name) for name in list(state) if name in Settings.__dataclass_fields__}
    return Strike(EVENTS[event], Settings(**made), **state)


def seen(event, detector=None, **state):
    return {d.detector: d for d in detections(strike(event, **state))}[detector or event]


@pytest.mark.parametrize(
    ("event", "state", "low_s", "high_s"),
    [
        ("soft_lockup", {}, 20, 26),
        ("hard_lockup", {}, 6, 20),
        ("hard_lockup", {"hardlockup_detector": "buddy"}, 8, 20),
        ("hard_lockup", {"hardlockup_detector": "buddy", "release": (7, 1)}, 8, 12),
        ("hung_task", {}, 120, 240),
        ("hung_task", {"hung_task_check_interval_secs": 30}, 120, 150),
        ("hung_task", {"hung_task_check_interval_secs": 50}, 150, 200),
        ("hung_task", {"hung_task_check_interval_secs": 600}, 120, 240),
        ("rcu_stall", {}, 21, 21),
        ("rcu_stall", {"rcu_cpu_stall_timeout": 60}, 60, 60),
        ("workqueue_lockup", WORKQUEUE, 30, 60),
    ],
)
def test_by_default_they_report_in_time_and_do_not_panic(event, state, low_s, high_s):
    found = seen(event, **state)
    assert (found.fires, found.panics, found.why, found.panic_latency) == (True, False, "reports", NEVER)
    assert (found.latency.low_s, found.latency.high_s) == pytest.approx((low_s, high_s))


@pytest.mark.parametrize(
    ("knob", "sees"),
    [
        ("softlockup_panic", {"soft_lockup"}),
        ("hardlockup_panic", {"hard_lockup", "all_cpus_hang"}),
        ("hung_task_panic", {"hung_task"}),
        ("panic_on_rcu_stall", {"rcu_stall", "soft_lockup", "hard_lockup"}),
    ],
)
def test_each_panic_knob_belongs_to_one_detector(knob, sees):
    found = {event for event in SEEN_BY if escalate(strike(event, **{knob: 1}, **WORKQUEUE)).panics}
    assert found == sees


@pytest.mark.parametrize(
    ("off", "silent"),
    [
        ({"soft_watchdog": 0}, {"soft_lockup"}),
        ({"nmi_watchdog": 0}, {"hard_lockup"}),
        ({"hardlockup_detector": "none"}, {"hard_lockup"}),
        ({"watchdog_thresh": 0}, {"soft_lockup", "hard_lockup"}),
        ({"hung_task_timeout_secs": 0}, {"hung_task"}),
        ({"rcu_cpu_stall_suppress": 1}, {"rcu_stall"}),
    ],
)
def test_each_switch_silences_its_detectors_even_if_they_should_panic(off, silent):
    for event in ("soft_lockup", "hard_lockup", "hung_task", "rcu_stall"):
        found = seen(event, **ALL_PANIC, **off)
        assert found.fires == found.panics == (event not in silent)
        if event in silent:
            assert (found.latency, found.why) == (NEVER, "off")


def test_hung_task_detector_is_blind_after_a_survived_oops_and_the_others_are_not():
    blind = seen("hung_task", **ALL_PANIC, taint=Taint.DIE)
    assert (blind.fires, blind.panics) == (False, False)
    assert blind.why.startswith("blind: taint D")
    assert seen("hung_task", **ALL_PANIC, taint=Taint.WARN).panics
    for event in ("soft_lockup", "hard_lockup", "rcu_stall"):
        assert seen(event, **ALL_PANIC, taint=Taint.DIE) == seen(event, **ALL_PANIC)


def test_the_buddy_needs_a_cpu_that_still_runs():
    assert not seen("all_cpus_hang", "hard_lockup", hardlockup_detector="buddy").fires
    assert seen("all_cpus_hang", "hard_lockup").fires


def test_nobody_looks_at_a_silent_hang():
    found = escalate(strike("silent_hang", **ALL_PANIC))
    assert (found.end, found.detections) == (End.STUCK, ())


def test_the_first_detector_that_panics_ends_the_hang():
    both = {"softlockup_panic": 1, "panic_on_rcu_stall": 1}
    assert escalate(strike("soft_lockup", **both)).message == "softlockup: hung tasks"
    assert escalate(strike("soft_lockup", **both, watchdog_thresh=30)).message == "RCU Stall"
    late = first_panic(detections(strike("hard_lockup", **ALL_PANIC)))
    assert late is not None
    assert late.detector == "hard_lockup"


@pytest.mark.parametrize(
    ("lasts_s", "end"),
    [(10.0, End.GOES_ON), (19.9, End.GOES_ON), (20.0, End.PANIC), (math.inf, End.PANIC)],
)
def test_a_hang_that_is_over_before_the_threshold_does_no_harm(lasts_s, end):
    found = escalate(strike("soft_lockup", softlockup_panic=1, lasts_s=lasts_s))
    assert found.end is end
    assert found.detections[0].why == ("panics" if end is End.PANIC else "over before")


def test_soft_lockups_taint_and_the_others_do_not():
    assert escalate(strike("soft_lockup")).taint == Taint.SOFTLOCKUP
    for event in ("hard_lockup", "hung_task", "rcu_stall", "all_cpus_hang"):
        assert escalate(strike(event)).taint == Taint.none()


@pytest.mark.parametrize(("release", "low_s", "high_s"), [((7, 0), 60, 66), ((7, 3), 60, 66)])
def test_softlockup_panic_counts_thresholds_since_7_0(release, low_s, high_s):
    found = seen("soft_lockup", softlockup_panic=3, release=release)
    assert (found.panic_latency.low_s, found.panic_latency.high_s) == pytest.approx((low_s, high_s))
    assert found.latency.low_s == 20


@pytest.mark.parametrize(
    ("release", "tasks", "panics"), [((6, 19), 2, False), ((6, 19), 3, True), ((7, 3), 2, False), ((6, 12), 1, True)]
)
def test_hung_task_panic_counts_tasks_since_6_19(release, tasks, panics):
    wanted = 3 if release >= (6, 19) else 1
    assert seen("hung_task", hung_task_panic=wanted, hung_tasks=tasks, release=release).panics == panics


@pytest.mark.parametrize(("stalls", "limit", "at_s"), [(0, 0, 21), (0, 1, 21), (0, 3, 147), (1, 3, 84), (2, 3, 21)])
def test_rcu_panics_at_the_nth_stall(stalls, limit, at_s):
    found = seen("rcu_stall", panic_on_rcu_stall=1, max_rcu_stall_to_panic=limit, stalls=stalls)
    assert found.panic_latency.low_s == at_s


def test_workqueue_panics_by_count_or_by_time():
    assert seen("workqueue_lockup").why == "off"
    by_count = seen("workqueue_lockup", **WORKQUEUE, workqueue_panic_on_stall=2)
    assert (by_count.panic_latency.low_s, by_count.panic_latency.high_s) == (60, 90)
    by_time = seen("workqueue_lockup", **WORKQUEUE, workqueue_panic_on_stall_time=100)
    assert by_time.panic_latency.low_s == 100
    assert (
        "exceeded threshold 1" in escalate(strike("workqueue_lockup", **WORKQUEUE, workqueue_panic_on_stall=1)).message
    )


@pytest.mark.parametrize(
    ("reports", "warnings", "spent"), [(9, 10, False), (10, 10, True), (10, -1, False), (0, 0, True)]
)
def test_ten_hung_task_reports_per_boot(reports, warnings, spent):
    found = escalate(strike("hung_task", hung_reports=reports, hung_task_warnings=warnings))
    assert ("spent" in found.steps[0].says) == spent


@given(st.integers(1, 60), st.integers(1, 10**6))
def test_latencies_scale_with_their_own_threshold_only(thresh, timeout):
    own = {"watchdog_thresh": thresh, "hung_task_timeout_secs": timeout}
    soft, hard, task = (seen(event, **own).latency for event in ("soft_lockup", "hard_lockup", "hung_task"))
    assert soft.low_s == hard.high_s == 2 * thresh
    assert soft.high_s == pytest.approx(2.6 * thresh)
    assert hard.low_s == pytest.approx(0.6 * thresh)
    assert (task.low_s, task.high_s) == (timeout, 2 * timeout)


@given(
    st.sampled_from(sorted(SEEN_BY)), st.integers(0, 60), st.integers(0, 1000), st.integers(0, 1000), st.floats(0, 1e4)
)
def test_a_panic_never_comes_before_the_first_report(event, thresh, timeout, interval, lasts):
    made = {"watchdog_thresh": thresh, "hung_task_timeout_secs": timeout, "hung_task_check_interval_secs": interval}
    for found in detections(strike(event, **made, **ALL_PANIC, lasts_s=lasts)):
        assert found.panic_latency.low_s >= found.latency.low_s
        assert found.latency.low_s <= found.latency.high_s
