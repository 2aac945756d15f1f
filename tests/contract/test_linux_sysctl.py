"""Boot parameters and sysctls become settings: names, ranges, releases and precedence of Linux."""

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksim.errors import LinuxError
from ksim.linux.sysctl import INT_MAX, KNOBS, Settings, knobs, parse_release, settings

REAL = Path(__file__).parents[1] / "data" / "sysctl_panic.jsonl"
NEWEST = (7, 3)
SYSCTLS = [knob for knob in KNOBS if not knob.boot_only and knob.field != "watchdog"]
BOOT_ONLY = [knob for knob in KNOBS if knob.boot_only]
NOT_KNOBS = {
    "panic_on_taint_nousertaint", "hardlockup_detector", "bug_on_data_corruption", "sched_stack_end_check", "release",
}  # fmt: skip


def test_defaults_are_upstream():
    """Facts, sections 1.3, 2.1 to 2.3 and 10: everything only prints, limits of 10000 and none, the usual times."""
    assert settings("ro quiet", {}) == Settings()
    zero = {"panic", "panic_on_oops", "panic_on_warn", "warn_limit", "softlockup_panic", "hardlockup_panic"}
    zero |= {"hung_task_panic", "panic_on_rcu_stall", "unknown_nmi_panic", "panic_on_unrecovered_nmi"}
    zero |= {"panic_on_io_nmi", "panic_on_oom", "crash_kexec_post_notifiers", "panic_on_taint", "kexec_load_disabled"}
    assert {name for name in zero if getattr(Settings(), name)} == set()
    found = dataclasses.asdict(Settings())
    times = {"watchdog_thresh": 10, "hung_task_timeout_secs": 120, "rcu_cpu_stall_timeout": 21}
    assert found.items() >= (times | {"oops_limit": 10000, "hung_task_warnings": 10}).items()


def test_every_field_is_a_knob_or_says_which_kernel_it_is():
    assert {knob.field for knob in KNOBS} - {"watchdog"} == {f.name for f in dataclasses.fields(Settings)} - NOT_KNOBS


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        ("panic=10", {"panic": 10}),
        ("panic=-1", {"panic": -1}),
        ("panic=0x10", {"panic": 16}),
        ("panic=5 panic=60", {"panic": 60}),
        ("oops=panic", {"panic_on_oops": 1}),
        ("panic_on_warn", {"panic_on_warn": 1}),
        ("panic_on_warn=1", {"panic_on_warn": 1}),
        ("panic_on_taint=0x80", {"panic_on_taint": 0x80}),
        ("panic_on_taint=200,nousertaint", {"panic_on_taint": 0x200, "panic_on_taint_nousertaint": 1}),
        ("panic_print=3", {"panic_print": 3}),
        ("unknown_nmi_panic", {"unknown_nmi_panic": 1}),
        ("crash_kexec_post_notifiers", {"crash_kexec_post_notifiers": 1}),
        ("crash_kexec_post_notifiers=Y", {"crash_kexec_post_notifiers": 1}),
        ("crash_kexec_post_notifiers=1 crash_kexec_post_notifiers=N", {}),
        ("rcupdate.rcu_cpu_stall_timeout=60", {"rcu_cpu_stall_timeout": 60}),
        ("workqueue.watchdog_thresh=30", {"workqueue_watchdog_thresh": 30}),
        ("workqueue.panic_on_stall=5", {"workqueue_panic_on_stall": 5}),
        ("softlockup_panic=1", {"softlockup_panic": 1}),
        ("softlockup-panic=7", {"softlockup_panic": 1}),
        ("softlockup_panic=1 softlockup_panic=no", {"softlockup_panic": 0}),
        ("hung_task_panic=1", {"hung_task_panic": 1}),
        ("nmi_watchdog=0", {"nmi_watchdog": 0}),
        ("nmi_watchdog=panic", {"hardlockup_panic": 1}),
        ("nmi_watchdog=panic,0", {"hardlockup_panic": 1, "nmi_watchdog": 0}),
        ("nmi_watchdog=panic nmi_watchdog=nopanic,1", {}),
        ("nowatchdog", {"nmi_watchdog": 0, "soft_watchdog": 0}),
        ("nosoftlockup", {"soft_watchdog": 0}),
        ("watchdog_thresh=30", {"watchdog_thresh": 30}),
        ("watchdog_thresh=30s", {"watchdog_thresh": 30}),
        ("sysctl.kernel.panic=7", {"panic": 7}),
        ("sysctl.vm.panic_on_oom=2", {"panic_on_oom": 2}),
        ("sysctl/kernel/panic=7", {"panic": 7}),
        ("sysctl.kernel.panic=7 panic=10", {"panic": 7}),  # applied when init starts, so later than panic=
        ("watchdog_thresh=junk", {"watchdog_thresh": 0}),  # get_option() stores 0
    ],
)
def test_boot_parameter(line, changes):
    assert settings(line, {}) == Settings(**changes)


@pytest.mark.parametrize(
    "line",
    [
        "panic", "panic=", "panic=ten", "panic=10s", "panic=99999999999",
        "kernel.panic=-1",  # without the prefix "sysctl." the kernel takes it for a module parameter
        "oops=1", "hung_task_panic=2", "nmi_watchdog=on", "watchdog_thresh", "watchdog_thresh=", "watchdog_thresh=-5",
        "sysctl.kernel.watchdog_thresh=61", "sysctl.kernel.panic=soon", "sysctl.kernel.no_such=1",
        "init=/bin/sh -- panic=10", 'append="panic=10 oops=panic"',
        "panic_on_taint=", "panic_on_taint=0", "panic_on_taint=junk", "panic_on_warn=yes",
        "rcupdate.rcu_cpu_stall_timeout=2", "workqueue.panic_on_stall_time=60", "panic_print=x",
        "vm.panic_on_oom=1", "sysctl.vm.panic_on_oom=3",
    ],
)  # fmt: skip
def test_what_linux_does_not_accept_at_boot_changes_nothing(line):
    assert settings(line, {}) == Settings()


@pytest.mark.parametrize("knob", SYSCTLS, ids=lambda knob: knob.name)
@pytest.mark.parametrize("separator", [".", "/"])
def test_every_sysctl_reaches_its_setting_and_beats_the_command_line(knob, separator):
    default = getattr(Settings(), knob.field)
    value = 0 if default == 1 else 1
    key = knob.name.replace(".", separator)
    expected = Settings(release=NEWEST, **{knob.field: value})
    line = f"sysctl.{knob.name}={default}"
    assert settings(line, {key: str(value)}, NEWEST) == settings(line, {key: value}, NEWEST) == expected
    assert settings(f"sysctl.{knob.name}={value}", {}, NEWEST) == expected


@pytest.mark.parametrize("knob", BOOT_ONLY, ids=lambda knob: knob.name)
def test_a_boot_parameter_is_no_sysctl_and_says_so(knob):
    text = f"{knob.high:x}" if knob.field == "panic_on_taint" else f"{knob.high}"  # a mask is hexadecimal
    assert getattr(settings(f"{knob.name}={text}", {}, NEWEST), knob.field) == knob.high
    with pytest.raises(LinuxError, match="boot parameter"):
        settings("", {f"kernel.{knob.name}": 1}, NEWEST)


@pytest.mark.parametrize(
    ("name", "before", "since"),
    [
        ("kernel.oops_limit", (5, 19), (6, 1)),
        ("kernel.warn_limit", (5, 19), (6, 1)),
        ("kernel.kexec_load_limit_panic", (6, 2), (6, 3)),
        ("vm.panic_on_unrecoverable_memory_failure", (6, 19), (7, 0)),
    ],
)
def test_a_sysctl_begins_to_exist(name, before, since):
    assert getattr(settings("", {name: 1}, since), name.split(".")[1]) == 1
    with pytest.raises(LinuxError, match=r"does not exist in Linux .*cannot stat"):
        settings("", {name: 1}, before)


@pytest.mark.parametrize(("name", "since"), [("kernel.softlockup_panic", (7, 0)), ("kernel.hung_task_panic", (6, 19))])
def test_a_switch_becomes_a_count(name, since):
    assert knobs((6, 12))[name].high == 1
    assert knobs(since)[name].high == INT_MAX
    with pytest.raises(LinuxError, match="from 0 to 1"):
        settings("", {name: 3}, (6, 12))
    assert getattr(settings("", {name: 3}, since), name.removeprefix("kernel.")) == 3


def test_without_the_sysctl_there_is_no_limit():
    assert settings("", {}, (5, 15)).oops_limit == settings("", {}, (5, 15)).warn_limit == 0


def test_later_sysctl_wins():
    assert settings("", {"kernel.panic": 1, "kernel/panic": 2}).panic == 2


def test_nowatchdog_is_a_master_switch():
    assert settings("nowatchdog", {"kernel.nmi_watchdog": 1, "kernel.soft_watchdog": 1}).nmi_watchdog == 0
    assert settings("nowatchdog", {"kernel.watchdog": 1}) == Settings()
    assert settings("", {"kernel.watchdog": 0}) == Settings(nmi_watchdog=0, soft_watchdog=0)


def test_the_build_is_the_lowest_layer():
    built = {"nmi_watchdog": 0, "rcu_cpu_stall_timeout": 60}
    assert settings("", {}, built=built) == Settings(nmi_watchdog=0, rcu_cpu_stall_timeout=60)
    line = "rcupdate.rcu_cpu_stall_timeout=30"
    assert settings(line, {"kernel.nmi_watchdog": 1}, built=built) == Settings(rcu_cpu_stall_timeout=30)


def test_odd_values_of_real_files():
    seen = settings("", {"kernel.panic_on_oops": "60", "kernel.panic": "-1", "kernel.watchdog_thresh": " 60 "})
    assert (seen.panic_on_oops, seen.panic, seen.watchdog_thresh) == (60, -1, 60)


def real_values():
    rows = [json.loads(line) for line in REAL.read_text("utf-8").splitlines()]
    return [(row["id"], key, value) for row in rows if "SOURCE" not in row for key, value in row["settings"].items()]


@pytest.mark.parametrize(("item", "key", "value"), real_values(), ids=lambda v: str(v))
def test_panic_settings_of_real_machines(item, key, value):
    """Each value that somebody really wrote is stored, or refused with what Linux would say."""
    name = key.replace("/", ".")
    known = knobs(NEWEST)
    if name not in known:
        with pytest.raises(LinuxError, match=r"cannot stat|boot parameter"):
            settings("", {key: value}, NEWEST)
    elif known[name].field != "watchdog":
        assert getattr(settings("", {key: value}, NEWEST), known[name].field) == int(value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("kernel.watchdog_thresh", 61),
        ("kernel.watchdog_thresh", -1),
        ("kernel.hung_task_timeout_secs", -1),
        ("kernel.softlockup_panic", 2),
        ("vm.panic_on_oom", 3),
        ("kernel.panic", "10 # seconds"),
        ("kernel.panic", ""),
        ("kernel.panic", "-"),
        ("kernel.panic", 1.5),
        ("kernel.panic", True),
        ("kernel.panic", None),
    ],
)
def test_bad_value_names_key_value_and_expectation(key, value):
    with pytest.raises(LinuxError) as failure:
        settings("", {key: value})
    text = str(failure.value)
    assert key in text
    assert repr(value) in text
    assert "expected an integer from" in text
    assert "Invalid argument" in text


def test_unknown_key_names_the_nearest_and_what_sysctl_would_say():
    with pytest.raises(LinuxError, match=r"unknown sysctl 'kernel.panic_on_ops'.*'kernel.panic_on_oops'.*cannot stat"):
        settings("", {"kernel.panic_on_ops": 1})
    with pytest.raises(LinuxError, match="unknown sysctl 'panic'"):
        settings("", {"panic": 1})


@pytest.mark.parametrize("sysctl", [{"kernel.kexec_load_disabled": 1}, {"kernel.kexec_load_limit_panic": 0}])
def test_what_locks_the_crash_kernel_out(sysctl):
    assert settings("", {}).crash_kernel_loadable
    assert not settings("", sysctl).crash_kernel_loadable


@pytest.mark.parametrize("text", ["", "six", "6", "6.", "6.12345", "v6.1"])
def test_no_release(text):
    with pytest.raises(LinuxError, match="not a kernel release"):
        parse_release(text)


@given(st.text(max_size=60))
def test_no_command_line_is_refused(line):
    settings(line, {})


@given(st.sampled_from(SYSCTLS), st.integers())
def test_value_is_kept_exactly_or_refused(knob, value):
    low, high = knobs(NEWEST)[knob.name].low, knobs(NEWEST)[knob.name].high
    if low <= value <= high:
        assert getattr(settings("", {knob.name: str(value)}, NEWEST), knob.field) == value
    else:
        with pytest.raises(LinuxError):
            settings("", {knob.name: value}, NEWEST)
