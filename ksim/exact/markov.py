"""The part of the graphs that are continuous-time Markov chains, at any time t: P(t), and the time spent so far.

A node is memoryless if it is a race of exponential clocks, or a choice whose branches last an exponential time
each (branch and node then make one state) or no time at all (passed at once, and counted). Only sums of products
of numbers >= 0 are formed, so a probability of 1e-12 has as many digits as one of 0.5: by uniformization, or,
where that would take too many steps, by squaring the transition matrix of a short step.

Source  uniformization: Jensen 1953; weights from the mode outwards: Fox, Glynn 1988.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from ksim.chance.distributions import Constant, Exponential, Law
from ksim.chance.portable import Array
from ksim.errors import NotSolvable
from ksim.model.lifecycle import Lifecycle, Node

STOP = -1
"""The state of a chain that has been stopped."""


@dataclass
class Arrival:
    """What an entry into a node leads to without delay: shares of states, and nodes entered on the way."""

    states: dict[int, float] = field(default_factory=dict)
    entered: dict[str, float] = field(default_factory=dict)

    def add(self, other: Arrival, share: float) -> None:
        for state, value in other.states.items():
            self.states[state] = self.states.get(state, 0.0) + share * value
        for name, value in other.entered.items():
            self.entered[name] = self.entered.get(name, 0.0) + share * value


def not_memoryless(life: Lifecycle) -> list[str]:
    """The nodes that keep the graph from being a Markov chain, with the law that does it."""
    found = []
    for node in life.nodes:
        for way in node.ways:
            instant = not node.clocks and _is_zero(way.law)
            if not isinstance(way.law, Exponential) and not instant:
                found.append(f"node '{node.name}' lasts {way.law}")
    return found


def _is_zero(law: Law) -> bool:
    return isinstance(law, Constant) and law.value == 0.0


class Chain:
    """The chain of a memoryless graph from its entry, stopped at the first entry into a node of ``until``."""

    def __init__(self, life: Lifecycle, until: Collection[str] = ()) -> None:
        for problem in not_memoryless(life):
            raise NotSolvable(f"{problem}: not a Markov chain")
        self._life, self._until = life, frozenset(until)
        self.nodes: list[str] = []
        """The node of each state."""
        self._arrivals: dict[str, Arrival] = {}
        self._leaving: list[list[tuple[float, str]]] = []
        self.start = self._begin(life[life.entry])
        done = 0
        while done < len(self._leaving):  # states are numbered as they are met
            for _, to in self._leaving[done]:
                self._arrive(to)
            done += 1
        edges = [
            (i, self._number(j), rate * share)
            for i, ways in enumerate(self._leaving)
            for rate, to in ways
            for j, share in self._arrive(to).states.items()
        ]
        self._sources = np.array([i for i, _, _ in edges], dtype=np.int64)
        self._targets = np.array([j for _, j, _ in edges], dtype=np.int64)
        self._rates = np.array([rate for _, _, rate in edges])

    @property
    def size(self) -> int:
        """Number of states, with the one of the stopped chain, which is the last."""
        return len(self.nodes) + 1

    def _number(self, state: int) -> int:
        return len(self.nodes) if state == STOP else state

    def _begin(self, node: Node) -> Arrival:
        """An arrival at a node that does not stop the chain."""
        arrival = Arrival(entered={node.name: 1.0})
        if node.clocks:
            arrival.states[self._state(node, [(1.0 / clock.after.mean, clock.to) for clock in node.clocks])] = 1.0
            return arrival
        total = math.fsum(branch.p for branch in node.branches)
        for branch in node.branches:
            if _is_zero(branch.dwell):
                arrival.add(self._arrive(branch.to), branch.p / total)
            elif branch.p > 0.0:
                state = self._state(node, [(1.0 / branch.dwell.mean, branch.to)])
                arrival.states[state] = branch.p / total
        return arrival

    def _state(self, node: Node, ways: list[tuple[float, str]]) -> int:
        self.nodes.append(node.name)
        self._leaving.append(ways)
        return len(self.nodes) - 1

    def _arrive(self, name: str) -> Arrival:
        if name not in self._arrivals:
            if name in self._until:
                self._arrivals[name] = Arrival({STOP: 1.0}, {name: 1.0})
            elif name == self._life.entry and hasattr(self, "start"):
                self._arrivals[name] = self.start
            else:
                self._arrivals[name] = self._begin(self._life[name])
        return self._arrivals[name]

    def entered(self, spent: Array, first: bool = False) -> dict[str, float]:
        """Mean number of entries into each node, from the time spent in each state; with what the start passes."""
        counts: dict[str, list[float]] = {}
        for state, ways in enumerate(self._leaving):
            for rate, to in ways:
                for name, times in self._arrive(to).entered.items():
                    counts.setdefault(name, []).append(float(spent[state]) * rate * times)
        for name, times in self.start.entered.items():
            if first or name != self._life.entry:
                counts.setdefault(name, []).append(times)
        return {name: math.fsum(values) for name, values in counts.items()}

    # ------------------------------------------------------------ in time

    def after(self, t: float) -> tuple[Array, Array]:
        """P(in each state at t), and the mean time spent in each state during [0, t]."""
        start = np.zeros(self.size)
        for state, share in self.start.states.items():
            start[self._number(state)] += share
        leave: Array = np.bincount(self._sources, self._rates, self.size).astype(np.float64)
        top = float(leave.max(initial=0.0))
        if t <= 0.0 or top == 0.0:
            return start, start * max(t, 0.0)
        steps, doublings = top * t, max(0, math.ceil(math.log2(top * t)))
        if steps * (len(self._rates) + 3000.0) < 3.0 * doublings * self.size**3 + 3e7:
            return self._by_steps(start, leave, top, t)
        return self._by_squares(start, leave, top, t, doublings)

    def _by_steps(self, start: Array, leave: Array, top: float, t: float) -> tuple[Array, Array]:
        weights, tails = poisson(top * t)
        stay, share = 1.0 - leave / top, self._rates / top
        now, at, spent, lost = start, np.zeros(self.size), np.zeros(self.size), np.zeros(self.size)
        for weight, tail in zip(weights.tolist(), tails.tolist(), strict=True):
            at += weight * now
            # a long sum of equal terms rounds to one side every time: what is lost is added next time (Kahan)
            more = tail * now - lost
            total = spent + more
            spent, lost = total, (total - spent) - more
            now = stay * now + np.bincount(self._targets, share * now[self._sources], self.size)
            now /= now.sum()  # 1 but for the rounding of each row, which would add up over many steps
        return at, spent / top

    def _by_squares(self, start: Array, leave: Array, top: float, t: float, doublings: int) -> tuple[Array, Array]:
        short = t / 2.0**doublings
        step = np.zeros((self.size, self.size))
        np.add.at(step, (self._sources, self._targets), self._rates / top)
        step[np.diag_indices(self.size)] += 1.0 - leave / top
        power = np.eye(self.size)
        p, spent = np.zeros_like(step), np.zeros_like(step)
        for weight, tail in zip(*(found.tolist() for found in poisson(top * short)), strict=True):
            p += weight * power
            spent += tail / top * power
            power = _product(power, step)
        squares = [p]
        for _ in range(doublings):
            p = _product(p, p)
            # rounding must not let probability grow: rows of a relative error each would double it every time
            p /= p.sum(axis=1)[:, None]
            squares.append(p)
        # the time spent doubles as (1 + P) does, from the longest step down
        sums = start
        for p in reversed(squares[:-1]):
            sums = sums + _product(sums[None, :], p)[0]
        return _product(start[None, :], squares[-1])[0], _product(sums[None, :], spent)[0]


def _product(a: Array, b: Array) -> Array:
    """Matrix product in a fixed order of additions: the same bits everywhere, unlike a BLAS."""
    total: Array = np.zeros((a.shape[0], b.shape[1]))
    for k in range(b.shape[0]):
        total += a[:, k, None] * b[k]
    return total


NEGLIGIBLE = 1e-30
"""Poisson weights below this share of the largest are left out."""


def poisson(mean: float) -> tuple[Array, Array]:
    """P(N = n) and P(N > n) for n = 0, 1, ... until both are negligible; from the mode outwards, then normed."""
    mode = math.floor(mean)
    up, down = [1.0], []
    n = mode
    while up[-1] > NEGLIGIBLE:
        n += 1
        up.append(up[-1] * mean / n)
    value, n = 1.0, mode
    while n > 0 and value > NEGLIGIBLE:
        value *= n / mean
        n -= 1
        down.append(value)
    weights = np.array([0.0] * n + down[::-1] + up)
    weights /= math.fsum(weights.tolist())
    above, below = np.cumsum(weights[::-1])[::-1], np.cumsum(weights)
    # from the nearer end, where few digits have been added up
    return weights, np.where(np.arange(len(weights)) < mode, 1.0 - below, np.append(above[1:], 0.0))
