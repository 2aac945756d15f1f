"""Addressed draws in machine code: ``ksim.chance.streams`` and the quantiles of ``ksim.chance.distributions``.

Philox4x64-10 (Salmon et al., SC 2011) makes four words at a time; the block that a stream is in is kept.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ksim.chance import portable
from ksim.compiled import scalar
from ksim.compiled.bits import at, bits_of, product, put
from ksim.compiled.jit import called, jit
from ksim.compiled.lanes import MANY, traced
from ksim.compiled.program import (
    EXPONENTIAL,
    LOGNORMAL,
    LOGUNIFORM,
    UNIFORM,
    WEIBULL,
    Program,
)

M0, M1 = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
W0, W1 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)
ROUNDS = 10


TOGETHER = MANY
"""A log-normal stream that has made so many draws in a replication makes as many at a time."""


class Place(NamedTuple):
    """Where the draws of one replication have come to: ``index`` (s,) next draws, ``block`` (s, 4) of uniforms.

    ``values`` (s, 8): durations of log-normal laws, which are made together.
    """

    index: Any
    block: Any
    values: Any


def start(program: Program) -> Place:
    """Room for the places of all streams; at the start of a replication ``index`` is zero."""
    streams = len(program.kind)
    return Place(np.zeros(streams, np.int64), np.zeros((streams, 4)), np.zeros((streams, TOGETHER)))


@jit
def fill(block: Any, stream: int, counter: int, tier: int, key: Any, to: int = 0) -> None:
    """Four uniforms from place ``to`` on: Philox block number ``counter`` of a tier, under the key of the stream."""
    x0, x1, x2, x3 = np.uint64(counter + 1), np.uint64(tier), np.uint64(0), np.uint64(0)
    k0, k1 = key[stream, 0], key[stream, 1]
    for _ in range(ROUNDS):
        low0, high0 = product(M0, x0)
        low1, high1 = product(M1, x2)
        x0, x1, x2, x3 = high1 ^ x1 ^ k0, low1, high0 ^ x3 ^ k1, low0
        k0 += W0
        k1 += W1
    block[stream, to] = np.int64(x0 >> np.uint64(11)) * 2.0**-53
    block[stream, to + 1] = np.int64(x1 >> np.uint64(11)) * 2.0**-53
    block[stream, to + 2] = np.int64(x2 >> np.uint64(11)) * 2.0**-53
    block[stream, to + 3] = np.int64(x3 >> np.uint64(11)) * 2.0**-53


@jit
def uniform(program: Program, place: Place, stream: int, replication: int) -> float:
    """The next uniform of a stream."""
    index = at(place.index, stream)
    put(place.index, stream, index + 1)
    if index & 3 == 0:
        tier, size, word = 0, 8, index
        if index >= 8192:
            tier, size, word = 9 + (index >> 12), 4096, index & 4095
        elif index >= 8:
            tier = 1
            while index >= 2 * size:
                tier += 1
                size *= 2
            word = index - size
        fill(place.block, stream, (size * replication + word) >> 2, tier, program.key)
    return place.block[stream, index & 3]


@jit
def quantile(program: Program, stream: int, u: float) -> float:
    """The duration that a uniform stands for."""
    kind, a, b = at(program.kind, stream), at(program.a, stream), at(program.b, stream)
    if kind == EXPONENTIAL:
        return a * scalar.log(1.0 - u)
    if kind == LOGNORMAL:
        return a * scalar.exp(b * scalar.normal_quantile(u))
    if kind == UNIFORM:
        return a + u * b
    if kind == WEIBULL:
        x = -scalar.log(1.0 - u)
        return a * scalar.exp(b * scalar.log(x)) if x > 0.0 else 0.0
    if kind == LOGUNIFORM:
        return a * scalar.exp(u * b)
    first, many = program.place[stream, 0], program.place[stream, 1]
    return at(program.table, first + min(np.int64(u * many), many - 1))


lognormals = traced(lambda u, median, sigma: median * portable.exp(sigma * portable.normal_quantile(u)))


@jit
def lognormal(program: Program, place: Place, stream: int, replication: int) -> float:
    """The next duration from a log-normal stream; eight at once cost as much as three.

    A stream that has made eight draws in a replication is likely to make many more; one that has not may need but one.
    """
    index = at(place.index, stream)
    if index < TOGETHER:
        return quantile(program, stream, uniform(program, place, stream, replication))
    put(place.index, stream, index + 1)
    if index & 7 == 0:
        more(place.values, stream, program.key, index, replication, at(program.a, stream), at(program.b, stream))
    return place.values[stream, index & 7]


@called
def more(values: Any, stream: int, key: Any, index: int, replication: int, median: float, sigma: float) -> None:
    """The next eight."""
    exponent = (bits_of(float(index)) >> 52) - 1023
    tier, size, word = exponent - 2, 1 << exponent, index - (1 << exponent)
    if index >= 8192:
        tier, size, word = 9 + (index >> 12), 4096, index & 4095
    counter = (size * replication + word) >> 2
    fill(values, stream, counter, tier, key, 0)
    fill(values, stream, counter + 1, tier, key, 4)
    lognormals(values, stream, median, sigma)


@jit
def branch(program: Program, place: Place, stream: int, replication: int) -> int:
    """Which way, by the next draw of a stream of outcomes."""
    u = uniform(program, place, stream, replication)
    first = program.place[stream, 0]
    way = 0
    while at(program.table, first + way) <= u:
        way += 1
    return way
