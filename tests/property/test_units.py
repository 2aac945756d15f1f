"""Quantities: what is written is what is read, and everything else is refused with UnitError."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksim.errors import UnitError
from ksim.units import (
    LONGEST_S,
    SIZE_UNITS,
    TIME_UNITS,
    YEAR_S,
    duration_s,
    rate_per_s,
    show_duration,
    size_bytes,
    throughput_bytes_per_s,
)

VALUES = st.just(0.0) | st.floats(1e-280, 1e9)
PARSERS = [duration_s, rate_per_s, size_bytes, throughput_bytes_per_s]


@given(VALUES)
def test_si_texts_round_trip_to_the_last_bit(value: float) -> None:
    assert duration_s(f"{value!r} s") == value
    assert throughput_bytes_per_s(f"{value!r} B/s") == value
    assert rate_per_s(f"{value!r} /s") == value


@given(st.integers(0, 2**53))
def test_sizes_are_whole_bytes(value: int) -> None:
    assert size_bytes(f"{value} B") == value
    assert isinstance(size_bytes("0.5 KiB"), int)


@given(VALUES, st.sampled_from(sorted(TIME_UNITS)))
def test_time_units_are_what_they_are_called(value: float, unit: str) -> None:
    in_one = {"ns": 1e9, "us": 1e6, "ms": 1e3, "s": 1, "min": 1 / 60, "h": 1 / 3600, "d": 1 / 86400, "y": 1 / 31536000}
    if value * TIME_UNITS[unit] <= LONGEST_S:
        assert math.isclose(duration_s(f"{value!r}{unit}") * in_one[unit], value, rel_tol=1e-15)
    assert math.isclose(rate_per_s(f"{value!r} /{unit}"), value * in_one[unit], rel_tol=1e-15)


@given(st.integers(0, 10**6), st.sampled_from(sorted(SIZE_UNITS)))
def test_size_units_are_powers(value: int, unit: str) -> None:
    exponent = "BKMGT".index(unit[0].upper())
    factor = 1024**exponent if unit[1:2] == "i" else 1000**exponent
    assert size_bytes(f"{value} {unit}") == value * factor
    assert throughput_bytes_per_s(f"{value} {unit}/s") == value * factor


def test_a_year_has_8760_hours() -> None:
    assert duration_s("1 y") == duration_s("8760 h") == YEAR_S


@pytest.mark.parametrize("parse", PARSERS)
def test_only_a_bare_zero_needs_no_unit(parse) -> None:
    assert parse("0") == 0.0
    with pytest.raises(UnitError, match="no unit"):
        parse("1")


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize(
    "text",
    ["", " ", "s", "-1 s", "-0 s", "+ 1 s", "1 s 2", "1,5 s", "nan s", "inf s", "1e999 s", "1 parsec", "0x10 s"]
    + ["1 s; rm", "1__0 s", "1 s" + " " * 100, "9" * 100 + " s", "--1 s", "1e s", ".", "1 S", "1 Y", "1 S/s"],
)
def test_refused(parse, text: str) -> None:
    with pytest.raises(UnitError):
        parse(text)


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize("value", [None, 1, 1.5, b"1 s", ["1 s"], True])
def test_only_texts_are_quantities(parse, value: object) -> None:
    with pytest.raises(UnitError):
        parse(value)


@pytest.mark.parametrize("parse", PARSERS)
@given(text=st.one_of(st.text(), st.from_regex(r"[-+0-9.eE]{1,8} ?[a-zA-Z/]{0,5}")))
def test_any_text_is_a_finite_number_or_a_unit_error(parse, text: str) -> None:
    problem = ""
    try:
        assert 0.0 <= parse(text) < math.inf
    except UnitError as error:
        problem = str(error)
    assert "\n" not in problem.replace(repr(text), "")


def test_unknown_units_name_the_nearest_one() -> None:
    with pytest.raises(UnitError, match="did you mean 'min'"):
        duration_s("3 mins")
    with pytest.raises(UnitError, match="did you mean 'GiB'"):
        size_bytes("3 Gib")


def test_the_longest_duration() -> None:
    assert duration_s("1e9 y") == LONGEST_S
    with pytest.raises(UnitError, match="at most"):
        duration_s("1.1e9 y")


@given(st.floats(1e-3, 1e12))
def test_shown_durations_read_back_to_three_digits(seconds: float) -> None:
    assert math.isclose(duration_s(show_duration(seconds)), seconds, rel_tol=0.006)
