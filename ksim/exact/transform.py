"""Laplace-Stieltjes transforms: E[exp(-s T)] of a law, and E[exp(-s T); way w] of the ways out of a node.

``s`` is an array of complex numbers, Re s >= 0, in 1/s. Closed forms for constants, exponentials, uniform laws
and measurements; otherwise the quadrature of ``ksim.exact.race`` over the quantile function, refined until two
steps in succession agree. It has to resolve the oscillation of exp(-s T), so it is meant for |s| up to a few
hundred over the width of the law, as the inversions need them, and refuses beyond.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ksim.chance.distributions import Constant, Empirical, Exponential, Law, Uniform
from ksim.errors import NotSolvable
from ksim.exact.race import STEP, winning
from ksim.model.lifecycle import Node

Complex = npt.NDArray[np.complex128]

ACCURACY = 1e-12
"""How far two successive steps of the quadrature may be apart (transforms are at most 1 in size)."""
FINEST = 6
"""How often the step may be halved."""


def transform(law: Law, s: Complex, where: str = "") -> Complex:
    """E[exp(-s T)]. Raises NotSolvable, naming ``where``, if the quadrature does not settle."""
    match law:
        case Constant(value):
            return np.exp(-s * value)
        case Exponential(mean):
            return 1.0 / (1.0 + s * mean)
        case Uniform(low, high):
            width = s * (high - low)
            safe = np.where(width == 0.0, 1.0, width)
            return np.exp(-s * low) * np.where(width == 0.0, 1.0, -np.expm1(-safe) / safe)
        case Empirical(values):
            return np.asarray(np.exp(-np.multiply.outer(s, np.array(values))).mean(axis=-1))
    return _wins([law], 0, s, where)


def ways(node: Node, s: Complex) -> list[Complex]:
    """E[exp(-s dwell); this way], in the order of the ways out of the node. Raises NotSolvable."""
    where = f"node '{node.name}'"
    if not node.clocks:
        total = math.fsum(branch.p for branch in node.branches)
        laws = {branch.dwell: transform(branch.dwell, s, where) for branch in node.branches}
        return [branch.p / total * laws[branch.dwell] for branch in node.branches]
    laws_ = [clock.after for clock in node.clocks]
    if len(laws_) == 1:
        return [transform(laws_[0], s, where)]
    rates = [1.0 / law.mean if isinstance(law, Exponential) else 0.0 for law in laws_]
    total_rate = math.fsum(rates)
    others = [i for i, rate in enumerate(rates) if rate == 0.0]
    if not others:
        return [rate / (total_rate + s) for rate in rates]
    field = [laws_[i] for i in others]
    if total_rate > 0.0:
        # an exponential clock never ties, so its place in the order does not matter
        field.append(Exponential(1.0 / total_rate))
    found = [_wins(field, i, s, where) for i in range(len(field))]
    shares = {i: found[k] for k, i in enumerate(others)}
    return [shares[i] if i in shares else rate / total_rate * found[-1] for i, rate in enumerate(rates)]


def _wins(laws: Sequence[Law], i: int, s: Complex, where: str) -> Complex:
    before = None
    for halved in range(FINEST + 1):
        times, weights = winning(laws, i, STEP * 0.5**halved)
        heavy = weights > 0.0
        found = np.array([(np.exp(-one * times[heavy]) * weights[heavy]).sum() for one in s.ravel().tolist()])
        if laws[i].atoms or (before is not None and np.abs(found - before).max(initial=0.0) <= ACCURACY):
            return found.reshape(s.shape)
        before = found
    raise NotSolvable(f"{where}: the transform of {laws[i]} does not settle at |s| = {np.abs(s).max():.3g} /s")
