"""Addressed draws in machine code: ``ksim.chance.streams`` and the quantiles of ``ksim.chance.distributions``.

Philox4x64-10 (Salmon et al., SC 2011) makes four words at a time, and ``ksim.compiled.lanes`` the quantiles of MANY
numbers, so draws are made MANY together: ahead in a stream that has already made so many in its replication, and before
that, as the first draws of MANY neighbouring replications. Where most of them would not be needed they are made one by
one. Every draw has an address, so none of this changes a bit of any.
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
    CONSTANT,
    EMPIRICAL,
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
ROWS = MANY + 1
"""Of MANY values, for each stream: the first draws of MANY replications, as many of each; then those that follow."""


STREAM = np.dtype(
    [(name, np.int64) for name in ("next", "end", "made", "depth", "drawn", "kind", "first", "many")]
    + [("a", np.float64), ("b", np.float64), ("key0", np.uint64), ("key1", np.uint64)],
    align=True,
)
"""What is known of a stream: the ``next`` value and the ``end`` of those that are made, and ``made``, the index of the
draw after them. The first ``depth`` draws are made for all replications of a group; ``drawn`` counts what these have
used. Then its law and its key, as in ``Program``."""


class Place(NamedTuple):
    """Where the draws of one replication have come to.

    ``streams`` (s,) of STREAM; ``values``: ROWS * MANY for each of them, and the table of the program; ``group`` (1,).
    """

    streams: Any
    values: Any
    group: Any


def start(program: Program) -> Place:
    """Room for the places of all streams; ``begin`` comes before the draws of a replication."""
    many = len(program.kind)
    streams = np.zeros(many, STREAM)
    for name in ("kind", "a", "b"):
        streams[name] = getattr(program, name)
    streams["key0"], streams["key1"] = program.key.T
    streams["first"], streams["many"] = program.place.T
    streams["first"] += many * ROWS * MANY
    values = np.zeros((many, ROWS * MANY))
    constant = program.kind == CONSTANT
    values[constant] = program.a[constant, None]
    return Place(streams, np.concatenate([values.ravel(), program.table]), np.array([-1]))


@jit
def draw(place: Place, number: int, replication: int) -> float:
    """The next of a stream: a duration, or the number of the way out."""
    stream = at(place.streams, number)
    if stream.next == stream.end:
        more(place.streams, place.values, number, replication)
    now = stream.next
    stream.next = now + 1
    return at(place.values, now)


@jit
def begin(place: Place, replication: int) -> None:
    """Goes to the first draws of a replication."""
    group, lane = replication // MANY, replication % MANY
    fresh = group != place.group[0]
    place.group[0] = group
    for number in range(len(place.streams)):
        stream = at(place.streams, number)
        stream.drawn += stream.made - (stream.end - stream.next)
        if fresh:
            together(place.streams, place.values, number, group)
        stream.made = stream.depth
        stream.next = number * ROWS * MANY + lane * stream.depth
        stream.end = stream.next + stream.depth


@called
def together(streams: Any, values: Any, number: int, group: int) -> None:
    """The first draws of a stream in all replications of a group, as many as were needed in the group before."""
    stream = at(streams, number)
    # about so many that a third of the replications need the last of them: fewer are cheaper made one by one
    depth = min((stream.drawn + 9) // MANY, MANY)
    stream.drawn = 0
    if stream.kind == CONSTANT:
        stream.depth = MANY
        return
    stream.depth = depth
    to = number * ROWS * MANY
    for lane in range(MANY):
        block = 2 * (group * MANY + lane)
        for word in range(0, depth, 4):  # what is too many of a block, the next ones overwrite
            fill(values, to + lane * depth + word, block + ((word & 7) >> 2), word >> 3, stream)
    for row in range(depth):
        transform(values, number * ROWS + row, stream)


@called
def more(streams: Any, values: Any, number: int, replication: int) -> None:
    """The next draws of a stream: MANY, or one where it has not made so many yet."""
    stream = at(streams, number)
    index, to, many = stream.made, (number * ROWS + MANY) * MANY, MANY
    if index < MANY:
        if index & 3 == 0 or index == stream.depth:
            fill(values, to + 4, 2 * replication + ((index & 7) >> 2), index >> 3, stream)
        put(values, to, quantile(values, stream, at(values, to + 4 + (index & 3))))
        many = 1
    elif stream.kind != CONSTANT:
        exponent = (bits_of(float(index)) >> 52) - 1023
        tier, size, word = exponent - 2, 1 << exponent, index - (1 << exponent)
        if index >= 8192:
            tier, size, word = 9 + (index >> 12), 4096, index & 4095
        counter = (size * replication + word) >> 2
        for i in range(MANY >> 2):
            fill(values, to + 4 * i, counter + i, tier, stream)
        transform(values, number * ROWS + MANY, stream)
    stream.made = index + many
    stream.next = to
    stream.end = to + many


@jit
def fill(values: Any, to: int, counter: int, tier: int, stream: Any) -> None:
    """Four uniforms from place ``to`` on: Philox block number ``counter`` of a tier, under the key of the stream."""
    x0, x1, x2, x3 = np.uint64(counter + 1), np.uint64(tier), np.uint64(0), np.uint64(0)
    k0, k1 = stream.key0, stream.key1
    for _ in range(ROUNDS):
        low0, high0 = product(M0, x0)
        low1, high1 = product(M1, x2)
        x0, x1, x2, x3 = high1 ^ x1 ^ k0, low1, high0 ^ x3 ^ k1, low0
        k0 += W0
        k1 += W1
    put(values, to, np.int64(x0 >> np.uint64(11)) * 2.0**-53)
    put(values, to + 1, np.int64(x1 >> np.uint64(11)) * 2.0**-53)
    put(values, to + 2, np.int64(x2 >> np.uint64(11)) * 2.0**-53)
    put(values, to + 3, np.int64(x3 >> np.uint64(11)) * 2.0**-53)


exponentials = traced(lambda u, minus_mean, _: minus_mean * portable.log(1.0 - u))
lognormals = traced(lambda u, median, sigma: median * portable.exp(sigma * portable.normal_quantile(u)))
uniforms = traced(lambda u, low, span: low + u * span)
loguniforms = traced(lambda u, low, span: low * portable.exp(u * span))


@traced
def weibulls(u: Any, scale: Any, power: Any) -> Any:
    x = -portable.log(1.0 - u)
    return np.where(x > 0.0, scale * portable.exp(power * portable.log(x)), 0.0)


@called
def transform(values: Any, row: int, stream: Any) -> None:
    """Puts what they stand for in the place of MANY uniforms."""
    kind, a, b = stream.kind, stream.a, stream.b
    if kind == EXPONENTIAL:
        exponentials(values, row, a, b)
    elif kind == LOGNORMAL:
        lognormals(values, row, a, b)
    elif kind == UNIFORM:
        uniforms(values, row, a, b)
    elif kind == WEIBULL:
        weibulls(values, row, a, b)
    elif kind == LOGUNIFORM:
        loguniforms(values, row, a, b)
    else:
        for i in range(row * MANY, (row + 1) * MANY):
            put(values, i, looked_up(values, stream, at(values, i)))


@jit
def quantile(values: Any, stream: Any, u: float) -> float:
    """What one uniform stands for."""
    kind, a, b = stream.kind, stream.a, stream.b
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
    return looked_up(values, stream, u)


@jit
def looked_up(values: Any, stream: Any, u: float) -> float:
    """A value of an empirical law, or the number of an outcome."""
    if stream.kind == EMPIRICAL:
        return at(values, stream.first + min(np.int64(u * stream.many), stream.many - 1))
    way = 0
    for place in range(stream.first, stream.first + stream.many - 1):
        way += at(values, place) <= u  # without a jump, which nobody could foretell
    return float(way)
