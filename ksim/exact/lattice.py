"""Laws on a lattice of times k * step, k = 0 .. n-1, as transforms: rounded down, as they are, rounded up.

A downtime or an outage grows with every dwell that it is made of. If each dwell is rounded down to the lattice the
sum is too short, if each is rounded up it is too long, and sums of lattice laws are exact: their generating
functions multiply. So two computations enclose the truth, whatever the laws are (constants, timeouts, measurements
included). A third one lies between: a mass is split between its two lattice neighbours such that the mean stays.
All three are carried as rows 0, 1, 2 (DOWN, SPLIT, UP) of every transform.

The transform of masses m_k is the sum of m_k z^k at z = r exp(-2 pi i j / n), j = 0 .. n/2, with r < 1: ``masses``
inverts it by FFT. Mass beyond the lattice is left out of every law, which changes nothing below k = n for a sum of
times >= 0; the sums reach beyond all the same, and what folds back from there is damped by r^n = ``FOLDED``.

The step is 1, 2 or 5 times a power of ten (seconds): the constants that people write are then on the lattice, and
nothing of them is rounded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from ksim.chance.distributions import Constant, Law
from ksim.chance.portable import Array
from ksim.errors import NotSolvable
from ksim.exact.race import race
from ksim.exact.transform import Complex
from ksim.model.lifecycle import Node

DOWN, SPLIT, UP = 0, 1, 2
FOLDED = 1e-10
"""Bound of what the far tail adds to a probability; rounding errors grow by 1 / sqrt(FOLDED) at half the lattice."""
HIT = 1e-12
"""Times this close to the lattice, relative to themselves, are on it."""
ASTRAY = 1e-8
"""How far the winning probabilities of a race may be from those of its quadrature."""


@dataclass(frozen=True)
class Lattice:
    """``points`` times, ``digit * 10**exponent`` seconds apart."""

    digit: int
    exponent: int
    points: int

    def time(self, k: int, decimals: int = 0) -> float:
        """k steps, each divided by ``10**decimals``, in seconds: the float next to that decimal number."""
        exponent = self.exponent - decimals
        return float(k * self.digit * 10**exponent) if exponent >= 0 else k * self.digit / 10**-exponent

    @property
    def step(self) -> float:
        return self.time(1)

    def place(self, time: float) -> tuple[int, float]:
        """Whole steps in a time, and the part of a step that is left; times that miss by rounding alone are hit."""
        steps = time / self.step
        near = round(steps)
        if abs(steps - near) <= HIT * max(1.0, near):
            return near, 0.0
        return math.floor(steps), steps % 1.0

    @cached_property
    def edges(self) -> Array:
        """The times themselves, and the end of the last step."""
        return np.asarray(self.step * np.arange(self.points + 1), dtype=np.float64)

    @cached_property
    def _damping(self) -> Array:
        return np.asarray(np.exp(np.arange(self.points) * (math.log(FOLDED) / self.points)))

    @cached_property
    def _z(self) -> Complex:
        unit = np.exp(-2j * np.pi / self.points * np.arange(self.points // 2 + 1))
        return np.asarray(unit * math.exp(math.log(FOLDED) / self.points))

    def masses(self, transforms: Complex) -> Array:
        """The masses at k = 0 .. n-1, from transforms of shape (..., n/2 + 1)."""
        return np.fft.irfft(transforms, self.points, axis=-1) / self._damping

    def transform(self, cells: Array | None, atoms: Sequence[tuple[float, float]]) -> Complex:
        """Rows DOWN, SPLIT, UP of a law: ``cells`` of mass between k and k + 1 steps, and (time, mass) of atoms."""
        found = np.zeros((3, self.points // 2 + 1), dtype=np.complex128)
        if cells is not None:
            found[DOWN] = np.fft.rfft(cells * self._damping)
            found[UP] = found[DOWN] * self._z
            found[SPLIT] = 0.5 * (found[DOWN] + found[UP])
        if atoms:
            rows = np.zeros((3, self.points + 2))
            for time, mass in atoms:
                place, part = self.place(time)
                if place < self.points:
                    rows[DOWN, place] += mass
                    rows[SPLIT, place] += mass * (1.0 - part)
                    rows[SPLIT, place + 1] += mass * part
                    rows[UP, place + (part > 0.0)] += mass
            found += np.fft.rfft(rows[:, : self.points] * self._damping)
        return found


@lru_cache(maxsize=8)
def lattice(digit: int, exponent: int, points: int) -> Lattice:
    """One lattice; the last few are kept, with their tables."""
    return Lattice(digit, exponent, points)


def fitted(x: float, points: int) -> Lattice:
    """The finest lattice on which x lies in its lower half: above a fifth of it."""
    least = 2.0 * x / points
    exponent = math.floor(math.log10(least))
    for digit, power in ((1, exponent), (2, exponent), (5, exponent)):
        if digit * 10.0**power >= least:
            return lattice(digit, power, points)
    return lattice(1, exponent + 1, points)


def coarser(on: Lattice) -> Lattice:
    """The next coarser lattice of as many points."""
    digit, carry = {1: (2, 0), 2: (5, 0), 5: (1, 1)}[on.digit]
    return lattice(digit, on.exponent + carry, on.points)


def law_transform(law: Law, on: Lattice) -> Complex:
    """Rows DOWN, SPLIT, UP of one law."""
    if law.atoms:
        times = np.array(law.atoms)
        masses = law.survival(np.nextafter(times, -np.inf)) - law.survival(times)
        return on.transform(None, list(zip(times.tolist(), masses.tolist(), strict=True)))
    above = law.survival(on.edges)
    return on.transform(above[:-1] - above[1:], [])


@lru_cache(maxsize=96)
def _kept(law_on: tuple[Law, Lattice]) -> Complex:
    """Strategies share most of their phases."""
    return law_transform(*law_on)


def ways(node: Node, on: Lattice) -> list[Complex]:
    """Rows of E[z^dwell; this way], in the order of the ways out of the node. Raises NotSolvable."""
    if not node.clocks:
        total = math.fsum(branch.p for branch in node.branches)
        return [
            # what takes no time stays a plain number
            np.array(branch.p / total + 0j)
            if branch.dwell == Constant(0.0)
            else branch.p / total * _kept((branch.dwell, on))
            for branch in node.branches
        ]
    if len(node.clocks) == 1:
        return [_kept((node.clocks[0].after, on))]
    return list(_race(tuple(clock.after for clock in node.clocks), on, f"node '{node.name}'"))


def at_once(node: Node) -> list[Complex]:
    """P(dwell = 0; this way), in the order of the ways: the transforms at z = 0."""
    zero = np.zeros(1)
    if not node.clocks:
        total = math.fsum(branch.p for branch in node.branches)
        return [
            np.array(branch.p / total * (1.0 - float(branch.dwell.survival(zero)[0])) + 0j) for branch in node.branches
        ]
    found, left = [], 1.0
    for clock in node.clocks:
        after = float(clock.after.survival(zero)[0])
        found.append(np.array(left * (1.0 - after) + 0j))
        left *= after
    return found


@lru_cache(maxsize=32)
def _race(laws: tuple[Law, ...], on: Lattice, where: str) -> tuple[Complex, ...]:
    expected = [way.p for way in race(laws, where)]
    beyond = _beyond(laws, on.edges[-1])
    for pieces in (1, 4, 16, 64):
        cells, atoms = _shares(laws, on, pieces)
        sums = [math.fsum(mass) + math.fsum(m for _, m in found) for mass, found in zip(cells, atoms, strict=True)]
        # what is beyond the lattice is missing from every way, but from all together by a known amount
        over = max(found - p for found, p in zip(sums, expected, strict=True))
        if over <= ASTRAY and abs(math.fsum(expected) - math.fsum(sums) - beyond) <= ASTRAY:
            return tuple(on.transform(mass, found) for mass, found in zip(cells, atoms, strict=True))
    raise NotSolvable(f"{where}: the laws of its clocks are too narrow for steps of {on.step:g} s")


def _beyond(laws: Sequence[Law], end: float) -> float:
    return math.prod(float(law.survival(np.array([end]))[0]) for law in laws)


def _shares(laws: Sequence[Law], on: Lattice, pieces: int) -> tuple[list[Array], list[list[tuple[float, float]]]]:
    """Per clock: mass of its wins by cell, and its wins at atoms.

    Within a cell (cut at the atoms of the others) the clocks share the mass of the first ring, which is exact, by
    the odds of their own mass times the mean survival of the others.
    """
    jumps = np.array(sorted({atom for law in laws for atom in law.atoms if atom < on.edges[-1]}))
    cuts = np.unique(np.concatenate([on.step / pieces * np.arange(on.points * pieces + 1), jumps]))
    home = np.minimum((cuts[:-1] / on.step).astype(np.int64), on.points - 1)
    smooth = [i for i, law in enumerate(laws) if not law.atoms]
    at = {i: laws[i].survival(cuts) for i in smooth}
    # between two cuts the survival of a law with atoms is constant: that just after the lower cut
    after = {i: law.survival(cuts[:-1]) for i, law in enumerate(laws) if law.atoms}
    steps = np.prod([np.ones(len(cuts) - 1), *after.values()], axis=0)
    middle = {i: 0.5 * (at[i][:-1] + at[i][1:]) for i in smooth}
    odds = {
        i: (at[i][:-1] - at[i][1:]) * np.prod([np.ones(len(cuts) - 1), *(middle[j] for j in smooth if j != i)], axis=0)
        for i in smooth
    }
    first = (
        np.prod([at[i][:-1] for i in smooth], axis=0) - np.prod([at[i][1:] for i in smooth], axis=0) if smooth else 0
    )
    total = np.sum(list(odds.values()), axis=0) if smooth else np.ones(len(cuts) - 1)
    factor = np.where(total > 0.0, first / np.where(total > 0.0, total, 1.0), 0.0) * steps
    nothing: Array = np.zeros(on.points)
    cells, atoms = [], []
    for i, law in enumerate(laws):
        cells.append(np.bincount(home, odds[i] * factor, on.points).astype(np.float64) if i in odds else nothing)
        found = []
        for time in (atom for atom in law.atoms if atom < on.edges[-1]):
            just_before, now = np.nextafter(np.array([time]), -np.inf), np.array([time])
            p = float(law.survival(just_before)[0] - law.survival(now)[0])
            for j, other in enumerate(laws):
                if j != i:
                    # an earlier clock also wins the tie
                    p *= float(other.survival(now if i > j else just_before)[0])
            found.append((time, p))
        atoms.append(found)
    return cells, atoms
