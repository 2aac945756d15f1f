"""Contestants take turns: each of several rounds gives all of them some CPU time, so that they meet the same noise.

A shared machine is not the same from one second to the next. Rates are medians over the rounds, and only the ratios of
one run mean anything.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

TURN_S = 0.25
"""CPU time of one turn, about."""


def cpu_s(work: Callable[[], object]) -> float:
    """CPU time of this process, all threads."""
    started = time.process_time()
    work()
    return time.process_time() - started


@dataclass
class Contestant:
    """``play(size, turn)`` does work of a size and returns its steps; ``rates`` are steps per CPU second, by round.

    ``per_size``: what one unit of size is worth in a second count (host-years), 0 where there is none.
    """

    name: str
    play: Callable[[int, int], int]
    per_size: float = 0.0
    size: int = 1
    rates: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)

    def warm_up(self) -> None:
        """Compiles what is compiled, and finds the size of a turn."""
        self.play(2, 0)
        while (took := cpu_s(lambda: self.play(self.size, 0))) < TURN_S / 4:
            self.size *= 4
        self.size = max(1, round(self.size * TURN_S / took))

    def turn(self, number: int) -> None:
        found: list[int] = []
        took = cpu_s(lambda: found.append(self.play(self.size, number)))
        self.rates.append(found[0] / took)
        self.others.append(self.size * self.per_size / took)


def take_turns(contestants: list[Contestant], rounds: int) -> None:
    for contestant in contestants:
        contestant.warm_up()
    for number in range(1, rounds + 1):
        for contestant in contestants:
            contestant.turn(number)


def ratio(of: Contestant, to: Contestant, *, others: bool = False) -> float:
    """Median over the rounds of the ratio within a round."""
    pairs = zip(of.others, to.others) if others else zip(of.rates, to.rates)
    return statistics.median(a / b for a, b in pairs)


def short(x: float) -> str:
    """Three digits and k or M."""
    for limit, letter in ((1e6, "M"), (1e3, "k")):
        if x >= limit:
            return f"{x / limit:.3g} {letter}"
    return f"{x:.3g}"


def spread(values: list[float]) -> str:
    """median (min to max)"""
    return f"{short(statistics.median(values))} ({short(min(values))} to {short(max(values))})"
