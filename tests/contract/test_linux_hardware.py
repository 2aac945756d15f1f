"""NMIs, machine checks and poisoned memory: what the hardware reports and what Linux makes of it. Facts, 2.3."""

import itertools

import pytest

from ksim.linux.escalation import escalate
from ksim.linux.events import EVENTS
from ksim.linux.rules import End, Strike
from ksim.linux.sysctl import Settings
from ksim.linux.taint import Taint
from ksim.linux.vocabulary import Context, Task, TaskKind

NMI_KNOBS = ("unknown_nmi_panic", "panic_on_unrecovered_nmi", "panic_on_io_nmi")
OBEYS = {
    "unknown_nmi": {"unknown_nmi_panic": "NMI: Not continuing", "panic_on_unrecovered_nmi": "NMI: Not continuing"},
    "serr_nmi": {"panic_on_unrecovered_nmi": "NMI: Not continuing"},
    "iock_nmi": {"panic_on_io_nmi": "NMI IOCK error: Not continuing"},
}
ALWAYS_FATAL = {
    "mce_fatal": "Fatal machine check",
    "mce_timeout": "Timeout: Not all CPUs entered broadcast exception handler",
    "ghes_fatal": "Fatal hardware error",
}
RECOVERABLE = {
    "mce_corrected": (End.GOES_ON, Taint.none()),
    "mce_user": (End.KILLED, Taint.MACHINE_CHECK),
    "mce_copy": (End.KILLED, Taint.MACHINE_CHECK),
    "poison_clean": (End.GOES_ON, Taint.none()),
    "poison_user": (End.GOES_ON, Taint.none()),
    "poison_kernel": (End.GOES_ON, Taint.none()),
}


def decide(event, **state):
    made = {name: state.pop(name) for name in list(state) if name in Settings.__dataclass_fields__}
    return escalate(Strike(EVENTS[event], Settings(**made), **state))


@pytest.mark.parametrize("event", OBEYS)
def test_whole_table_of_nmis(event):
    for values in itertools.product((0, 1, -1), repeat=3):
        knobs = dict(zip(NMI_KNOBS, values, strict=True))
        asked = [OBEYS[event][name] for name in NMI_KNOBS if knobs[name] and name in OBEYS[event]]
        found = decide(event, **knobs)
        assert found.message == (asked[0] if asked else "")
        assert found.end is (End.PANIC if asked else End.GOES_ON)
        assert (found.taint, found.pstore) == (Taint.none(), ("panic",) if asked else ())
        claimed = decide(event, **knobs, is_handled=True)
        assert (claimed.end, claimed.rule, claimed.prints) == (End.GOES_ON, "claimed", ())


def test_what_an_ignored_nmi_prints():
    for event in ("unknown_nmi", "serr_nmi"):
        assert decide(event).prints == ("Dazed and confused, but trying to continue",)
    assert decide("iock_nmi").prints == ()


def test_an_nmi_panic_goes_through_panic_and_not_through_an_oops():
    found = decide("unknown_nmi", unknown_nmi_panic=1, crash_kernel_loaded=True, context=Context.NMI)
    assert (found.early_kdump, found.aftermath.action) == (False, "capture")


@pytest.mark.parametrize(("event", "message"), ALWAYS_FATAL.items())
@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("kind", [TaskKind.USER, TaskKind.IDLE, TaskKind.INIT])
def test_fatal_hardware_errors_panic_whatever_the_settings(event, message, loaded, kind):
    calm = {"panic_on_oops": 0, "oops_limit": 0, "memory_failure_recovery": 1}
    found = decide(event, **calm, crash_kernel_loaded=loaded, task=Task(kind))
    assert found.message.startswith(message)
    assert (found.end, found.early_kdump) == (End.PANIC, False)
    assert found.oopses == 0
    assert found.aftermath.action == "capture" if loaded else found.aftermath.action != "capture"


def test_taint_m_is_set_by_what_survives_and_by_firmware_but_not_by_a_machine_check_that_panics():
    """Facts, 1.7 and 2.3: do_machine_check() adds the taint behind its panics, __ghes_panic() before."""
    assert decide("mce_fatal").taint == decide("mce_timeout").taint == Taint.none()
    assert decide("ghes_fatal").taint == decide("mce_user").taint == Taint.MACHINE_CHECK
    mask = int(Taint.MACHINE_CHECK)
    assert decide("mce_fatal", panic_on_taint=mask).message == "Fatal machine check"
    assert decide("mce_user", panic_on_taint=mask).message == "panic_on_taint set ..."
    assert decide("ghes_fatal", panic_on_taint=mask).message == "panic_on_taint set ..."


@pytest.mark.parametrize(("event", "outcome"), RECOVERABLE.items())
def test_recoverable_errors(event, outcome):
    found = decide(event)
    assert (found.end, found.taint) == outcome
    assert found.aftermath is None


@pytest.mark.parametrize("event", [*RECOVERABLE, *ALWAYS_FATAL, *OBEYS])
def test_without_recovery_any_memory_failure_panics_and_nothing_else(event):
    found = decide(event, memory_failure_recovery=0)
    is_memory_failure = event in ("mce_user", "poison_clean", "poison_user", "poison_kernel")
    assert found.message.startswith("Memory failure on page ") == is_memory_failure
    if is_memory_failure:
        int(found.message.rpartition(" ")[2], 16)


def test_who_gets_sigbus():
    task = Task(comm="db", pid=77)
    for event in ("mce_user", "mce_copy"):
        assert decide(event, task=task).killed == "the process db[77], by SIGBUS"
    assert "Sending SIGBUS to db:77 due to hardware memory corruption" in decide("mce_user", task=task).prints[0]
    late, early = (decide("poison_user", task=task, memory_failure_early_kill=kill) for kill in (0, 1))
    assert (late.killed, early.killed) == ("", "every process that maps the page, by SIGBUS")
    assert "whoever touches it next gets SIGBUS" in late.steps[-1].says


def test_early_kill_is_for_pages_that_user_space_maps():
    for event in ("poison_clean", "poison_kernel", "mce_user"):
        assert decide(event, memory_failure_early_kill=1).end is decide(event).end


def test_poison_in_the_kernels_own_page_is_ignored_unless_told_otherwise():
    assert "Ignored" in decide("poison_kernel").prints[0]
    found = decide("poison_kernel", panic_on_unrecoverable_memory_failure=1)
    assert found.message.startswith("Memory failure: 0x")
    assert found.message.endswith(": unrecoverable page")
    for event in ("poison_clean", "poison_user"):
        assert not decide(event, panic_on_unrecoverable_memory_failure=1).panics
    both = decide("poison_kernel", panic_on_unrecoverable_memory_failure=1, memory_failure_recovery=0)
    assert both.message.startswith("Memory failure on page ")


def test_a_corrected_error_is_logged_and_nothing_else():
    assert decide("mce_corrected").prints == ("mce: [Hardware Error]: Machine check events logged",)
