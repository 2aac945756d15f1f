"""Addressed draws: the uniform number ``(seed, replication, stream name, index)`` is always the same number.

Generator: Philox4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), as in NumPy.
Key: the 16 bytes of blake2b(seed and name), little endian. The draws of a stream lie in tiers of 8, 8, 16,
32, ..., 4096, 4096, ... per replication. Within a tier the replications lie side by side: draw number j of the tier is
word ``n = size * replication + j``, that is, word n % 4 of the Philox block with counter (n // 4 + 1, tier, 0, 0).
A uniform is (word >> 11) * 2^-53, in [0, 1). So both many short replications and one long one are filled by few
calls, and any draw can be had without the others.

Nobody's draws depend on who else draws: two strategies share the phases that they share, a new phase disturbs
nothing, and order, worker count and engine never matter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import chain, count
from typing import Any

import numpy as np
import numpy.typing as npt

from ksim.chance.portable import Array

FIRST_TIER = 8
BLOCK = 4096
"""Size of the last tiers, and the most that one call draws."""


def tier_of(index: int) -> tuple[int, int, int]:
    """(tier, size of the tier, first index of the tier) of draw ``index``."""
    tier, first = 0, 0
    while index >= first + size_of(tier):
        first += size_of(tier)
        tier += 1
    return tier, size_of(tier), first


def size_of(tier: int) -> int:
    """How many draws of one replication a tier holds."""
    return FIRST_TIER if tier == 0 else min(FIRST_TIER << min(tier - 1, 60), BLOCK)


def philox_key(seed: int, name: str) -> npt.NDArray[np.uint64]:
    """The two 64-bit key words of a stream."""
    digest = hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=16).digest()
    return np.frombuffer(digest, dtype="<u8").astype(np.uint64)


def _uniforms(key: npt.NDArray[np.uint64], block: int, tier: int, n: int) -> Array:
    # NumPy steps the counter before it draws: block 0 comes from counter 1
    counter = np.array([block, tier, 0, 0], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(counter=counter, key=key)).random(n)


def uniform(seed: int, replication: int, name: str, index: int) -> float:
    """One addressed uniform, the slow and obvious way: what every reader must agree with."""
    tier, size, first = tier_of(index)
    n = size * replication + index - first
    return float(_uniforms(philox_key(seed, name), n // 4, tier, 4)[n % 4])


class Stream:
    """The draws of one stream, made in blocks over up to ``batch`` neighbouring replications.

    ``transform`` maps an array of uniforms to the list of drawn values.
    """

    def __init__(self, seed: int, name: str, transform: Callable[[Array], list[Any]], batch: int) -> None:
        self._key = philox_key(seed, name)
        self._transform = transform
        self._batch = batch
        self._first = 0
        self._heads: list[list[Any]] = []
        self._blocks: dict[int, tuple[int, list[Any]]] = {}

    def start(self, replication: int) -> Iterator[Any]:
        """All draws of a replication, index 0, 1, 2, ..."""
        at = replication - self._first
        if not 0 <= at < len(self._heads):
            values = self._values(replication, 0, FIRST_TIER)
            self._heads = [values[i : i + FIRST_TIER] for i in range(0, len(values), FIRST_TIER)]
            self._first, at = replication, 0
        return chain(self._heads[at], chain.from_iterable(self._tail(replication)))

    def _tail(self, replication: int) -> Iterator[list[Any]]:
        for tier in count(1):
            yield self._part(replication, tier)

    def _part(self, replication: int, tier: int) -> list[Any]:
        size = size_of(tier)
        first, values = self._blocks.get(tier, (0, []))
        at = (replication - first) * size
        if not 0 <= at < len(values):
            first, at, values = replication, 0, self._values(replication, tier, size)
            if size < BLOCK:
                self._blocks[tier] = (first, values)  # holds the next replications too
        return values[at : at + size]

    def _values(self, replication: int, tier: int, size: int) -> list[Any]:
        together = max(1, min(self._batch, BLOCK // size))
        return self._transform(_uniforms(self._key, size * replication // 4, tier, size * together))
