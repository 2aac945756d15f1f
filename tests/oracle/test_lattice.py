"""Laws on a lattice: what is rounded down is earlier, what is rounded up later, and the mean between them is kept."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ksim.chance.distributions import Constant, Empirical, Exponential, Law, LogNormal, Uniform
from ksim.errors import NotSolvable
from ksim.exact.lattice import DOWN, SPLIT, UP, Lattice, at_once, coarser, fitted, lattice, law_transform, ways
from ksim.exact.race import race
from ksim.model.lifecycle import Branch, Clock, Node, Service
from tests.strategies import laws

TIGHT = {"rel": 1e-9, "abs": 1e-9}


def masses(law: Law, on: Lattice) -> np.ndarray:
    """Of the lower half: beyond it rounding errors grow, and nobody looks there."""
    return on.masses(law_transform(law, on))[:, : on.points // 2]


@settings(max_examples=50)
@given(laws(), st.integers(-2, 2))
def test_rounding_encloses_every_law(law: Law, exponent: int) -> None:
    on = lattice(1, exponent, 512)
    cumulative = np.cumsum(masses(law, on), axis=-1)
    truth = 1.0 - law.survival(on.edges[:256] * (1 + 1e-12))
    assert np.all(cumulative[DOWN] >= truth - 1e-9)
    assert np.all(cumulative[UP] <= truth + 1e-9)
    assert np.all(cumulative[DOWN] >= cumulative[SPLIT] - 1e-9)
    assert np.all(cumulative[SPLIT] >= cumulative[UP] - 1e-9)


def test_masses_that_are_split_keep_the_mean_of_atoms() -> None:
    on = lattice(2, 0, 64)
    law = Empirical((3.0, 4.0, 4.5, 20.25))
    found = masses(law, on)
    times = on.edges[:32]
    assert found[SPLIT] @ times == pytest.approx(law.mean, **TIGHT)
    assert found[DOWN] @ times == pytest.approx((2 + 4 + 4 + 20) / 4, **TIGHT)
    assert found[UP] @ times == pytest.approx((4 + 4 + 6 + 22) / 4, **TIGHT)


def test_a_smooth_law_keeps_its_mean_to_second_order() -> None:
    law, errors = LogNormal(30.0, 0.6), []
    for points in (512, 1024):
        on = fitted(1000.0, points)
        errors.append(abs(masses(law, on)[SPLIT] @ on.edges[: points // 2] - law.mean) / on.step**2)
    assert max(errors) < 1e-3


@pytest.mark.parametrize("value", [0.05, 0.3, 11.103, 3.0, 61.907])
def test_decimal_constants_are_on_decimal_lattices(value: float) -> None:
    on = lattice(1, -3, 2**17)
    place, part = on.place(value)
    assert (place, part) == (round(value * 1000), 0.0)
    assert on.time(place) == value
    found = masses(Constant(value), on)
    assert found[:, place] == pytest.approx(1.0, abs=1e-8)


def test_the_lattice_fits_the_answer() -> None:
    for x in np.geomspace(1e-6, 1e9, 101).tolist():
        on = fitted(x, 4096)
        assert 4096 / 5.001 <= x / on.step <= 4096 / 2
        assert coarser(on).step == pytest.approx(on.step * {1: 2, 2: 2.5, 5: 2}[on.digit])


# ---------------------------------------------------------------- races


def race_node(*clocks: Law) -> Node:
    return Node("r", "r", Service.UP, clocks=tuple(Clock(f"c{i}", law, "r") for i, law in enumerate(clocks)))


@settings(max_examples=40)
@given(st.lists(laws(), min_size=2, max_size=4))
def test_a_race_shares_the_lattice_as_its_quadrature_says(clocks: list[Law]) -> None:
    on = lattice(1, 0, 2**13)
    try:
        expected, found = race(clocks), ways(race_node(*clocks), on)
    except NotSolvable:
        assume(False)
    half = on.points // 2
    beyond = math.prod(float(law.survival(on.edges[half : half + 1])[0]) for law in clocks)
    sums = [on.masses(way)[:, :half].sum(axis=-1) for way in found]
    # a mass just below the half is rounded up to it
    assert sum(sums)[DOWN] == pytest.approx(1.0 - beyond, abs=1e-7)
    for way, total in zip(expected, sums, strict=True):
        assert np.all(total <= way.p + 1e-7)
        assert total[DOWN] >= way.p - beyond - 1e-7


def test_a_race_against_a_timeout() -> None:
    on = lattice(5, -1, 1024)
    rings, out = (on.masses(way) for way in ways(race_node(Exponential(30.0), Constant(45.25)), on))
    assert out[DOWN, 90] == pytest.approx(math.exp(-45.25 / 30), **TIGHT)
    assert out[SPLIT, 90:92] == pytest.approx(math.exp(-45.25 / 30) / 2, **TIGHT)
    assert out[UP, 91] == pytest.approx(math.exp(-45.25 / 30), **TIGHT)
    # the last cell is cut at the timeout
    assert rings[DOWN, 90] == pytest.approx(math.exp(-45 / 30) - math.exp(-45.25 / 30), **TIGHT)
    assert rings[DOWN, 91:512].sum() == pytest.approx(0.0, abs=1e-9)


def test_ties_of_constants_go_to_the_first_named() -> None:
    on = lattice(1, 0, 64)
    first, second = (on.masses(way) for way in ways(race_node(Constant(5.0), Constant(5.0)), on))
    assert first[:, 5] == pytest.approx(1.0, **TIGHT)
    assert second[:, :32] == pytest.approx(0.0, abs=1e-9)


def test_what_happens_at_once() -> None:
    node = Node("n", "n", Service.UP, (Branch("n", Constant(0.0), 0.25), Branch("n", Uniform(0.0, 1.0), 0.75)))
    assert [float(way.real) for way in at_once(node)] == [0.25, 0.0]
    assert [float(way.real) for way in at_once(race_node(Exponential(3.0), Empirical((0.0, 1.0)), Constant(0.0)))] == [
        0.0,
        0.5,
        0.5,
    ]
