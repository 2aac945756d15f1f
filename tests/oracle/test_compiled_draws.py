"""Machine code against NumPy and ksim.chance: Philox, addresses, and the last bit of every function."""

import re

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksim.chance import portable
from ksim.chance.distributions import (
    Constant,
    Empirical,
    Exponential,
    LogNormal,
    LogUniform,
    Outcomes,
    Uniform,
    Weibull,
)
from ksim.chance.streams import philox_key, tier_of, uniform
from ksim.compiled import draws, scalar
from ksim.compiled.bits import add_product, at, product
from ksim.compiled.lanes import traced
from ksim.compiled.program import Program, program
from ksim.model.course import Course

COMPILE = numba.njit(error_model="numpy")
WORDS = st.integers(0, 2**64 - 1)


@COMPILE
def _fill(place, counter, tier):
    draws.fill(place.values, 0, counter, tier, at(place.streams, 0))


@given(WORDS, WORDS, st.integers(0, 2**62), st.integers(0, 10**6))
def test_philox_is_that_of_numpy(k0: int, k1: int, counter: int, tier: int) -> None:
    key = np.array([k0, k1], dtype=np.uint64)
    place = draws.start(program_of(Exponential(1.0))._replace(key=key[None]))
    _fill(place, counter, tier)
    state = np.array([counter, tier, 0, 0], dtype=np.uint64)
    wanted = np.random.Generator(np.random.Philox(counter=state, key=key)).random(4)
    assert place.values[:4].tolist() == wanted.tolist()


@COMPILE
def _draws(place, replication, out):
    draws.begin(place, replication)
    for i in range(len(out)):
        out[i] = draws.draw(place, 0, replication)


def program_of(law, seed: int = 7, name: str = "dwell x 0") -> Program:
    return program(Course(0, (), ((name, law),)), seed)


def test_what_is_needed_seldom_stays_out_of_its_callers() -> None:
    """Numba hands "inline me" on from a caller to whom it calls, unless told otherwise."""
    place, out = draws.start(program_of(Exponential(1.0))), np.empty(1)
    _draws(place, 0, out)
    (code,) = _draws.inspect_llvm().values()
    assert re.search(r"call [^\n]*draws4more", code)
    assert not re.search(r"call [^\n]*draws4draw", code)


LAWS = [
    Exponential(1234.5), LogNormal(57.0, 0.8), LogNormal(3e-4, 2.0), LogNormal(1e200, 10.0), LogNormal(1e-290, 60.0),
    Weibull(100.0, 0.75), Weibull(3.0, 7.7), Uniform(2.0, 19.0), LogUniform(1e-3, 1e5), Empirical((1.0, 2.0, 7.5)),
    Outcomes.of((0.25, 0.5, 0.25)), Outcomes.of((1.0,)),
]  # fmt: skip


def wanted_of(law, u) -> np.ndarray:
    return np.array(law.indices(u) if isinstance(law, Outcomes) else law.quantile(u), dtype=np.float64)


@pytest.mark.parametrize("replication", [0, 1, 2, 12_345, 10**9])
@pytest.mark.parametrize("law", [*LAWS, Constant(7.25)], ids=str)
def test_draws_are_addressed_as_everywhere(law, replication: int) -> None:
    """One by one, ahead, and again: both sides of every border between tiers, and some in between."""
    found, out = program_of(law), np.empty(20_500)
    place = draws.start(found)
    borders = [tier_of(i)[2] for i in range(len(out))]
    index = sorted({*range(140), 20_499, *borders, *(b - 1 for b in borders if b), *range(0, len(out), 997)})
    wanted = wanted_of(law, np.array([uniform(7, replication, "dwell x 0", i) for i in index]))
    for _ in range(2):
        _draws(place, replication, out)
        assert out[index].tolist() == wanted.tolist()


def test_draws_of_neighbouring_replications() -> None:
    """However many first draws are made for all of a group: none, one, up to all; and again in another order."""
    law = Exponential(1.0)
    found, depths = program_of(law), set()
    place = draws.start(found)
    replications = [*range(900), 3, 2, 899, 17]
    for replication in replications:
        out = np.empty(replication // (3 * draws.MANY) + replication % 3)
        _draws(place, replication, out)
        depths.add(int(place.streams["depth"][0]))
        wanted = law.quantile(np.array([uniform(7, replication, "dwell x 0", i) for i in range(len(out))]))
        assert out.tolist() == wanted.tolist(), replication
    assert depths == set(range(draws.MANY + 1))


@COMPILE
def _quantiles(place, u, out):
    for i in range(len(u)):
        out[i] = draws.quantile(place.values, at(place.streams, 0), u[i])


@COMPILE
def _transformed(place, u):
    for first in range(0, len(u), draws.MANY):
        for i in range(draws.MANY):
            place.values[i] = u[first + i]
        draws.transform(place.values, 0, at(place.streams, 0))
        for i in range(draws.MANY):
            u[first + i] = place.values[i]


GRID = np.concatenate(
    [
        np.random.default_rng(1).integers(0, 2**53, 200_000) * 2.0**-53,  # as they are drawn
        np.arange(4096) * 2.0**-53,
        1.0 - np.arange(1, 4096) * 2.0**-53,
        0.5 + np.arange(-2000, 2000) * 2.0**-53,
        0.075 + np.arange(-2000, 2000) * 2.0**-53,  # where normal_quantile changes its formula
        0.925 + np.arange(-2000, 2000) * 2.0**-53,
        np.exp(-25.0) * (1 + np.arange(-500, 500) * 1e-3),
    ]
)


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_quantiles_have_the_same_bits(law) -> None:
    """One by one, and MANY together."""
    place = draws.start(program_of(law))
    u = GRID[: len(GRID) // draws.MANY * draws.MANY]
    one_by_one, together = np.empty(len(u)), u.copy()
    _quantiles(place, u, one_by_one)
    _transformed(place, together)
    wanted = wanted_of(law, u)
    for out in (one_by_one, together):
        different = np.flatnonzero(out != wanted)
        assert len(different) == 0, (u[different[0]].hex(), out[different[0]].hex(), wanted[different[0]].hex())


traced_log = traced(lambda x, a, b: portable.log(x))
traced_exp = traced(lambda x, a, b: portable.exp(x))


@COMPILE
def _logs(block):
    for row in range(len(block)):
        traced_log(block, row, 0.0, 0.0)


@COMPILE
def _exps(block):
    for row in range(len(block)):
        traced_exp(block, row, 0.0, 0.0)


@pytest.mark.parametrize(("function", "code", "low", "high"), [
    (portable.log, _logs, 2.0**-1022, 1e300), (portable.log, _logs, 0.5, 2.0), (portable.exp, _exps, -800.0, 800.0),
    (portable.exp, _exps, -760.0, -700.0), (portable.exp, _exps, 705.0, 715.0),
])  # fmt: skip
def test_traced_functions_have_the_same_bits(function, code, low: float, high: float) -> None:
    """Also where exp underflows to numbers that are not normal, and overflows."""
    block = np.random.default_rng(3).uniform(low, high, (40_000, draws.MANY))
    wanted = function(block)
    code(block)
    assert np.array_equal(block, wanted)


@COMPILE
def _mapped(function, x, out):
    for i in range(len(x)):
        out[i] = function(x[i])


@pytest.mark.parametrize(
    ("name", "low", "high"), [("log", 2.0**-53, 1e6), ("exp", -850.0, 850.0), ("normal_quantile", 0.0, 1.0)]
)
def test_functions_have_the_same_bits(name: str, low: float, high: float) -> None:
    x = np.random.default_rng(2).uniform(low, high, 300_000)
    out = np.empty(len(x))
    _mapped(getattr(scalar, name), x, out)
    wanted = getattr(portable, name)(x)
    assert np.array_equal(out, wanted)


@COMPILE
def _product(a, b):
    return product(a, b)


@given(WORDS, WORDS)
def test_products_have_128_bits(a: int, b: int) -> None:
    low, high = _product(np.uint64(a), np.uint64(b))
    assert int(low) + (int(high) << 64) == a * b


@COMPILE
def _sum_of_squares(sums, values):
    for value in values:
        add_product(sums, 0, 0, value, value)


@given(st.lists(st.integers(0, 2**61), max_size=20))
def test_sums_have_128_bits(values: list[int]) -> None:
    sums = np.zeros((1, 1, 2), np.uint64)
    _sum_of_squares(sums, np.array(values, dtype=np.int64))
    low, high = sums[0, 0].tolist()
    assert low + (high << 64) == sum(v * v for v in values)


def test_the_key_is_the_stream_s() -> None:
    assert program_of(Exponential(1.0), 11, "clock a").key.tolist() == [philox_key(11, "clock a").tolist()]
