"""Taint: bits, letters, how reports render them, what sets them and what does not. Facts, section 1.7."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksim.errors import LinuxError
from ksim.linux.escalation import escalate
from ksim.linux.events import EVENTS
from ksim.linux.rules import Strike
from ksim.linux.sysctl import Settings
from ksim.linux.taint import ALL, Taint, letters, parse_taint, tainted_names, tainted_text
from ksim.linux.vocabulary import Context

TABLE = {
    "P": 0, "F": 1, "S": 2, "R": 3, "M": 4, "B": 5, "U": 6, "D": 7, "A": 8, "W": 9, "C": 10, "I": 11, "O": 12, "E": 13,
    "L": 14, "K": 15, "X": 16, "T": 17, "N": 18, "J": 19,
}  # fmt: skip
SETS = {
    **{name: "D" for name, event in EVENTS.items() if event.family == "oops" and name != "list_corruption"},
    "list_corruption": "W", "warn": "W", "scheduling_while_atomic": "W", "kasan": "B", "soft_lockup": "L",
    "mce_user": "M", "mce_copy": "M", "ghes_fatal": "M",
}  # fmt: skip


def test_the_letters_are_those_of_the_kernels_table():
    assert {letters(Taint(1 << bit)): bit for bit in range(20)} == TABLE
    assert ALL == (1 << 20) - 1


@pytest.mark.parametrize("event", EVENTS)
def test_what_sets_which_bit(event):
    """Hard lockups, RCU stalls, hung tasks, OOM kills, file systems and NMIs set none."""
    found = escalate(Strike(EVENTS[event]))
    assert letters(found.taint) == SETS.get(event, "")


@pytest.mark.parametrize("event", EVENTS)
def test_bits_only_accumulate(event):
    before = Taint.PROPRIETARY_MODULE | Taint.WARN
    assert escalate(Strike(EVENTS[event], taint=before)).taint & before == before


def test_a_bug_build_turns_corrupted_lists_into_oopses():
    assert letters(escalate(Strike(EVENTS["list_corruption"], Settings(bug_on_data_corruption=1))).taint) == "D"


def test_the_crash_kernel_is_entered_before_the_taint():
    strike = Strike(EVENTS["bug"], context=Context.SOFTIRQ, crash_kernel_loaded=True)
    assert escalate(strike).taint == Taint.none()


@pytest.mark.parametrize(
    ("taint", "release", "text"),
    [
        ("", (6, 12), "Not tainted"),
        ("DW", (6, 1), "Tainted: G      D W         "),
        ("P", (6, 1), "Tainted: P                  "),
        ("PO", (6, 12), "Tainted: P           O      "),
        ("W", (7, 3), "Tainted: G        W          "),
    ],
)
def test_columns(taint, release, text):
    """One column for each bit: 19 of them up to 6.12, 20 with fwctl."""
    assert tainted_text(parse_taint(taint) if taint else Taint.none(), release) == text


@pytest.mark.parametrize(
    ("taint", "release", "text"),
    [
        ("DW", (6, 11), None),
        ("DW", (6, 12), "Tainted: [D]=DIE, [W]=WARN"),
        ("L", (7, 3), "Tainted: [L]=SOFTLOCKUP"),
        ("OE", (6, 12), "Tainted: [O]=OOT_MODULE, [E]=UNSIGNED_MODULE"),
    ],
)
def test_names_since_6_12(taint, release, text):
    assert tainted_names(parse_taint(taint), release) == text


def test_no_names_for_no_taint():
    assert tainted_names(Taint.none(), (7, 3)) is None


@given(st.integers(0, ALL))
def test_letters_and_numbers_mean_the_same(value):
    assert parse_taint(str(value)) == Taint(value)
    if value:
        assert parse_taint(letters(Taint(value))) == Taint(value)


@given(st.integers(1, ALL), st.sampled_from([(6, 1), (6, 12), (7, 3)]))
def test_every_rendering_has_the_same_width(value, release):
    width = len("Tainted: ") + (20 if release >= (6, 15) else 19)
    assert len(tainted_text(Taint(value), release)) == width


@pytest.mark.parametrize("text", ["", "Z", "d", "DWZ", "-1", str(ALL + 1), "0x80", "1 2"])
def test_no_taint(text):
    with pytest.raises(LinuxError, match="not a taint"):
        parse_taint(text)


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused(text):
    try:
        parse_taint(text)
    except LinuxError:
        assert True
    else:
        assert set(text) <= set("0123456789") or set(text) <= set(TABLE)


# ---------------------------------------------------------------- panic_on_taint


@pytest.mark.parametrize(("event", "letter"), SETS.items())
def test_panic_on_taint_looks_at_the_bits_that_an_event_sets(event, letter):
    mask = 1 << TABLE[letter]
    assert escalate(Strike(EVENTS[event], Settings(panic_on_taint=mask))).message == "panic_on_taint set ..."
    other = ALL & ~mask
    free = escalate(Strike(EVENTS[event]))
    bound = escalate(Strike(EVENTS[event], Settings(panic_on_taint=other)))
    assert (bound.end, bound.message) == (free.end, free.message)


def test_an_oops_that_panics_by_its_taint_leaves_no_end_trace_and_no_oops_record():
    found = escalate(Strike(EVENTS["bug"], Settings(panic_on_taint=0x80, panic_on_oops=1)))
    assert (found.message, found.prints, found.pstore) == ("panic_on_taint set ...", (), ("panic",))
    assert found.taint == Taint.DIE


def test_a_warning_has_printed_its_end_trace_by_then():
    found = escalate(Strike(EVENTS["warn"], Settings(panic_on_taint=0x200)))
    assert found.prints == ("---[ end trace 0000000000000000 ]---",)
    for event in ("ubsan", "kasan", "scheduling_while_atomic"):  # not printed by __warn()
        assert escalate(Strike(EVENTS[event], Settings())).prints == ()


def test_panics_of_a_warning_come_before_its_taint():
    found = escalate(Strike(EVENTS["warn"], Settings(panic_on_taint=0x200, panic_on_warn=1)))
    assert (found.message, found.taint) == ("kernel: panic_on_warn set ...", Taint.none())
