"""``ksim.chance.portable`` for one number at a time in machine code: the same operations in the same order.

Only +, -, *, / and sqrt decide about the bits, so both give the same ones. Arguments are the normal numbers that draws
come from; see there for the mathematics.
"""

from __future__ import annotations

import math

import numpy as np

from ksim.chance import portable
from ksim.compiled.bits import bits_of, float_of, polynomial
from ksim.compiled.jit import jit

LN2_HIGH, LN2_LOW, SQRT_HALF = portable.LN2_HIGH, portable.LN2_LOW, portable.SQRT_HALF
LN2 = LN2_HIGH + LN2_LOW
SMALLEST_U = portable.SMALLEST_U
FRACTION, HALF = (1 << 52) - 1, 1022 << 52


atanh, taylor = polynomial(portable._ATANH), polynomial(portable._TAYLOR)
centre_p, centre_q = map(polynomial, portable._CENTRE)
shoulder_p, shoulder_q = map(polynomial, portable._SHOULDER)
tail_p, tail_q = map(polynomial, portable._TAIL)


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
    return k * LN2_HIGH + (2.0 * s * atanh(s * s) + k * LN2_LOW)


@jit
def exp(x: float) -> float:
    x = min(max(x, -800.0), 800.0)
    k = np.rint(x / LN2)
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    power = np.int64(k)
    value = taylor(r)
    if -1021 < power < 1022:  # the product is exact
        return value * float_of((power + 1023) << 52)
    return math.ldexp(value, int(power))


@jit
def normal_quantile(u: float) -> float:
    u = max(u, SMALLEST_U)
    q = u - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        return q * centre_p(r) / centre_q(r)
    t = math.sqrt(-log(min(u, 1.0 - u)))
    if t <= 5.0:
        side = shoulder_p(t - 1.6) / shoulder_q(t - 1.6)
    else:
        side = tail_p(t - 5.0) / tail_q(t - 5.0)
    return -side if q < 0.0 else side
