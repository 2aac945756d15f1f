"""ksim escalate and ksim compare --variant: what a user asks, and what comes back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]


def ksim(*words: str, cwd: Path = TOP) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "ksim", *words], cwd=cwd, capture_output=True, text=True, check=False)


def decided(*words: str) -> dict:
    done = ksim("escalate", *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_help_names_every_event_and_shows_examples() -> None:
    from ksim.linux.events import EVENTS

    text = ksim("escalate", "--help").stdout
    assert [name for name in EVENTS if name not in text] == []
    assert "ksim escalate hung_task --taint D" in text


def test_help_is_quick_to_import() -> None:
    code = "import sys, ksim.cli; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"numpy", "pandas", "scipy", "networkx", "pydantic", "rich"}


def test_the_answer_for_people() -> None:
    text = ksim("escalate", "null_deref", "--lock", "mutex", "--release", "6.1").stdout
    for part in (
        "The kernel lives. It kills the process worker[1234], with signal 9.",
        "leaks", "mutex: later takers sleep in state D", "the hung task detector, until the next boot",
        "Why, row by row", "early_crash_kexec", "kernel/exit.c, do_exit()", "Oops: 0002 [#1] PREEMPT SMP NOPTI",
    ):  # fmt: skip
        assert part in text
    assert "Oops: Oops:" not in text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("bug",), {"end": "killed", "panics": False, "rule": "task_killed"}),
        (("bug", "--context", "softirq"), {"end": "panic", "message": "Fatal exception in interrupt"}),
        (("bug", "--context", "softirq", "--distro", "rhel9"), {"end": "jump", "early_kdump": True, "message": None}),
        (("bug", "--distro", "rhel9", "--memory", "512 MiB"), {"message": "Fatal exception"}),
        (("bug", "--task", "init", "--threads", "2"), {"end": "killed"}),
        (("warn", "--sysctl", "kernel.warn_limit=3", "--warns", "2"), {"panics": True, "warn_count": 3}),
        (("hung-task", "--taint", "D", "--sysctl", "kernel.hung_task_panic=1"), {"end": "stuck"}),
        (("soft_lockup", "--sysctl", "kernel.softlockup_panic=1", "--lasts", "10 s"), {"end": "goes_on"}),
        (("oom", "--sysctl", "vm.panic_on_oom=1"), {"message": "Out of memory: system-wide panic_on_oom is enabled"}),
        (("hard_lockup", "--hypervisor", "kvm", "--sysctl", "kernel.hardlockup_panic=1"), {"end": "stuck"}),
        (("sysrq_c", "--file", "rack-server"), {"next": {"action": "capture", "wait_s": 0.0, "rule": "crash_kexec"}}),
        (("sysrq_c", "--crash-kernel", "none", "--file", "rack-server"),
         {"next": {"action": "reboot", "wait_s": 10.0, "rule": "panic_timeout"}}),
        (("sysrq_c",), {"next": {"action": "hang", "wait_s": None, "rule": "endless_loop"}}),
        (("sysrq_c", "--cmdline", "crashkernel=256M crashkernel=1G,cma", "--release", "6.17"),
         {"next": {"action": "capture", "wait_s": 10.0, "rule": "crash_kexec"}}),
    ],
)  # fmt: skip
def test_decisions(words: tuple[str, ...], expected: dict) -> None:
    found = decided(*words)
    assert {key: found[key] for key in expected} == expected
    assert found["settings"]["crashkernel_why"]
    assert isinstance(found["console"], list)


def test_the_console_alone() -> None:
    text = ksim("escalate", "sysrq_c", "--console", "--cmdline", "panic=10").stdout
    assert text.splitlines()[0] == "sysrq: Trigger a crash"
    assert text.splitlines()[-1] == "Rebooting in 10 seconds.."


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("nul_deref",), "did you mean 'null_deref'"),
        (("bug", "--sysctl", "kernel.panic_on_ops=1"), "did you mean 'kernel.panic_on_oops'"),
        (("bug", "--sysctl", "kernel.panic"), "expected KEY=VALUE"),
        (("bug", "--sysctl", "kernel.panic=x"), "Invalid argument"),
        (("bug", "--release", "new"), "not a kernel release"),
        (("bug", "--distro", "rhel99"), "unknown 'rhel99'"),
        (("bug", "--taint", "xyz"), "not a taint"),
        (("bug", "--lasts", "10"), "no unit"),
        (("bug", "--task", "idle", "--threads", "2"), "has one thread"),
        (("bug", "--context", "irq"), "'irq' is not one of"),
        (("bug", "--memory", "lots"), "not a size"),
        (("bug", "--file", "no-such"), "cannot read scenario"),
        (("soft_lockup", "--sysctl", "kernel.softlockup_panic=3"), "from 0 to 1"),
    ],
)
def test_bad_questions_are_one_message_and_exit_2(words: tuple[str, ...], reason: str) -> None:
    done = ksim("escalate", *words)
    assert done.returncode == 2
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_malformed_crashkernel_is_told_and_boots_all_the_same() -> None:
    text = ksim("escalate", "sysrq_c", "--cmdline", "crashkernel=4G-2G:1G").stdout
    assert "crash kernel not loaded (crashkernel=4G-2G:1G: end <= start)" in text


# ---------------------------------------------------------------- variants


def test_two_sets_of_sysctls_side_by_side(tmp_path: Path) -> None:
    variants = ("kernel.panic_on_oops=0", "kernel.panic_on_oops=1; kernel.panic=60")
    words = [word for text in variants for word in ("--variant", text)]
    done = ksim("compare", str(tmp_path / "s.toml"), "--json", *words, cwd=tmp_path)
    assert done.returncode == 2, "there is no such file yet"
    (tmp_path / "s.toml").write_text('extends = "rack-server"\nreplications = 20\n')
    done = ksim("compare", "s.toml", "--json", "--out", "o", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    rows = {(r["strategy"], r["measure"]): r["estimate"] for r in data["rows"] if r["method"] == "exact"}
    assert {name for name, _ in rows} == set(variants)
    assert rows[variants[0], "damages_per_year"] > rows[variants[1], "damages_per_year"] == 0.0
    assert rows[variants[1], "vmcore_captured"] > 0.8
    assert any("kernel.panic_on_oops = 1" in note for note in data["notes"]), "rhel9 sets it anyway"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--variant", "kernel.panic=1", "--strategy", "kdump"), "either the one or the other"),
        (("--variant", "kernel.panic=1", "--variant", "kernel.panic=1"), "the same settings twice"),
        (("--variant", "kernel.panik=1"), "did you mean 'kernel.panic'"),
        (("--variant", "seed=1", "--variant", "seed=2"), "another seed"),
        (("--variant", "nonsense"), "expected KEY=VALUE"),
    ],
)
def test_bad_variants(words: tuple[str, ...], reason: str) -> None:
    done = ksim("compare", "vm", *words)
    assert (done.returncode, reason in done.stderr) == (2, True), done.stderr
