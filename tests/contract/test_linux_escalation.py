"""The kernel's decision about an oops and about a panic, row by row and over the whole table."""

import itertools
import math

import pytest

from ksim.linux.escalation import OOPS_RULES, PANIC_RULES, after_panic, escalate
from ksim.linux.sysctl import Settings
from ksim.linux.vocabulary import Context

IN_INTERRUPT = {"bh_disabled", "softirq", "hardirq", "nmi"}


def test_rule_early_crash_kexec():
    seen = escalate(Settings(panic_on_oops=1), Context.PROCESS, crash_kernel_loaded=True)
    assert (seen.rule, seen.panics, seen.early_kdump, seen.message) == ("early_crash_kexec", True, True, None)
    assert "kexec_should_crash" in str(seen.source)


@pytest.mark.parametrize("context", [Context(name) for name in sorted(IN_INTERRUPT)])
def test_rule_in_interrupt(context):
    seen = escalate(Settings(panic_on_oops=1), context)
    assert (seen.rule, seen.message) == ("in_interrupt", "Fatal exception in interrupt")


def test_rule_panic_on_oops():
    for context in (Context.PROCESS, Context.IDLE, Context.INIT):
        seen = escalate(Settings(panic_on_oops=60), context)
        assert (seen.rule, seen.message) == ("panic_on_oops", "Fatal exception")


def test_rule_idle_task_comes_before_the_limit():
    seen = escalate(Settings(oops_limit=1), Context.IDLE)
    assert (seen.rule, seen.message) == ("idle_task", "Attempted to kill the idle task!")


def test_rule_oops_limit_comes_before_init():
    for context in (Context.PROCESS, Context.INIT):
        seen = escalate(Settings(oops_limit=3), context, oops_count=2)
        assert (seen.rule, seen.message) == ("oops_limit", "Oopsed too often (kernel.oops_limit is 3)")


def test_oops_limit_panics_on_the_nth_and_not_before_and_0_is_no_limit():
    assert not escalate(Settings(oops_limit=3), Context.PROCESS, oops_count=1).panics
    assert escalate(Settings(oops_limit=3), Context.PROCESS, oops_count=2).panics
    assert not escalate(Settings(), Context.PROCESS, oops_count=9998).panics
    assert escalate(Settings(), Context.PROCESS, oops_count=9999).panics
    assert not escalate(Settings(oops_limit=0), Context.PROCESS, oops_count=10**9).panics


def test_oops_limit_does_not_jump_early():
    seen = escalate(Settings(oops_limit=1), Context.PROCESS, crash_kernel_loaded=True)
    assert (seen.panics, seen.early_kdump, seen.rule) == (True, False, "oops_limit")


def test_rule_init():
    seen = escalate(Settings(), Context.INIT)
    assert (seen.rule, seen.message) == ("init", "Attempted to kill init! exitcode=0x0000000b")
    page_fault = escalate(Settings(), Context.INIT, signal=9)
    assert page_fault.message == "Attempted to kill init! exitcode=0x00000009"


def test_rule_task_killed():
    seen = escalate(Settings(), Context.PROCESS, crash_kernel_loaded=True)
    assert (seen.rule, seen.panics, seen.early_kdump, seen.message) == ("task_killed", False, False, None)


def test_every_rule_names_a_kernel_function():
    for rule in (*OOPS_RULES, *PANIC_RULES):
        assert rule.source.locator.endswith("()")
    assert len({rule.name for rule in OOPS_RULES}) == len(OOPS_RULES) == 7


def expected_outcome(context, panic_on_oops, limit, count, loaded):
    """Written from the prose of the kernel documentation, not from the table under test."""
    never_survives = {"softirq", "hardirq", "nmi", "bh_disabled", "idle", "init"}
    if loaded and (panic_on_oops or context in never_survives):
        return "jump"
    if context in ("softirq", "hardirq", "nmi", "bh_disabled"):
        return "Fatal exception in interrupt"
    if panic_on_oops:
        return "Fatal exception"
    if context == "idle":
        return "Attempted to kill the idle task!"
    if limit and count + 1 >= limit:
        return f"Oopsed too often (kernel.oops_limit is {limit})"
    return "Attempted to kill init! exitcode=0x0000000b" if context == "init" else "survived"


def test_whole_table():
    for context, panic_on_oops, limit, count, loaded in itertools.product(
        Context, (0, 1, -1), (0, 1, 2, 10000), (0, 1, 2, 9999), (False, True)
    ):
        made = Settings(panic_on_oops=panic_on_oops, oops_limit=limit)
        seen = escalate(made, context, oops_count=count, crash_kernel_loaded=loaded)
        outcome = "jump" if seen.early_kdump else seen.message if seen.panics else "survived"
        assert outcome == expected_outcome(context.value, panic_on_oops, limit, count, loaded)
        assert seen.panics or (seen.message is None and not seen.early_kdump)


@pytest.mark.parametrize(
    ("panic", "loaded", "machine_check", "action", "wait_s", "rule"),
    [
        (0, False, False, "hang", math.inf, "endless_loop"),
        (0, False, True, "reboot", 30.0, "machine_check_timeout"),
        (10, False, False, "reboot", 10.0, "panic_timeout"),
        (10, False, True, "reboot", 10.0, "panic_timeout"),
        (-1, False, False, "reboot", 0.0, "panic_at_once"),
        (-1, False, True, "reboot", 0.0, "panic_at_once"),
        (0, True, False, "capture", 0.0, "crash_kexec"),
        (0, True, True, "capture", 0.0, "crash_kexec"),
        (10, True, False, "capture", 0.0, "crash_kexec"),
        (-1, True, True, "capture", 0.0, "crash_kexec"),
    ],
)
def test_after_panic(panic, loaded, machine_check, action, wait_s, rule):
    seen = after_panic(Settings(panic=panic), crash_kernel_loaded=loaded, machine_check=machine_check)
    assert (seen.action, seen.wait_s, seen.rule) == (action, wait_s, rule)


def test_misconception_1_an_oops_crashes_the_machine():
    assert not escalate(Settings(), Context.PROCESS).panics


def test_misconception_2_bug_panics():
    # A BUG() is an oops that kills its task with signal 11; the rules are those of a page fault, signal 9.
    for context in Context:
        bug = escalate(Settings(), context, signal=11)
        page_fault = escalate(Settings(), context, signal=9)
        assert (bug.panics, bug.rule) == (page_fault.panics, page_fault.rule)
    assert not escalate(Settings(), Context.PROCESS, signal=11).panics


def test_misconception_4_in_interrupt_means_only_hard_irqs():
    assert {context.value for context in Context if context.in_interrupt} == IN_INTERRUPT
    assert escalate(Settings(), Context.BH_DISABLED).message == "Fatal exception in interrupt"
    assert escalate(Settings(), Context.SOFTIRQ).message == "Fatal exception in interrupt"


def test_misconception_5_linux_reboots_after_a_panic():
    assert after_panic(Settings(), crash_kernel_loaded=False).action == "hang"
    assert after_panic(Settings(), crash_kernel_loaded=False, machine_check=True).action == "reboot"


def test_misconception_9_panic_matters_with_kdump():
    outcomes = {after_panic(Settings(panic=n), crash_kernel_loaded=True) for n in (-1, 0, 1, 10, 60)}
    assert {(seen.action, seen.wait_s) for seen in outcomes} == {("capture", 0.0)}
