"""Laws of durations: quantile(u) for drawing, survival(t) and moments for solving.

A law is a frozen value. ``quantile`` and ``survival`` take and return float64 arrays; durations are in
seconds. ``ksim.chance.grammar`` reads the texts of scenario files.

Every law has one uniform per draw and a weakly increasing quantile: a longer phase under the same uniform
stays longer, which is what makes common random numbers work.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from ksim.chance import portable
from ksim.chance.portable import Array


class Law(Protocol):
    """A distribution of a duration in seconds."""

    @property
    def mean(self) -> float: ...
    @property
    def second_moment(self) -> float: ...
    @property
    def atoms(self) -> tuple[float, ...]:
        """Times of positive probability, increasing (empty for a continuous law)."""
        ...

    def quantile(self, u: Array) -> Array: ...
    def survival(self, t: Array) -> Array:
        """P(duration > t)."""
        ...


def _text(x: float) -> str:
    """The number in 15 digits where they are the number itself, else in as many as it takes."""
    short = f"{x:.15g}"
    return short if float(short) == x else repr(x)


@dataclass(frozen=True, slots=True)
class Constant:
    """Always ``value`` seconds."""

    value: float
    rate = None

    @property
    def mean(self) -> float:
        return self.value

    @property
    def second_moment(self) -> float:
        return self.value * self.value

    @property
    def atoms(self) -> tuple[float, ...]:
        return (self.value,)

    def quantile(self, u: Array) -> Array:
        return np.full(u.shape, self.value)

    def survival(self, t: Array) -> Array:
        return np.where(t < self.value, 1.0, 0.0)

    def __str__(self) -> str:
        return f"{_text(self.value)} s"


@dataclass(frozen=True, slots=True)
class Exponential:
    """Memoryless, with the given mean in seconds."""

    mean: float
    atoms = ()

    @property
    def second_moment(self) -> float:
        return 2.0 * self.mean * self.mean

    def quantile(self, u: Array) -> Array:
        return -self.mean * portable.log(1.0 - u)

    def survival(self, t: Array) -> Array:
        return portable.exp(-np.maximum(t, 0.0) / self.mean)

    def __str__(self) -> str:
        return f"exponential(mean={_text(self.mean)} s)"


@dataclass(frozen=True, slots=True)
class LogNormal:
    """ln(duration / median) is normal with standard deviation ``sigma`` > 0."""

    median: float
    sigma: float
    atoms = ()

    @property
    def mean(self) -> float:
        return self.median * float(portable.exp(np.array(0.5 * self.sigma**2)))

    @property
    def second_moment(self) -> float:
        return self.median**2 * float(portable.exp(np.array(2.0 * self.sigma**2)))

    def quantile(self, u: Array) -> Array:
        return self.median * portable.exp(self.sigma * portable.normal_quantile(u))

    def survival(self, t: Array) -> Array:
        ratio = np.maximum(t, 5e-324) / self.median
        upper = portable.normal_survival(portable.log(np.maximum(ratio, 1e-300)) / self.sigma)
        return np.where(t > 0.0, upper, 1.0)

    def __str__(self) -> str:
        return f"lognormal(median={_text(self.median)} s, sigma={_text(self.sigma)})"


@dataclass(frozen=True, slots=True)
class Weibull:
    """P(duration > t) = exp(-(t / scale)^shape); shape < 1: the hazard falls with age."""

    scale: float
    shape: float
    atoms = ()

    @property
    def mean(self) -> float:
        return self.scale * portable.gamma(1.0 + 1.0 / self.shape)

    @property
    def second_moment(self) -> float:
        return self.scale**2 * portable.gamma(1.0 + 2.0 / self.shape)

    def quantile(self, u: Array) -> Array:
        return self.scale * portable.power(-portable.log(1.0 - u), 1.0 / self.shape)

    def survival(self, t: Array) -> Array:
        return portable.exp(-portable.power(np.maximum(t, 0.0) / self.scale, self.shape))

    def __str__(self) -> str:
        return f"weibull(shape={_text(self.shape)}, scale={_text(self.scale)} s)"


@dataclass(frozen=True, slots=True)
class Uniform:
    """Evenly between ``low`` and ``high``."""

    low: float
    high: float
    atoms = ()

    @property
    def mean(self) -> float:
        return 0.5 * (self.low + self.high)

    @property
    def second_moment(self) -> float:
        return (self.low * self.low + self.low * self.high + self.high * self.high) / 3.0

    def quantile(self, u: Array) -> Array:
        return self.low + u * (self.high - self.low)

    def survival(self, t: Array) -> Array:
        return np.clip((self.high - t) / (self.high - self.low), 0.0, 1.0)

    def __str__(self) -> str:
        return f"uniform({_text(self.low)} s, {_text(self.high)} s)"


@dataclass(frozen=True, slots=True)
class LogUniform:
    """The logarithm is evenly spread between ln ``low`` and ln ``high``, 0 < low < high."""

    low: float
    high: float
    atoms = ()

    @property
    def _span(self) -> float:
        return float(portable.log(np.array(self.high / self.low)))

    @property
    def mean(self) -> float:
        return (self.high - self.low) / self._span

    @property
    def second_moment(self) -> float:
        return (self.high**2 - self.low**2) / (2.0 * self._span)

    def quantile(self, u: Array) -> Array:
        return self.low * portable.exp(u * self._span)

    def survival(self, t: Array) -> Array:
        inside = np.clip(t, self.low, self.high)
        return portable.log(self.high / inside) / self._span

    def __str__(self) -> str:
        return f"loguniform({_text(self.low)} s, {_text(self.high)} s)"


@dataclass(frozen=True, slots=True)
class Empirical:
    """One of ``values`` (sorted), each with the same probability: measurements as they stand."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return math.fsum(self.values) / len(self.values)

    @property
    def second_moment(self) -> float:
        return math.fsum(v * v for v in self.values) / len(self.values)

    @property
    def atoms(self) -> tuple[float, ...]:
        return tuple(sorted(set(self.values)))

    def quantile(self, u: Array) -> Array:
        n = len(self.values)
        return np.array(self.values)[np.minimum((u * n).astype(np.int64), n - 1)]

    def survival(self, t: Array) -> Array:
        above = len(self.values) - np.searchsorted(np.array(self.values), t, side="right")
        return above / len(self.values)

    def __str__(self) -> str:
        return f"empirical({', '.join(f'{_text(v)} s' for v in self.values)})"


def variance(law: Law) -> float:
    """Variance in s^2; never below zero by rounding."""
    return max(0.0, law.second_moment - law.mean**2)


def scaled(law: Law, factor: float) -> Law:
    """The law of ``factor`` times the duration."""
    match law:
        case Constant(value):
            return Constant(factor * value)
        case Exponential(mean):
            return Exponential(factor * mean)
        case LogNormal(median, sigma):
            return LogNormal(factor * median, sigma)
        case Weibull(scale, shape):
            return Weibull(factor * scale, shape)
        case Uniform(low, high):
            return Uniform(factor * low, factor * high)
        case LogUniform(low, high):
            return LogUniform(factor * low, factor * high)
        case Empirical(values):
            return Empirical(tuple(factor * v for v in values))
    raise TypeError(f"not a law: {law!r}")


def quantile_of(law: Law, u: float) -> float:
    """One quantile of a law."""
    return float(law.quantile(np.array([u]))[0])


@lru_cache(4096)
def lognormal_exceeds(limit: float, median: float, sigma: float) -> float:
    """P(a lognormal quantity of this median, in any unit, is larger than ``limit``); sigma 0: it is the median."""
    if sigma == 0.0 or limit <= 0.0:
        return 1.0 if median > limit else 0.0
    return float(portable.normal_survival(portable.log(np.array([limit / median])) / sigma)[0])


def weibull_of_mean(mean: float, shape: float) -> Law:
    """Weibull with a given mean; shape 1 is the exponential law itself."""
    if shape == 1.0:
        return Exponential(mean)
    return Weibull(mean / portable.gamma(1.0 + 1.0 / shape), shape)


def lognormal_of_mean(mean: float, sigma: float) -> Law:
    """Lognormal with a given mean; sigma 0 is the constant."""
    if sigma == 0.0 or mean == 0.0:
        return Constant(mean)
    return LogNormal(mean / float(portable.exp(np.array(0.5 * sigma**2))), sigma)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """A discrete law on 0..n-1: which branch is taken. ``cumulative`` ends at exactly 1."""

    cumulative: tuple[float, ...]

    @staticmethod
    def of(probabilities: tuple[float, ...]) -> Outcomes:
        total, sums = 0.0, []
        for p in probabilities[:-1]:
            total += p
            sums.append(total)
        return Outcomes((*sums, 1.0))

    def index(self, u: float) -> int:
        return bisect.bisect_right(self.cumulative, u)

    def indices(self, u: Array) -> list[int]:
        found: list[int] = np.searchsorted(np.array(self.cumulative), u, side="right").tolist()
        return found
