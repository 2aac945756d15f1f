"""``ksim.chance.portable`` for one number at a time in machine code: the same operations in the same order.

Only +, -, *, / and sqrt decide about the bits, so both give the same ones. Arguments are the normal numbers that draws
come from; see there for the mathematics.
"""

from __future__ import annotations

import math

import numpy as np

from ksim.chance import portable
from ksim.compiled.bits import bits_of, float_of
from ksim.compiled.jit import jit

LN2_HIGH, LN2_LOW, SQRT_HALF = portable.LN2_HIGH, portable.LN2_LOW, portable.SQRT_HALF
LN2 = LN2_HIGH + LN2_LOW
SMALLEST_U = portable.SMALLEST_U
ATANH, TAYLOR = tuple(portable._ATANH), tuple(portable._TAYLOR)
CENTRE_P, CENTRE_Q = map(tuple, portable._CENTRE)
SHOULDER_P, SHOULDER_Q = map(tuple, portable._SHOULDER)
TAIL_P, TAIL_Q = map(tuple, portable._TAIL)
FRACTION, HALF = (1 << 52) - 1, 1022 << 52


@jit
def horner(x: float, c: tuple[float, ...]) -> float:
    total = x * c[len(c) - 1]
    for i in range(len(c) - 2, 0, -1):
        total += c[i]
        total *= x
    return total + c[0]


@jit
def log(x: float) -> float:
    bits = bits_of(x)
    m = float_of((bits & FRACTION) | HALF)
    k = (bits >> 52) - 1022
    if m < SQRT_HALF:
        m = m + m
        k -= 1
    f = m - 1.0
    s = f / (2.0 + f)
    return k * LN2_HIGH + (2.0 * s * horner(s * s, ATANH) + k * LN2_LOW)


@jit
def exp(x: float) -> float:
    x = min(max(x, -800.0), 800.0)
    k = np.rint(x / LN2)
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    power = np.int64(k)
    value = horner(r, TAYLOR)
    if -1021 < power < 1022:  # the product is exact
        return value * float_of((power + 1023) << 52)
    return math.ldexp(value, int(power))


@jit
def normal_quantile(u: float) -> float:
    u = max(u, SMALLEST_U)
    q = u - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        return q * horner(r, CENTRE_P) / horner(r, CENTRE_Q)
    t = math.sqrt(-log(min(u, 1.0 - u)))
    if t <= 5.0:
        side = horner(t - 1.6, SHOULDER_P) / horner(t - 1.6, SHOULDER_Q)
    else:
        side = horner(t - 5.0, TAIL_P) / horner(t - 5.0, TAIL_Q)
    return -side if q < 0.0 else side
