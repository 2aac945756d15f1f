"""Who wins a race of clocks, and when: P(i wins), E[T; i wins], E[T^2; i wins], for clocks of any law.

With F_i the law of clock i and S_j the survival of the others,

    E[T^k; i wins] = integral over u of q_i(u)^k * product over j != i of S_j(q_i(u)),

a finite sum where F_i has atoms, and otherwise an integral over [0, 1] whose integrand is smooth between the
points where another clock has an atom or a corner: tanh-sinh quadrature on each piece. Exponential clocks
race as one. At equal times the clock named first wins, as in the simulated reader.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ksim.chance.distributions import Exponential, Law, LogUniform, Uniform
from ksim.chance.portable import Array, exp
from ksim.errors import NotSolvable

TOLERANCE = 1e-9
"""How far the winning probabilities may be from 1 in sum before the race counts as not solved."""

STEP = 1.0 / 24.0
REACH = 3.6
"""Step and reach of the tanh-sinh quadrature, in its own variable."""

Moments = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Way:
    """One way out of a node: probability, E[dwell; this way], E[dwell^2; this way]."""

    p: float
    first: float
    second: float


def race(laws: Sequence[Law], where: str = "race") -> list[Way]:
    """The ways out of a race, in the order of its clocks. Raises NotSolvable if the quadrature fails."""
    rates = [1.0 / law.mean if isinstance(law, Exponential) else 0.0 for law in laws]
    total_rate = math.fsum(rates)
    others = [i for i, rate in enumerate(rates) if rate == 0.0]
    if not others:
        mean = 1.0 / total_rate
        return [Way(rate * mean, rate * mean * mean, rate * mean * 2.0 * mean * mean) for rate in rates]
    if len(laws) == 1:
        return [Way(1.0, laws[0].mean, laws[0].second_moment)]
    field = [laws[i] for i in others]
    found: list[Way] = [Way(0.0, 0.0, 0.0)] * len(laws)
    if total_rate > 0.0:
        # an exponential clock never ties, so its place in the order does not matter
        field.append(Exponential(1.0 / total_rate))
    results = [_wins(field, i) for i in range(len(field))]
    total = math.fsum(p for p, _, _ in results)
    if not abs(total - 1.0) <= TOLERANCE:
        raise NotSolvable(f"{where}: the probabilities of its clocks come out as {total!r} in sum")
    for i, moments in zip(others, results, strict=False):
        found[i] = Way(*moments)
    if total_rate > 0.0:
        for i, rate in enumerate(rates):
            if rate > 0.0:
                found[i] = Way(*(rate / total_rate * moment for moment in results[-1]))
    return found


def _wins(laws: Sequence[Law], i: int) -> Moments:
    times, weights = winning(laws, i)
    return (
        math.fsum(weights.tolist()),
        math.fsum((weights * times).tolist()),
        math.fsum((weights * times * times).tolist()),
    )


def winning(laws: Sequence[Law], i: int, step: float = STEP) -> tuple[Array, Array]:
    """Times and weights: the sum of weight * g(time) is E[g(T); clock i wins], by quadrature where i has no atoms.

    ``step`` of the quadrature: a smaller one for a g that varies faster than the laws do.
    """
    law = laws[i]
    if law.atoms:
        times = np.array(law.atoms)
        before = law.survival(np.nextafter(times, -np.inf))
        weights = before - law.survival(times)
    else:
        u, weights = _nodes(_breaks(laws, i), step)
        times = law.quantile(u)
    for j, other in enumerate(laws):
        if j != i:
            # an earlier clock also wins the tie; a later one must ring strictly before
            at = times if j < i else np.nextafter(times, -np.inf)
            weights = weights * other.survival(at)
    return times, weights


def _breaks(laws: Sequence[Law], i: int) -> list[float]:
    """The points of [0, 1] between which the integrand of clock i is smooth."""
    corners: set[float] = set()
    for j, other in enumerate(laws):
        if j != i:
            corners.update(other.atoms)
            if isinstance(other, Uniform | LogUniform):
                corners.update((other.low, other.high))
    inside = {0.0, 1.0}
    if corners:
        times = np.array(sorted(corners))
        inside.update((1.0 - laws[i].survival(times)).tolist())
    return sorted(inside)


def _nodes(breaks: Sequence[float], step: float) -> tuple[Array, Array]:
    """Tanh-sinh nodes and weights over consecutive pieces of [0, 1]."""
    t: Array = np.arange(-round(REACH / step), round(REACH / step) + 1).astype(np.float64) * step
    sinh = 0.5 * (exp(t) - exp(-t)) * (0.5 * math.pi)
    cosh = 0.5 * (exp(t) + exp(-t)) * (0.5 * math.pi)
    grow = exp(-2.0 * np.abs(sinh))
    near = grow / (1.0 + grow)  # distance from the nearer end, without cancellation
    weight = step * cosh * 2.0 * grow / ((1.0 + grow) * (1.0 + grow))
    nodes, weights = [], []
    for low, high in pairwise(breaks):
        width = high - low
        if width > 0.0:
            nodes.append(np.where(t < 0.0, low + width * near, high - width * near))
            weights.append(width * weight)
    return np.minimum(np.concatenate(nodes), 1.0 - 2.0**-53), np.concatenate(weights)
