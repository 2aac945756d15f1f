"""log, exp, gamma and the normal law from +, -, *, / and sqrt alone: the same bits on every machine.

NumPy and libm choose different code for these functions by CPU and version, and the last bit of a draw then
differs; the four operations of IEEE 754 never do. Arguments and results are float64 arrays (or scalars).
Relative error: log, exp below 4e-16 (exp(x): times 1 + |x|/10); ``normal_quantile`` below 2e-15.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

LN2_HIGH = float.fromhex("0x1.62e42feep-1")  # 33 bits: k * LN2_HIGH is exact for every exponent k
LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
SQRT_HALF = 0.5**0.5
_ATANH = [1.0 / (2 * k + 1) for k in range(12)]
_TAYLOR = [1.0]
for _k in range(1, 15):
    _TAYLOR.append(_TAYLOR[-1] / _k)
SMALLEST_U = 2.0**-54
"""Half of the spacing of our uniforms: stands for u = 0, whose normal quantile would be minus infinity."""


def _horner(x: Array, coefficients: Sequence[Any], chosen: Callable[[Any], Any] = float) -> Array:
    total = x * chosen(coefficients[-1])
    for c in reversed(coefficients[1:-1]):
        total += chosen(c)
        total *= x
    found: Array = total + chosen(coefficients[0])
    return found


def log(x: Array) -> Array:
    """Natural logarithm of x > 0: log(2^k m) = k ln 2 + 2 atanh((m - 1) / (m + 1)), m near 1."""
    m, k = np.frexp(x)
    low = m < SQRT_HALF
    m = np.where(low, m + m, m)
    k = k - low
    f = m - 1.0
    s = f / (2.0 + f)
    return k * LN2_HIGH + (2.0 * s * _horner(s * s, _ATANH) + k * LN2_LOW)


def exp(x: Array) -> Array:
    """e to the x, by 2^k times a Taylor sum on [-ln 2 / 2, ln 2 / 2]; overflows to inf, underflows to 0."""
    x = np.clip(x, -800.0, 800.0)
    k = np.rint(x / (LN2_HIGH + LN2_LOW))
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    with np.errstate(over="ignore", under="ignore"):
        return np.ldexp(_horner(r, _TAYLOR), k.astype(np.int64))


def power(x: Array, exponent: float) -> Array:
    """x to a real exponent, x >= 0."""
    positive = np.maximum(x, 5e-324)
    return np.where(x > 0.0, exp(exponent * log(positive)), 0.0 if exponent > 0 else np.inf)


def gamma(x: float) -> float:
    """The gamma function for x > 0: Stirling's series after shifting x above 20."""
    shift = 1.0
    while x < 20.0:
        shift *= x
        x += 1.0
    z = 1.0 / (x * x)
    series = (1 / 12 - z * (1 / 360 - z * (1 / 1260 - z * (1 / 1680 - z / 1188)))) / x
    log_x = float(log(np.array([x]))[0])
    half_log_2pi = 0.9189385332046727
    return float(exp(np.array([(x - 0.5) * log_x - x + half_log_2pi + series]))[0]) / shift


_CENTRE = (
    [3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
     4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3],
    [1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
     2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3],
)  # fmt: skip
_SHOULDER = (
    [1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
     1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4],
    [1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
     1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9],
)  # fmt: skip
_TAIL = (
    [6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
     2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7],
    [1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
     7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15],
)  # fmt: skip


_BODY = [list(zip(*parts, strict=True)) for parts in zip(_CENTRE, _SHOULDER, strict=True)]
_TAIL_U = 1.3887943864964021e-11
"""e^-25, where the tail begins."""


def normal_quantile(u: Array) -> Array:
    """Standard normal quantile for 0 <= u < 1 (0 counts as 2^-54). Wichura 1988, algorithm AS 241 (PPND16)."""
    u = np.maximum(u, SMALLEST_U)
    return np.piecewise(u, [np.minimum(u, 1.0 - u) < _TAIL_U], [_tail, _body])


def _body(u: Array) -> Array:
    q = u - 0.5
    t = np.sqrt(-log(np.minimum(u, 1.0 - u)))
    side = np.where(q < 0.0, -1.0, 1.0)
    central = np.absolute(q) <= 0.425
    x = np.where(central, 0.180625 - q * q, t - 1.6)
    # a sum of chosen coefficients costs machine code less than a choice of two sums
    above, below = (_horner(x, part, lambda both: np.where(central, *both)) for part in _BODY)
    return np.where(central, q, side) * above / below


def _tail(u: Array) -> Array:
    far = np.sqrt(-log(np.minimum(u, 1.0 - u))) - 5.0
    value = _horner(far, _TAIL[0]) / _horner(far, _TAIL[1])
    return np.where(u < 0.5, -value, value)


def normal_survival(x: Array) -> Array:
    """P(Z > x) of the standard normal law: a power series up to 2.5, a continued fraction beyond."""
    x = np.asarray(x, dtype=np.float64)
    a = np.minimum(np.abs(x), 40.0)
    density = exp(-0.5 * a * a) * 0.3989422804014327
    near = a < 2.5
    total = term = inner = a[near]
    for k in range(1, 40):
        term = term * (inner * inner) / (2 * k + 1)
        total = total + term
    fraction = outer = a[~near]
    for k in range(100, 0, -1):
        fraction = outer + k / fraction
    upper = np.empty_like(a)
    upper[near] = 0.5 - density[near] * total
    upper[~near] = density[~near] / fraction
    return np.where(x >= 0.0, upper, 1.0 - upper)
