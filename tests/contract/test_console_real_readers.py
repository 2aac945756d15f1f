"""Our console read by code that was written for real kernels, and that we did not write.

The first reader is the log parser of SQUAD, with which Linaro looks through the boots of Linux test kernels
(package ``squad``): it sorts what it finds into kinds and cuts a title out of each. The second is the rule file
of the node problem detector, with which Kubernetes nodes watch their kernel log. Both also read real logs, and
must find in ours what they find there.
"""

import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from ksim.linux.console import Look, prefixed, report
from ksim.linux.console.capture import RESETS, STARTS, capture_report
from ksim.linux.escalation import escalate
from ksim.linux.events import EVENTS
from ksim.linux.rules import Strike
from ksim.linux.sysctl import Settings, parse_release

DATA = Path(__file__).parents[1] / "data"
RELEASES = ("6.1.0", "6.12.0", "7.3.4")
STYLES = ("console", "caller", "raw")  # SQUAD takes a line for the kernel's by its time in brackets
SWITCHED_ON = {"workqueue_watchdog_thresh": 30, "sched_stack_end_check": 1}
PANICS = {
    **{
        name: 1
        for name in Settings.__dataclass_fields__
        if "panic" in name and not name.startswith(("panic_on_taint", "kexec", "max"))
    },
    "panic_on_oom": 2,
    "panic_print": 0,
}


def rows(name):
    return [row for row in map(json.loads, (DATA / name).read_text("utf-8").splitlines()) if "SOURCE" not in row]


REAL = rows("console_logs.jsonl")


def log(event, release, *, panics=False, panic=0):
    settings = Settings(release=parse_release(release), **SWITCHED_ON, **(PANICS | {"panic": panic} if panics else {}))
    strike = Strike(EVENTS[event], settings, fs_errors="panic" if panics else "continue")
    return report(escalate(strike), Look(release=release))


def text(lines):
    return "".join(line + "\n" for line in lines)


# ---------------------------------------------------------------- the log parser of SQUAD


def _squad():
    """Its class, from its two files; a stand-in for Django's slugify(), and for the server that it reports to."""

    def slugify(value):
        return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", value.lower())).strip("-_")

    contents = {
        "django.template.defaultfilters": {"slugify": slugify},
        "squad.plugins": {"Plugin": type("Plugin", (), {})},
    }
    names = (
        "django",
        "django.template",
        "django.template.defaultfilters",
        "squad",
        "squad.plugins",
        "squad.plugins.lib",
    )
    stand_ins = {name: ModuleType(name) for name in names}
    for name, content in contents.items():
        vars(stand_ins[name]).update(content)
    here = importlib.metadata.distribution("squad")
    with pytest.MonkeyPatch.context() as patch:
        for name, module in stand_ins.items():
            patch.setitem(sys.modules, name, module)
        for name in ("squad.plugins.lib.base_log_parser", "squad.plugins.linux_log_parser"):
            spec = importlib.util.spec_from_file_location(name, here.locate_file(name.replace(".", "/") + ".py"))
            module = importlib.util.module_from_spec(spec)
            patch.setitem(sys.modules, name, module)
            spec.loader.exec_module(module)
    return module


SQUAD = _squad()


class Reader(SQUAD.Plugin):
    """Keeps what the parser would store in its data base: for each kind the titles that it found."""

    def create_squad_tests(self, testrun, suite, test_name, lines, test_regex=None, **_):
        titles, _ = self.create_name_log_dict(test_name, lines, test_regex)
        for title in titles:
            testrun.found.setdefault(test_name, set()).add(title.removeprefix(test_name + "-"))


def squad(log_text):
    project = SimpleNamespace(suites=SimpleNamespace(get_or_create=lambda slug: (SimpleNamespace(slug=slug), True)))
    run = SimpleNamespace(log_file=log_text, found={}, build=SimpleNamespace(project=project))
    Reader().postprocess_testrun(run, squad=False)
    return run.found


def test_it_is_the_foreign_code_that_reads():
    assert "site-packages" in SQUAD.__file__
    assert {name for name, *_ in SQUAD.REGEXES} == {
        "exception", "kasan", "kcsan", "kfence", "panic-multiline", "internal-error-oops",
        "oops", "fault", "warning", "bug", "invalid-opcode", "panic",
    }  # fmt: skip


FINDS = {
    "null_deref": ("bug", "bug-kernel-null-pointer-dereference-address"),
    "page_fault": ("bug", "bug-unable-to-handle-page-fault-for-address"),
    "gpf": ("oops", "oops-general-protection-fault-probably-for-non-canonical-address"),
    "divide_error": ("oops", "oops-divide-error"),
    "bug": ("exception", "kernel-bug-at-drivers"),
    "list_corruption": ("exception", "list_del-corruption-prev-next-should"),
    "stack_guard": ("bug", "bug-task-stack-guard-page-was-hit"),
    "double_fault": ("oops", "oops-double-fault"),
    "warn": ("exception", "warning-"),
    "scheduling_while_atomic": ("bug", "bug-scheduling-while-atomic-worker"),
    "kasan": ("kasan", "bug-kasan-slab-use-after-free-in-do_work"),
    "soft_lockup": ("bug", "bug-soft-lockup-cpu-stuck-for-22s-worker"),
    "workqueue_lockup": ("bug", "bug-workqueue-lockup-pool"),
}
"""The kind that SQUAD files a crash under, and how the title begins that it gives it."""
CUT = {"warn": ("warning", "warning-"), "list_corruption": ("warning", "warning-")}
"""By panic_on_warn=1 a warning loses its end marker, without which it is no ``exception``."""
AT_FIRST_WITHOUT_OOPS = {"gpf", "divide_error", "double_fault", "stack_guard"}
"""Since 6.10 these headers begin with ``Oops: ``, the only word in them that the parser looks for."""
PANICS_BY_ITSELF = {
    "double_fault": "fatal-exception-in-interrupt",
    "stack_protector": "stack-protector-kernel-stack-is-corrupted-in-do_work",
    "stack_end": "corrupted-stack-end-detected-inside-scheduler",
    "sysrq_c": "sysrq-triggered-crash",
    "mce_fatal": "fatal-machine-check",
    "mce_timeout": "timeout-not-all-cpus-entered-broadcast-exception-handler",
    "ghes_fatal": "fatal-hardware-error",
    "oom_no_victim": "system-is-deadlocked-on-memory",
    "init_exit": "attempted-to-kill-init-exitcode",
}
PANICS_BY_SETTING = {
    **PANICS_BY_ITSELF,
    **dict.fromkeys(("null_deref", "page_fault", "gpf", "divide_error", "bug", "stack_guard"), "fatal-exception"),
    **dict.fromkeys(("warn", "list_corruption"), "kernel-panic_on_warn-set"),
    "scheduling_while_atomic": "scheduling-while-atomic-panic_on_warn-set",
    "ubsan": "ubsan-panic_on_warn-set",
    "kasan": "kasan-panic_on_warn-set",
    "soft_lockup": "softlockup-hung-tasks",
    **dict.fromkeys(("hard_lockup", "all_cpus_hang"), "hard-lockup"),
    "hung_task": "hung_task-blocked-tasks",
    "rcu_stall": "rcu-stall",
    "workqueue_lockup": "workqueue-stalls-exceeded-threshold",
    **dict.fromkeys(("unknown_nmi", "serr_nmi"), "nmi-not-continuing"),
    "iock_nmi": "nmi-iock-error-not-continuing",
    "poison_kernel": "memory-failure-unrecoverable-page",
    **dict.fromkeys(
        ("oom", "oom_cpuset", "oom_memcg", "oom_no_victim"), "out-of-memory-compulsory-panic_on_oom-is-enabled"
    ),
    **dict.fromkeys(("ext4_error", "ext4_abort"), "ext4-fs-device-sda1-panic-forced-after-error"),
}
"""The titles of the panics, behind ``kernel-panic-not-syncing-``."""
SQUAD_HAS_NO_KIND = {
    "ubsan": "looks for 'end trace' with a word behind it, and UBSAN prints '---[ end trace ]---' or equals signs",
    "hard_lockup": "no pattern; the line has neither BUG: nor WARNING: nor Oops:",
    "hung_task": "no pattern: INFO: task ... blocked",
    "rcu_stall": "no pattern: rcu: INFO: ... stall",
    "all_cpus_hang": "no pattern: NMI watchdog of a hard lockup",
    "unknown_nmi": "no pattern: Uhhuh. NMI received",
    "serr_nmi": "no pattern: NMI: PCI system error",
    "iock_nmi": "no pattern: NMI: IOCK error",
    "mce_corrected": "no pattern: mce: [Hardware Error], and no crash",
    "mce_user": "no pattern: Memory failure, and no crash of the kernel",
    "poison_clean": "no pattern: Memory failure, and no crash",
    "poison_user": "no pattern: Memory failure, and no crash of the kernel",
    "poison_kernel": "no pattern: Memory failure",
    "oom": "no pattern: the kernel lives, a process dies",
    "oom_cpuset": "no pattern: the kernel lives, a process dies",
    "oom_memcg": "no pattern: the kernel lives, a process dies",
    "ext4_error": "no pattern: EXT4-fs error",
    "ext4_abort": "no pattern: EXT4-fs error",
    "xfs_shutdown": "no pattern: XFS",
    "xfs_metadata_write": "no pattern: XFS",
    "user_fault": "a segfault of a process is no crash",
}
"""What it lets pass as long as nothing panics, and why."""
PRINTS_NOTHING = {"user_taint", "silent_hang", "mce_copy", "copy_fault"}


def expected(event, release, panics, ending):
    """Kind -> beginning of the title."""
    kinds = dict([(CUT if panics else {}).get(event) or FINDS[event]]) if event in FINDS else {}
    if event in ("null_deref", "page_fault", "stack_guard"):
        kinds["oops"] = "oops-"
    if event in AT_FIRST_WITHOUT_OOPS and parse_release(release) < (6, 10):
        del kinds["oops"]
    titles = PANICS_BY_SETTING if panics else PANICS_BY_ITSELF
    if event in titles:
        kinds["panic" if ending.startswith("Rebooting in") else "panic-multiline"] = titles[event]
    return kinds


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("event", [event for event in EVENTS if event not in PRINTS_NOTHING])
def test_squad_calls_our_crash_by_its_kind(event, release):
    for how in ({}, {"panics": True}, {"panics": True, "panic": 10}):
        lines = log(event, release, **how)
        wanted = expected(event, release, bool(how), lines[-1])
        for style in STYLES:
            found = squad(text(prefixed(lines, style)))
            assert set(found) == set(wanted), (style, found)
            for kind, titles in found.items():
                begins = f"kernel-panic-not-syncing-{wanted[kind]}" if kind.startswith("panic") else wanted[kind]
                assert len(titles) == 1, titles
                assert min(titles).startswith(begins), (style, titles)


def test_the_kinds_that_squad_does_not_have_are_these():
    silent = {event for event in EVENTS if not any(log(event, release) for release in RELEASES)}
    assert silent == PRINTS_NOTHING
    passed = {event for event in EVENTS if not squad(text(prefixed(log(event, "6.12.0"))))}
    assert passed - silent == set(SQUAD_HAS_NO_KIND)
    unnamed = {event for event in EVENTS if not squad(text(prefixed(log(event, "6.12.0", panics=True))))}
    assert unnamed - silent == set(SQUAD_HAS_NO_KIND) - set(PANICS_BY_SETTING)


def test_a_crash_that_jumps_into_the_crash_kernel_is_still_seen():
    """The log then ends within the oops: no end marker, no panic."""
    for event, kinds in {"null_deref": {"bug", "oops"}, "gpf": {"oops"}}.items():
        settings = Settings(release=(6, 12), panic_on_oops=1)
        decision = escalate(Strike(EVENTS[event], settings, crash_kernel_loaded=True))
        assert decision.early_kdump
        assert set(squad(text(prefixed(report(decision, Look()))))) == kinds


def test_what_the_command_prints_is_read_as_well():
    words = ["escalate", "bug", "--console", "--release", "6.12", "--sysctl", "kernel.panic_on_oops=1"]
    done = subprocess.run([sys.executable, "-m", "ksim", *words], capture_output=True, text=True, check=True)
    assert squad(done.stdout) == {}  # SQUAD wants to see the time
    assert set(squad(text(prefixed(done.stdout.splitlines())))) == {"exception", "panic-multiline"}


# ---------------------------------------------------------------- the rules of the node problem detector


RULES = rows("kernel_monitor_rules.jsonl")
DETECTS = {
    "hung_task": "TaskHung",
    "oom": "OOMKilling",
    "oom_cpuset": "OOMKilling",
    "oom_memcg": "OOMKilling",
    "ext4_error": "Ext4Error",
    "ext4_abort": "Ext4Error",
    "xfs_shutdown": "XfsHasShutdown",
    "ghes_fatal": "CperHardwareErrorFatal",
}
"""The rules' reasons. The others have none: for oopses they only know the words of Linux before 5.2
(``BUG: unable to handle kernel NULL pointer dereference at``) and a header that ends with ``SMP``."""


def detector(messages):
    """As pkg/systemlogmonitor does it: the last 10 messages, and each pattern has to reach to their end."""
    seen = (messages[max(0, at - 9) : at + 1] for at in range(len(messages)))
    return {
        rule["reason"] for window in seen for rule in RULES if re.search(rule["pattern"] + r"\Z", "\n".join(window))
    }


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("event", EVENTS)
def test_the_node_problem_detector_names_our_problem(event, release):
    wanted = {DETECTS[event]} if event in DETECTS else set()
    if (event, release) == ("hung_task", "7.3.4"):
        wanted = set()  # "blocked in I/O wait for more than": no rule foresees these words
    assert detector(log(event, release)) == wanted
    panicked = log(event, release, panics=True)
    nobody_is_killed = event in ("oom", "oom_cpuset", "oom_memcg")
    assert detector(panicked) == (set() if nobody_is_killed else wanted)


def test_neither_reader_has_a_word_for_these():
    assert set(SQUAD_HAS_NO_KIND) - set(DETECTS) == {
        "ubsan", "hard_lockup", "rcu_stall", "all_cpus_hang", "unknown_nmi", "serr_nmi", "iock_nmi",
        "mce_corrected", "mce_user", "poison_clean", "poison_user", "poison_kernel",
        "xfs_metadata_write", "user_fault",
    }  # fmt: skip


# ---------------------------------------------------------------- no crash


def test_a_boot_without_a_crash_is_none():
    quiet = ["mce_corrected", "mce_user", "poison_clean", "poison_user", "user_fault", "xfs_metadata_write"]
    for release in RELEASES:
        lines = [line for event in quiet for line in log(event, release)]
        lines += [STARTS, *capture_report("saved"), RESETS]
        assert len(lines) > 10
        for style in STYLES:
            assert squad(text(prefixed(lines, style))) == {}
        assert detector(lines) == set()


# ---------------------------------------------------------------- real logs


@pytest.mark.parametrize("row", REAL, ids=lambda row: row["file"])
def test_they_find_in_real_logs_what_they_find_in_ours(row):
    event = row["event"]
    real = squad(row["log"])
    messages = [re.sub(r"^(<\d>)?(\[ *[\d.]+\])?(\[ *[CT]\d+\])? ?", "", line) for line in row["log"].splitlines()]
    if not event:
        assert (real, detector(messages)) == ({}, set())
        return
    ours = log(event, "6.12.0", panics=row["panics"], panic=86400)
    found = squad(text(prefixed(ours)))
    assert set(real) == set(found)
    if row["panics"]:  # before 6.2 the title of a warning's panic was shorter
        assert min(found["panic"]).startswith(min(real["panic"]))
    assert detector(messages) - {"DockerHung"} == detector(ours)
