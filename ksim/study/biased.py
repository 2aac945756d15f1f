"""Paths of a lifecycle that are drawn so that rare things happen often, and what each of them counts for.

Every random thing of a path (the way out of a choice, a dwell, a clock of a race) is a function of one uniform number
of a stream of its own (``ksim.model.course``). To bias a stream is to draw that number by another density q than 1,
constant on bins; so one kind of bias covers rare branches (failure biasing), clocks that seldom win (forcing) and
dwells that are seldom long. The likelihood ratio R of a path is the product of q over the draws that it took.

With probability ``PLAIN`` a path is drawn without any bias, and the path counts for 1 / (PLAIN + (1 - PLAIN) R),
however it was drawn. This makes estimates unbiased whatever the bias is, and bounds what a path can count for by
1 / PLAIN: the variance per path is never more than that many times the one of plain sampling.

Sources  Goyal et al., "A unified framework for simulating Markovian models of highly dependable systems", IEEE Trans.
         Computers 41, 1992 (failure biasing, forcing); Hesterberg, "Weighted average importance sampling and defensive
         mixture distributions", Technometrics 37, 1995.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ksim.chance.distributions import Law, Outcomes
from ksim.chance.portable import Array
from ksim.chance.streams import Stream
from ksim.errors import KsimError
from ksim.model.course import Stop, course
from ksim.model.lifecycle import Lifecycle

PLAIN = 0.2
MOST_STEPS = 5000
"""Of one path: a ratio that so many draws have part in tells nothing any more."""
BATCH = 512
BELOW_ONE = 1.0 - 2.0**-53


@dataclass(frozen=True)
class Density:
    """Of a uniform number: ``ratio[b]`` between ``edges[b]`` and ``edges[b + 1]``, from 0 to 1, all above zero."""

    edges: tuple[float, ...]
    ratio: tuple[float, ...]

    def bins(self, u: Array) -> npt.NDArray[np.int64]:
        """Which bin each number is in."""
        return np.array(np.searchsorted(np.array(self.edges[1:-1]), u, side="right"))

    def quantile(self, v: Array) -> Array:
        """Numbers of this density from uniform ones."""
        edges, ratio = np.array(self.edges), np.array(self.ratio)
        begins = np.concatenate([[0.0], np.cumsum(ratio * np.diff(edges))])
        place = np.searchsorted(begins[1:-1], v, side="right")
        u = edges[place] + (v - begins[place]) / ratio[place]
        return np.array(np.minimum(np.clip(u, edges[place], edges[place + 1]), BELOW_ONE))


Bias = Mapping[str, Density]
"""By name of the stream; a stream that is not named is not biased."""
Drawn = tuple[float, float, int]
"""Value (seconds, or number of the way), ratio, and bin."""


class Step(NamedTuple):
    """The host left ``node`` after ``dwell_s`` along ``edge``, for ``target``."""

    node: int
    dwell_s: float
    edge: int
    target: int


class Draws:
    """The draws of one stream, biased or not; their names are those of the lifecycle behind that of the ``stage``."""

    def __init__(self, seed: int, stage: str, name: str, law: Law | Outcomes, density: Density | None) -> None:
        self._law, self._density = law, density
        self._streams = [
            Stream(seed, f"rare {stage} {name}", transform, BATCH) for transform in (self._plainly, self._biased)
        ]

    def start(self, number: int, biased: bool) -> Iterator[Drawn]:
        return self._streams[biased].start(number)

    def _plainly(self, u: Array) -> list[Drawn]:
        law = self._law
        values: Sequence[float] = law.indices(u) if isinstance(law, Outcomes) else law.quantile(u).tolist()
        if self._density is None:
            return [(value, 1.0, -1) for value in values]
        bins = self._density.bins(u)
        return list(zip(values, np.array(self._density.ratio)[bins].tolist(), bins.tolist(), strict=True))

    def _biased(self, v: Array) -> list[Drawn]:
        return self._plainly(v if self._density is None else self._density.quantile(v))


class Biased:
    """Walks paths of one lifecycle, of one ``stage`` of a study, whose draws are its own."""

    def __init__(self, life: Lifecycle, seed: int, stage: str, bias: Bias) -> None:
        found = course(life)
        self._stops: tuple[Stop, ...] = found.stops
        self._entry = found.entry
        self._draws = [Draws(seed, stage, name, law, bias.get(name)) for name, law in found.streams]
        self._is_biased = bool(bias)
        self._chosen = Stream(seed, f"rare {stage} mixture", lambda u: u.tolist(), BATCH)
        self.ratio = 1.0
        self.log: list[tuple[int, int]] = []
        """(stream, bin) of each draw of the last path from a stream that has a density."""

    @property
    def weight(self) -> float:
        """What the path counts for, as far as it has been walked."""
        return 1.0 / (PLAIN + (1.0 - PLAIN) * self.ratio) if self._is_biased else 1.0

    def steps(self, number: int) -> Iterator[Step]:
        """Path ``number`` from the entry on, for ever. Raises KsimError beyond MOST_STEPS."""
        biased = self._is_biased and next(self._chosen.start(number)) >= PLAIN
        started: list[Iterator[Drawn] | None] = [None] * len(self._draws)
        self.ratio, self.log = 1.0, []

        def draw(stream: int) -> float:
            values = started[stream]
            if values is None:
                values = started[stream] = self._draws[stream].start(number, biased)
            value, ratio, place = next(values)
            if place >= 0:
                self.ratio *= ratio
                self.log.append((stream, place))
            return value

        node = self._entry
        for _ in range(MOST_STEPS):
            branch, durations, targets, first_edge, clocks = self._stops[node]
            if clocks:
                times = [draw(stream) for stream in durations]
                dwell = min(times)
                way = times.index(dwell)
            else:
                way = 0 if branch is None else int(draw(branch))
                dwell = draw(durations[way])
            yield Step(node, dwell, first_edge + way, targets[way])
            node = targets[way]
        raise KsimError(
            f"a path of more than {MOST_STEPS} steps: rare events are sought on shorter ones, sample this one plainly"
        )
