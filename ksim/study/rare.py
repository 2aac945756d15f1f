"""Rare events: the probability of a bad year, or how often something hardly ever happens, by importance sampling.

A pilot (``ksim.study.pilot``) finds a bias, the run draws by it (``ksim.study.biased``), and every path counts for as
much as makes the estimate unbiased. Where the bias turns out not to help, the run is plain. Beside the answer stands
what plain sampling would have known after as many steps: ``reduction`` is the ratio of the variances, with the steps of
the pilot on the side of the bias.

Intervals: the normal one where the paths that have the rare thing count for as much as ``EVIDENCE`` like ones or more.
With fewer that one would cover too seldom, and with none it would be empty; then it is Fay and Feuer's, made for
weighted sums of few counts: as if one more path might come that counts for as much as any can (with ``FEW`` hits: as
any did).

Not covered: paths of thousands of steps (refused: the ratio of so many draws tells nothing; a plain run is fine where
things happen that often), and a rare thing with several ways to it of which the pilot saw only some. The others are
then found as seldom as by plain sampling, and missing them is what the interval cannot know of.

Sources  L'Ecuyer, Blanchet, Tuffin, Glynn, "Asymptotic robustness of estimators in rare-event simulation", ACM TOMACS
         20, 2010; Fay, Feuer, "Confidence intervals for directly standardized rates", Statistics in Medicine 16, 1997.
         Splitting (Villen-Altamirano, Villen-Altamirano, "RESTART", 1991; Garvels, "The splitting method in rare event
         simulation", 2000) needs no likelihood ratios but levels on the way, and a rare branch is a step without any.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ksim.errors import KsimError, ScenarioError
from ksim.model.lifecycle import Lifecycle
from ksim.study.biased import PLAIN, Bias, Biased
from ksim.study.estimate import Estimate, t_quantile
from ksim.study.pilot import pilot
from ksim.study.pool import Progress, pieces_of, work_on
from ksim.study.questions import Question
from ksim.study.replicate import collector_paused
from ksim.study.special import special

PIECE = 1024
TRIAL = 2000
"""Paths that show whether the bias helps."""
WORTH = 1.5
"""A bias that reduces the variance by less, in a trial, is not used."""
EVIDENCE, FEW = 100.0, 30


@dataclass(frozen=True)
class Rare:
    """The answer; ``reduction``: variance of plain sampling in as many steps over that of this run, None: unknown.

    ``hits``: paths that had it. ``biased``: the streams that were biased. ``note``: what a reader has to know.
    """

    measure: str
    estimate: Estimate
    reduction: float | None
    hits: int
    paths: int
    steps: int
    biased: tuple[str, ...]
    note: str = ""


class Walk(NamedTuple):
    """Paths to walk: a stage of a study of one lifecycle under one bias."""

    life: Lifecycle
    question: Question
    seed: int
    stage: str
    bias: Bias


@dataclass
class Sums:
    """Of paths: w is what one counts for, c its count, r what counts are related to, s its steps.

    ``largest``: c of any path, ``heaviest``: w c of any.
    """

    n: int = 0
    hits: int = 0
    steps: int = 0
    largest: float = 1.0
    heaviest: float = 0.0
    parts: dict[str, list[float]] = field(default_factory=dict)

    def add(self, other: Sums) -> None:
        """Enters sums of other paths, whose order matters to the last bit."""
        self.n, self.hits, self.steps = self.n + other.n, self.hits + other.hits, self.steps + other.steps
        self.largest, self.heaviest = max(self.largest, other.largest), max(self.heaviest, other.heaviest)
        for name, values in other.parts.items():
            self.parts.setdefault(name, []).extend(values)

    def mean(self, name: str) -> float:
        return math.fsum(self.parts.get(name, ())) / self.n


class Sampler:
    """The worker of ``ksim.study.pool`` for rare events."""

    def __init__(self, walk: Walk) -> None:
        self._walker = Biased(walk.life, walk.seed, walk.stage, walk.bias)
        self._follow = walk.question.asked(walk.life.layout)

    def run(self, first: int, count: int) -> Sums:
        with collector_paused():
            return self._run(first, count)

    def _run(self, first: int, count: int) -> Sums:
        sums, terms = Sums(n=count), dict[str, list[float]]()
        for number in range(first, first + count):
            found = self._follow(self._walker.steps(number))
            w, c, r = self._walker.weight, found.hits, found.related
            sums.steps += found.steps
            products = {"r": r, "rr": r * r, "ws": w * found.steps}
            if c:
                sums.hits += 1
                sums.largest, sums.heaviest = max(sums.largest, abs(c)), max(sums.heaviest, w * abs(c))
                products |= {"wc": w * c, "wwcc": (w * c) ** 2, "wcc": w * c * c, "wcr": w * c * r}
            for name, value in products.items():
                terms.setdefault(name, []).append(value)
        sums.parts = {name: [math.fsum(values)] for name, values in terms.items()}
        return sums


def rare(
    life: Lifecycle,
    question: Question,
    *,
    seed: int,
    paths: int,
    confidence: float = 0.95,
    workers: int = 1,
    progress: Progress | None = None,
) -> Rare:
    """Answers a question about one lifecycle from ``paths`` paths, besides those of the pilot.

    Raises ScenarioError where the lifecycle has nothing of the kind, KsimError where paths are too long.
    """
    question.asked(life.layout)
    if paths < 100:
        raise ScenarioError(f"{paths} paths are too few to learn anything from: expected at least 100")
    found = pilot(life, question, seed)
    bias, spent = found.bias, found.steps
    walk = Walk(life, question, seed, "related", {})
    related = _sums(walk, paths // 2, workers, None) if question.is_ratio else Sums()
    if bias:
        trial = _sums(walk._replace(stage="trial", bias=bias), TRIAL, workers, None)
        spent += trial.steps
        helps = _reduction(trial, related, trial.steps)
        bias = bias if helps is not None and helps >= WORTH else {}
    main = _sums(walk._replace(stage="run", bias=bias), paths, workers, progress)
    spent += main.steps + related.steps
    estimate, note = _estimated(main, related, question, confidence, 1.0 / PLAIN if bias else 1.0)
    estimate = replace(estimate, method="importance sampling" if bias else "plain sampling")
    reduction = _reduction(main, related, spent)
    return Rare(question.measure, estimate, reduction, main.hits, paths, spent, tuple(sorted(bias)), note)


def _sums(walk: Walk, paths: int, workers: int, progress: Progress | None) -> Sums:
    found: dict[int, Sums] = {}
    for (first, _), sums in work_on(walk, Sampler, pieces_of(paths, PIECE), workers):
        found[first] = sums
        if progress is not None:
            progress(sum(piece.n for piece in found.values()), paths)
    total = Sums()
    for first in sorted(found):
        total.add(found[first])
    return total


def _estimated(
    main: Sums, related: Sums, question: Question, confidence: float, heaviest: float
) -> tuple[Estimate, str]:
    mean, square = main.mean("wc"), main.mean("wwcc")
    events = main.n * mean * mean / square if square else 0.0
    note = ""
    if events >= EVIDENCE:
        half = t_quantile(main.n - 1, confidence) * math.sqrt((square - mean * mean) / (main.n - 1))
    else:
        one = main.heaviest if main.hits >= FEW else heaviest * main.largest
        half = gamma_half_width(abs(mean), square / main.n, one / main.n, confidence)
        note = f"as good as {events:.3g} of {main.n} paths had it" if main.hits else f"none of {main.n} paths had it"
        note += ": the half-width is that of a gamma interval, and wide"
    if not question.is_ratio:
        return Estimate(mean, half, confidence, main.n, question.unit, ""), note
    base = related.mean("r")
    if base == 0.0:
        raise KsimError(f"'{question.measure}': nothing that it could be divided by was seen in {related.n} paths")
    spread = t_quantile(related.n - 1, confidence) * math.sqrt((related.mean("rr") - base * base) / (related.n - 1))
    value = mean / base
    if events >= EVIDENCE:
        half = abs(value) * math.hypot(half / mean, spread / base)
    else:
        half = (abs(mean) + half) / (base - spread) - abs(value) if spread < base else math.inf
    return Estimate(value, half if half < math.inf else None, confidence, main.n, question.unit, ""), note


def gamma_half_width(total: float, variance: float, one: float, confidence: float) -> float:
    """The longer arm of Fay and Feuer's interval for a sum of weighted counts, of which ``one`` more may come."""
    gammaincinv = special().gammaincinv
    tail = (1.0 - confidence) / 2.0
    above, spread = total + one, variance + one * one
    high = spread / above * float(gammaincinv(above * above / spread, 1.0 - tail))
    low = variance / total * float(gammaincinv(total * total / variance, tail)) if variance else 0.0
    return max(high - total, total - low)


def _reduction(main: Sums, related: Sums, steps: int) -> float | None:
    """Variance of plain sampling in so many steps over that of these sums; None where nothing was hit."""
    mean = main.mean("wc")
    if not main.hits:
        return None
    own = (main.mean("wwcc") - mean * mean) / main.n
    plain, length = main.mean("wcc") - mean * mean, main.mean("ws")
    if related.n:
        base, square = related.mean("r"), related.mean("rr")
        if base == 0.0:
            return None
        ratio, length = mean / base, related.mean("ws")
        own += ratio * ratio * (square - base * base) / related.n
        plain = main.mean("wcc") - 2.0 * ratio * main.mean("wcr") + ratio * ratio * square
    return plain * length / steps / own if own > 0.0 else None
