"""Addressed draws against a Philox4x64-10 written here from the paper (Salmon et al., SC 2011)."""

import hashlib
from itertools import accumulate, islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksim.chance.streams import BLOCK, Stream, philox_key, tier_of, uniform

M0, M1 = 0xD2E7470EE14C6C93, 0xCA5A826395121157
W0, W1 = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B
MASK = 2**64 - 1


TIERS = [8, 8, 16, 32, 64, 128, 256, 512, 1024, 2048] + [4096] * 1000
"""How many draws of one replication lie in each tier: a change gives every simulation other numbers."""


def philox4x64_10(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        low, high = M0 * c0, M1 * c2
        c0, c1, c2, c3 = (high >> 64) ^ c1 ^ k0, high & MASK, (low >> 64) ^ c3 ^ k1, low & MASK
        k0, k1 = (k0 + W0) & MASK, (k1 + W1) & MASK
    return c0, c1, c2, c3


def expected(seed: int, replication: int, name: str, index: int) -> float:
    """The uniform at an address, from the description in ksim/chance/streams.py and nothing else."""
    digest = hashlib.blake2b(str(seed).encode() + b"\0" + name.encode(), digest_size=16).digest()
    key = (int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little"))
    tier, first, size = 0, 0, 8
    for tier, size in enumerate(TIERS):  # noqa: B007
        if index < first + size:
            break
        first += size
    n = size * replication + index - first
    word = philox4x64_10((n // 4 + 1, tier, 0, 0), key)[n % 4]
    return (word >> 11) * 2.0**-53


def test_known_answers_of_the_paper() -> None:
    """From the test vectors that Random123 ships (kat_vectors, philox4x64 10)."""
    assert philox4x64_10((0, 0, 0, 0), (0, 0)) == (
        0x16554D9ECA36314C,
        0xDB20FE9D672D0FDC,
        0xD7E772CEE186176B,
        0x7E68B68AEC7BA23B,
    )
    assert philox4x64_10((MASK,) * 4, (MASK,) * 2) == (
        0x87B092C3013FE90B,
        0x438C3C67BE8D0224,
        0x9CC7D7C69CD777B6,
        0xA09CAEBF594F0BA0,
    )


BORDERS = sorted(
    {i for first in accumulate(TIERS[:14], initial=0) for i in (first - 1, first, first + 1, first + 3)} - {-1}
)
SEEDS = st.integers(0, 2**64 - 1)


@given(SEEDS, st.integers(0, 2**40), st.text(max_size=20), st.integers(0, 20_000) | st.integers(0, 100))
def test_uniform(seed: int, replication: int, name: str, index: int) -> None:
    assert uniform(seed, replication, name, index) == expected(seed, replication, name, index)


@pytest.mark.parametrize("index", BORDERS)
@pytest.mark.parametrize("replication", [0, 7, 10**9])
def test_uniform_at_the_borders_of_tiers(replication: int, index: int) -> None:
    assert uniform(7, replication, "clock driver_oops", index) == expected(7, replication, "clock driver_oops", index)


def plain(u: np.ndarray) -> list[float]:
    return u.tolist()


@pytest.mark.parametrize("batch", [1, 3, 64, 5000])
@pytest.mark.parametrize("replication", [0, 1, 511, 12345])
def test_a_stream_is_its_addressed_uniforms(batch: int, replication: int) -> None:
    stream = Stream(7, "dwell firmware", plain, batch)
    drawn = list(islice(stream.start(replication), 13_000))
    for index in [*range(100), *(i for i in BORDERS if i < 13_000), 5000, 12_999]:
        assert drawn[index] == expected(7, replication, "dwell firmware", index), f"draw {index}"


@given(SEEDS, st.integers(1, 100), st.lists(st.tuples(st.integers(0, 300), st.integers(0, 700)), max_size=12))
def test_neither_order_nor_batch_matters(seed: int, batch: int, asked: list[tuple[int, int]]) -> None:
    stream = Stream(seed, "s", plain, batch)
    for replication, count in asked:
        drawn = list(islice(stream.start(replication), count))
        assert len(drawn) == count
        for index in {0, 5, 8, 70, 72, 600, count - 1}:
            if 0 <= index < count:
                assert drawn[index] == expected(seed, replication, "s", index)


def test_streams_that_are_read_in_turns_do_not_disturb_each_other() -> None:
    stream = Stream(1, "s", plain, 4)
    a, b = stream.start(0), stream.start(9)
    pairs = [(next(a), next(b)) for _ in range(700)]
    assert [x for x, _ in pairs] == [expected(1, 0, "s", i) for i in range(700)]
    assert [y for _, y in pairs] == [expected(1, 9, "s", i) for i in range(700)]


def test_transform_sees_every_draw_in_blocks() -> None:
    sizes = []

    def noting(u: np.ndarray) -> list[float]:
        sizes.append(len(u))
        return (2 * u).tolist()

    stream = Stream(3, "s", noting, 64)
    drawn = [next(stream.start(r)) for r in range(64)]
    assert drawn == [2 * expected(3, r, "s", 0) for r in range(64)]
    assert sizes == [8 * 64]
    assert max(sizes) <= BLOCK


def test_tiers_follow_one_another_without_gap() -> None:
    last = -1
    for index in range(0, 30_000, 7):
        tier, size, first = tier_of(index)
        assert first <= index < first + size
        assert tier >= last
        last = tier
    borders = [i for i in range(1, 13_000) if tier_of(i) != tier_of(i - 1)]
    assert borders == [first for first in accumulate(TIERS) if first < 13_000]


@given(SEEDS, SEEDS, st.text(max_size=10), st.text(max_size=10))
def test_every_address_has_a_key_of_its_own(seed: int, other: int, name: str, named: str) -> None:
    same = (seed, name) == (other, named)
    assert (philox_key(seed, name).tolist() == philox_key(other, named).tolist()) == same
