"""A function of time from its Laplace transform: the Fourier series method with Euler summation.

With F(s) the transform of f and c = A / (2 l t),

    f(t) = exp(c t) / (2 l t) * sum over all k of exp(i pi k / l) F(c + i pi k / (l t))  -  error,

where the error is the sum over n >= 1 of exp(-A n) f((2 l n + 1) t): known beforehand for a bounded f. The series
alternates in blocks of l and is summed by Euler's binomial averages (Abate, Whitt 1992; Choudhury, Lucantoni,
Whitt 1994). That works where f is smooth at t; where f has a jump or a corner near t it does not, and two sums of
different lengths and periods then differ. Both are always formed, and their difference is the error reported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import comb, exp, pi

import numpy as np

from ksim.chance.portable import Array
from ksim.errors import NotSolvable
from ksim.exact.transform import Complex

TOLERANCE = 1e-9
"""Largest difference of the two sums, relative to the size of f, that counts as solved."""


@dataclass(frozen=True)
class Sum:
    """The terms k >= 0: f(t) is Re(sum of weight * F(node / t)) / t for a real f.

    ``bias`` bounds the error from the periods of the series for |f| <= 1.
    """

    nodes: Complex
    weights: Complex
    bias: float

    def at(self, part: float) -> Complex:
        """Weights for f(part * t), from the same transforms and over the same t; ``part`` a little below 1."""
        return self.weights * np.exp((part - 1.0) * self.nodes)


@lru_cache
def euler(periods: int, damping: float, plain: int, averaged: int) -> Sum:
    """``periods`` l and ``damping`` A as above; ``plain`` blocks as they are, the last ``averaged`` by Euler."""
    tail = [sum(comb(averaged, i) for i in range(j, averaged + 1)) / 2.0**averaged for j in range(1, averaged + 1)]
    fading = np.array([1.0] * plain + tail)
    centre = damping / (2.0 * periods)
    scale = exp(centre) / (2.0 * periods)
    nodes, weights = [complex(centre)], [complex(scale)]
    for k in range(1, periods * len(fading) + 1):
        block, first = divmod(k - 1, periods)
        turn = np.exp(1j * pi * (first + 1) / periods)
        nodes.append(centre + 1j * pi * k / periods)
        weights.append(complex(2.0 * scale * turn * (-1) ** block * fading[block]))
    return Sum(np.array(nodes), np.array(weights), exp(-damping) / (1.0 - exp(-damping)))


MAIN = (2, 29.0, 36, 14)
CHECK = (3, 31.0, 24, 12)


def invert(transforms: Callable[[Complex], Complex], t: float, where: str) -> Array:
    """f(t) of one or more real functions: ``transforms`` takes s of shape (k,) and returns (..., k).

    Raises NotSolvable where the two sums differ by more than the tolerance, relative to the larger of 1 and |f|.
    """
    sums = [euler(*MAIN), euler(*CHECK)]
    at = np.asarray(np.concatenate([one.nodes for one in sums]) / t, dtype=np.complex128)
    values = transforms(at)
    split = len(sums[0].nodes)
    parts = [values[..., :split], values[..., split:]]
    found, check = (np.real(part * one.weights).sum(axis=-1) / t for part, one in zip(parts, sums, strict=True))
    gap = np.abs(found - check) / np.maximum(1.0, np.abs(found))
    if not gap.max(initial=0.0) <= TOLERANCE:
        raise NotSolvable(
            f"{where}: two inversions of its transform at t = {t:g} s differ by {gap.max():.2g}; it is not smooth there"
        )
    result: Array = np.asarray(found, dtype=np.float64)
    return result
