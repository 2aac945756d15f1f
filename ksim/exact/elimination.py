"""Linear systems of an absorbing chain by state elimination: no subtraction, so no digits are lost.

Rows hold transition probabilities between states; what a row lacks to 1 leaves the set. The pivot 1 - p_kk is
taken as the sum of the other entries (Grassmann, Taksar, Heyman 1985), which keeps tiny probabilities exact to
full relative precision. Plain Python in a fixed order: the same bits everywhere, unlike a BLAS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush
from math import fsum

EXIT = -1
"""The target that stands for leaving the set."""


class Elimination:
    """Factors I - P once, then answers for any rewards (``expected``) or any starts (``visits``)."""

    def __init__(self, rows: Sequence[Mapping[int, float]]) -> None:
        p = [dict(row) for row in rows]
        incoming: list[set[int]] = [set() for _ in rows]
        for i, row in enumerate(p):
            for j in row:
                if j != EXIT:
                    incoming[j].add(i)
        left = set(range(len(p)))
        self._steps: list[tuple[int, float, list[tuple[int, float]], list[tuple[int, float]]]] = []

        def fill(i: int) -> tuple[int, int]:
            """At most so many new entries if i were next; ties by number, so the order never depends on hashing."""
            return (len(incoming[i]) - (i in incoming[i])) * len(p[i]), i

        best = [fill(i) for i in left]
        heapify(best)
        while left:
            key = heappop(best)
            k = key[1]
            if k not in left or key != fill(k):
                continue  # it is gone, or changed since, and stands in the heap again
            left.remove(k)
            onward = [(j, value) for j, value in sorted(p[k].items()) if j != k]
            pivot = fsum(value for _, value in onward)
            incoming[k].discard(k)
            before = [(i, p[i].pop(k)) for i in sorted(incoming[k])]
            for j, _ in onward:
                if j != EXIT:
                    incoming[j].discard(k)
            for i, value in before:
                factor = value / pivot
                for j, step in onward:
                    p[i][j] = p[i].get(j, 0.0) + factor * step
                    if j != EXIT:
                        incoming[j].add(i)
            for i in {i for i, _ in before} | {j for j, _ in onward if j != EXIT}:
                heappush(best, fill(i))
            self._steps.append((k, pivot, before, [(j, value) for j, value in onward if j != EXIT]))

    def expected(self, rewards: Sequence[float]) -> list[float]:
        """x with x_i = reward_i + sum_j p_ij x_j: the total reward from each state until the exit."""
        x = list(rewards)
        for k, pivot, before, _ in self._steps:
            for i, value in before:
                x[i] += value / pivot * x[k]
        for k, pivot, _, onward in reversed(self._steps):
            x[k] = (x[k] + fsum(value * x[j] for j, value in onward)) / pivot
        return x

    def visits(self, starts: Sequence[float]) -> list[float]:
        """v with v_j = start_j + sum_i v_i p_ij: how often each state is visited before the exit."""
        v = list(starts)
        for k, pivot, _, onward in self._steps:
            v[k] /= pivot
            for j, value in onward:
                v[j] += value * v[k]
        for k, pivot, before, _ in reversed(self._steps):
            v[k] += fsum(value / pivot * v[i] for i, value in before)
        return v
