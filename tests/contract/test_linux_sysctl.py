"""Boot parameters and sysctls become settings: names, ranges and precedence of Linux."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksim.errors import LinuxError
from ksim.linux.sysctl import RANGES, Settings, settings


def test_defaults_are_upstream():
    assert settings("ro quiet", {}) == Settings()
    assert dataclasses.asdict(Settings()) == {
        "panic": 0,
        "panic_on_oops": 0,
        "oops_limit": 10000,
        "softlockup_panic": 0,
        "hardlockup_panic": 0,
        "hung_task_panic": 0,
        "watchdog_thresh": 10,
        "hung_task_timeout_secs": 120,
        "nmi_watchdog": 1,
        "soft_watchdog": 1,
        "kexec_load_disabled": 0,
    }


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        ("panic=10", {"panic": 10}),
        ("panic=-1", {"panic": -1}),
        ("panic=0x10", {"panic": 16}),
        ("panic=5 panic=60", {"panic": 60}),
        ("oops=panic", {"panic_on_oops": 1}),
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
        "panic",
        "panic=",
        "panic=ten",
        "panic=10s",
        "panic=99999999999",
        "kernel.panic=-1",  # without the prefix "sysctl." the kernel takes it for a module parameter
        "oops=1",
        "hung_task_panic=2",
        "nmi_watchdog=on",
        "watchdog_thresh",
        "watchdog_thresh=",
        "watchdog_thresh=-5",
        "sysctl.kernel.watchdog_thresh=61",
        "sysctl.kernel.panic=soon",
        "sysctl.kernel.no_such=1",
        "init=/bin/sh -- panic=10",
        'append="panic=10 oops=panic"',
    ],
)
def test_what_linux_does_not_accept_at_boot_changes_nothing(line):
    assert settings(line, {}) == Settings()


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Settings)])
@pytest.mark.parametrize("separator", [".", "/"])
def test_every_sysctl_reaches_its_setting_and_beats_the_command_line(field, separator):
    default = getattr(Settings(), field)
    value = 0 if default == 1 else 1
    line = f"sysctl.kernel.{field}={default}"
    assert settings(line, {f"kernel{separator}{field}": str(value)}) == Settings(**{field: value})
    assert settings(line, {f"kernel{separator}{field}": value}) == Settings(**{field: value})


def test_later_sysctl_wins():
    assert settings("", {"kernel.panic": 1, "kernel/panic": 2}).panic == 2


def test_nowatchdog_is_a_master_switch():
    assert settings("nowatchdog", {"kernel.nmi_watchdog": 1, "kernel.soft_watchdog": 1}).nmi_watchdog == 0
    assert settings("nowatchdog", {"kernel.watchdog": 1}) == Settings()
    assert settings("", {"kernel.watchdog": 0}) == Settings(nmi_watchdog=0, soft_watchdog=0)


def test_odd_values_of_real_files():
    seen = settings("", {"kernel.panic_on_oops": "60", "kernel.panic": "-1", "kernel.watchdog_thresh": " 60 "})
    assert (seen.panic_on_oops, seen.panic, seen.watchdog_thresh) == (60, -1, 60)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("kernel.watchdog_thresh", 61),
        ("kernel.watchdog_thresh", -1),
        ("kernel.hung_task_timeout_secs", -1),
        ("kernel.softlockup_panic", 2),
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


def test_unknown_key_names_the_nearest():
    with pytest.raises(LinuxError, match=r"unknown sysctl 'kernel.panic_on_ops'.*'kernel.panic_on_oops'"):
        settings("", {"kernel.panic_on_ops": 1})
    with pytest.raises(LinuxError, match="unknown sysctl 'panic'"):
        settings("", {"panic": 1})


def test_kexec_load_disabled_locks_the_crash_kernel_out():
    assert settings("", {}).crash_kernel_loadable
    assert not settings("", {"kernel.kexec_load_disabled": 1}).crash_kernel_loadable


@given(st.text(max_size=60))
def test_no_command_line_is_refused(line):
    settings(line, {})


@given(st.sampled_from(sorted(set(RANGES) - {"watchdog"})), st.integers())
def test_value_is_kept_exactly_or_refused(field, value):
    low, high = RANGES[field]
    if low <= value <= high:
        assert getattr(settings("", {f"kernel.{field}": str(value)}), field) == value
    else:
        with pytest.raises(LinuxError):
            settings("", {f"kernel.{field}": value})
