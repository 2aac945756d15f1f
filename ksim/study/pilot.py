"""Finds by itself how to bias the draws of a lifecycle so that a rare thing happens often: the cross-entropy method.

Of all biases that treat a stream's draws alike, the one nearest to the paths that have the rare thing gives each bin of
a stream the share of draws that these paths take from it. Rounds of a few paths come closer to it: each keeps its best
paths by score, weighs them by what they count for, and the next one draws accordingly. The first round draws from all
bins of every stream, so that neither a rare branch nor a slow clock nor a long dwell stays unseen. A stream whose
shares differ by no more than chance from what it does anyway is left alone: a bias that leads nowhere costs precision.

The pilot's draws are its own, so whatever it finds, the run after it is unbiased.

Sources  Rubinstein, Kroese, "The Cross-Entropy Method", 2004; de Boer, Kroese, Mannor, Rubinstein, "A tutorial on the
         cross-entropy method", Annals of Operations Research 134, 2005.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ksim.chance.distributions import Constant, Law, Outcomes
from ksim.chance.portable import Array
from ksim.model.course import course
from ksim.model.lifecycle import Lifecycle
from ksim.study.biased import Bias, Biased, Density
from ksim.study.questions import Found, Question
from ksim.study.replicate import collector_paused

PATHS = 3000
"""Of one round."""
ROUNDS = 10
BEST = 0.1
"""Share of a round that the next one learns from, as long as fewer have the rare thing."""
FEWEST = 10
"""Paths to learn from."""
EDGES = (0.01, 0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95, 0.99, 0.999, 0.9999)
RACED = (0.1, 0.3, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Times at which bins of a clock meet, in those that its race lasts: a clock that seldom wins must ring as early."""
EXPLORED = 0.3
"""Part of each draw of the first round that is balanced."""
KEPT = 0.1
"""Part of each draw that stays half as it is and half balanced, whatever was learned."""
SURE = 5.0
"""Standard deviations from what chance would do."""


class Walked(NamedTuple):
    """One path of the pilot."""

    found: Found
    weight: float
    log: list[tuple[int, int]]


class Pilot(NamedTuple):
    """``bias`` is empty where none was found; ``steps`` is what it took."""

    bias: Bias
    steps: int


def pilot(life: Lifecycle, question: Question, seed: int) -> Pilot:
    """Looks for a bias."""
    streams = course(life).streams
    bias = exploring(life, question.horizon_s)
    plain = {name: Density(density.edges, (1.0,) * len(density.ratio)) for name, density in bias.items()}
    learned: dict[str, Density] = {}
    steps = at_it = 0
    for number in range(ROUNDS):
        walked = _walk(life, question, seed, f"pilot {number}", bias)
        steps += sum(path.found.steps for path in walked)
        scores = sorted((path.found.score for path in walked), reverse=True)
        level = min(question.enough, scores[int(BEST * PATHS)])
        best = [path for path in walked if path.found.score > level or path.found.score >= question.enough]
        if len(best) < FEWEST:
            best = [path for path in walked if path.found.score > 0.0]
        learned = _learned(streams, plain, best) if len(best) >= FEWEST else {}
        if not learned:
            break
        bias = plain | learned  # the others are watched, too
        at_it += level >= question.enough
        if at_it == 2:
            break
    return Pilot(learned, steps)


def _walk(life: Lifecycle, question: Question, seed: int, stage: str, bias: Bias) -> list[Walked]:
    walker, follow = Biased(life, seed, stage, bias), question.asked(life.layout)
    walked = []
    with collector_paused():
        for number in range(PATHS):
            found = follow(walker.steps(number))
            walked.append(Walked(found, walker.weight, walker.log))
    return walked


def exploring(life: Lifecycle, horizon_s: float) -> dict[str, Density]:
    """The bias of the first round: every way out of a choice, every clock, every long dwell has its chance."""
    found: dict[str, Density] = {}
    reach: dict[str, float] = {}
    for node in life.nodes:
        shortest = min((horizon_s, *(clock.after.mean for clock in node.clocks)))
        for clock in node.clocks:
            name = f"clock {clock.name}"
            reach[name] = min(reach.get(name, shortest), shortest)
    for name, law in course(life).streams:
        if isinstance(law, Outcomes):
            found[name] = _balanced(tuple(dict.fromkeys((0.0, *law.cumulative))), EXPLORED)
        elif not isinstance(law, Constant):
            times = reach[name] * np.array(RACED) if name in reach else np.array([0.0])
            early = (1.0 - law.survival(times)).tolist()
            found[name] = _balanced(tuple(sorted({0.0, *(u for u in early if u < EDGES[-1]), *EDGES, 1.0})), EXPLORED)
    return found


def _balanced(edges: tuple[float, ...], part: float) -> Density:
    """All bins alike in this part of the draws, else as it is: no bin is drawn much less often than another."""
    p = np.diff(edges)
    return Density(edges, tuple((1.0 - part + part / (len(p) * p)).tolist()))


def _learned(
    streams: tuple[tuple[str, Law | Outcomes], ...], plain: dict[str, Density], best: list[Walked]
) -> dict[str, Density]:
    """The bias of the next round, from the best paths of this one."""
    weights = [path.weight for path in best]
    scale = math.fsum(weights) / math.fsum(
        weight * weight for weight in weights
    )  # so that they sum up to the effective number of paths
    taken = {name: np.zeros(len(density.ratio)) for name, density in plain.items()}
    names = [name for name, _ in streams]
    for path in best:
        for stream, place in path.log:
            taken[names[stream]][place] += path.weight * scale
    found = {name: _density(plain[name].edges, counts) for name, counts in taken.items()}
    return {name: density for name, density in found.items() if density is not None}


def _density(edges: tuple[float, ...], counts: Array) -> Density | None:
    """Of bins that were taken so often, as if by independent draws; None: as by chance."""
    p, many = np.diff(edges), math.fsum(counts)
    if many < FEWEST:
        return None
    free = len(p) - 1
    distance = math.fsum((counts - many * p) ** 2 / (many * p))
    if distance <= free + SURE * math.sqrt(2.0 * free):
        return None
    # what was not seen yet must stay in sight, or it never will be
    kept = np.array(_balanced(edges, 0.5).ratio)
    return Density(edges, tuple(((1.0 - KEPT) * counts / (many * p) + KEPT * kept).tolist()))
