"""State elimination against Gauss in rational numbers."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksim.exact.elimination import EXIT, Elimination

Chain = list[dict[int, Fraction]]


def solved(a: list[list[Fraction]], b: list[Fraction]) -> list[Fraction]:
    """x with a x = b."""
    n = len(b)
    rows = [[*row, value] for row, value in zip(a, b, strict=True)]
    for k in range(n):
        pivot = next(i for i in range(k, n) if rows[i][k])
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k] = [value / rows[k][k] for value in rows[k]]
        for i in range(n):
            if i != k and rows[i][k]:
                rows[i] = [x - rows[i][k] * y for x, y in zip(rows[i], rows[k], strict=True)]
    return [row[n] for row in rows]


def exact(chain: Chain, rewards: list[int], starts: list[int]) -> tuple[list[Fraction], list[Fraction]]:
    n = len(chain)
    a = [[Fraction(i == j) - chain[i].get(j, Fraction(0)) for j in range(n)] for i in range(n)]
    transposed = [[a[j][i] for j in range(n)] for i in range(n)]
    return solved(a, [Fraction(r) for r in rewards]), solved(transposed, [Fraction(s) for s in starts])


def floats(chain: Chain) -> list[dict[int, float]]:
    return [{j: float(p) for j, p in row.items()} for row in chain]


def agrees(chain: Chain, rewards: list[int], starts: list[int], rel: float = 1e-13) -> None:
    system = Elimination(floats(chain))
    expected, visits = exact(chain, rewards, starts)
    assert system.expected(rewards) == pytest.approx([float(x) for x in expected], rel=rel, abs=0)
    assert system.visits(starts) == pytest.approx([float(x) for x in visits], rel=rel, abs=0)


@st.composite
def chains(draw: st.DrawFn) -> Chain:
    """Absorbing chains of 1 to 7 states: loops, cycles and probabilities down to one in 10^12."""
    n = draw(st.integers(1, 7))
    weight = st.sampled_from([1, 1, 3, 10, 1000]) | st.just(10**12)
    chain = []
    for i in range(n):
        targets = draw(st.lists(st.integers(0, n - 1), max_size=4, unique=True))
        weights = dict.fromkeys(targets, 0) | {(i + 1 if i + 1 < n else EXIT): 0}
        weights = {j: draw(weight) for j in weights}
        total = sum(weights.values())
        chain.append({j: Fraction(w, total) for j, w in weights.items()})
    return chain


@given(chains(), st.data())
def test_random_chains(chain: Chain, data: st.DataObject) -> None:
    numbers = st.lists(st.integers(0, 1000), min_size=len(chain), max_size=len(chain))
    agrees(chain, data.draw(numbers), data.draw(numbers), rel=1e-12)


def test_tiny_probabilities_keep_their_relative_precision() -> None:
    # leaves only with 1e-12 per step: 1 - p_kk by subtraction would have four digits left
    tiny = Fraction(1, 10**12)
    chain = [{1: Fraction(1)}, {0: 1 - tiny, EXIT: tiny}]
    agrees(chain, [1, 1], [1, 0], rel=1e-15)
    assert Elimination(floats(chain)).visits([1, 0])[1] == pytest.approx(1e12, rel=1e-15)
    loop = [{0: 1 - tiny, 1: tiny / 2, EXIT: tiny / 2}, {EXIT: Fraction(1)}]
    agrees(loop, [1, 7], [1, 0], rel=1e-15)


def test_a_rare_way_counts_exactly() -> None:
    rare = Fraction(1, 10**15)
    chain = [{1: rare, EXIT: 1 - rare}, {0: Fraction(1, 2), EXIT: Fraction(1, 2)}]
    assert Elimination(floats(chain)).visits([1, 0])[1] == pytest.approx(1e-15, rel=1e-15)


def test_gamblers_ruin() -> None:
    # fair walk on 1..9 from 5: 25 steps on average, 5 visits to the start
    half = Fraction(1, 2)
    chain = [{(i - 1 if i else EXIT): half, (i + 1 if i < 8 else EXIT): half} for i in range(9)]
    chain[0] = {EXIT: half, 1: half}
    chain[8] = {EXIT: half, 7: half}
    system = Elimination(floats(chain))
    assert system.expected([1.0] * 9)[4] == pytest.approx(25.0, rel=1e-14)
    assert system.visits([0, 0, 0, 0, 1, 0, 0, 0, 0])[4] == pytest.approx(5.0, rel=1e-14)
    agrees(chain, list(range(9)), list(range(9)))


def test_states_that_nobody_visits_have_no_visits() -> None:
    system = Elimination([{EXIT: 1.0}, {0: 1.0}])
    assert system.visits([1.0, 0.0]) == [1.0, 0.0]
    assert system.expected([2.0, 3.0]) == [2.0, 5.0]
