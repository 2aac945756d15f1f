"""A lifecycle under one seed as plain arrays: all that machine code is told."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ksim.chance.distributions import (
    Constant,
    Empirical,
    Exponential,
    Law,
    LogNormal,
    LogUniform,
    Outcomes,
    Uniform,
    Weibull,
)
from ksim.chance.streams import philox_key
from ksim.model.course import Course

CONSTANT, EXPONENTIAL, LOGNORMAL, WEIBULL, UNIFORM, LOGUNIFORM, EMPIRICAL, OUTCOMES = range(8)
ONE_WAY, RACE = -1, -2
"""In place of the stream that says which way out of a choice."""
NODE = np.dtype([("branch", np.int64), ("first", np.int64)])
"""``branch``: a stream, ONE_WAY or RACE; ``first`` edge."""
EDGE = np.dtype([("target", np.int64), ("stream", np.int64)])
"""``target`` node, ``stream`` of the duration."""


class Program(NamedTuple):
    """Streams 0..s-1: ``key`` (s, 2), ``kind`` (s,), ``a``, ``b`` (s,) parameters, ``table`` with ``place`` (s, 2).

    ``nodes`` (n+1,) of NODE, ``edges`` (m,) of EDGE: what belongs together lies together.
    """

    entry: int
    key: Any
    kind: Any
    a: Any
    b: Any
    table: Any
    place: Any
    nodes: Any
    edges: Any


def program(course: Course, seed: int) -> Program:
    """The arrays of a course under ``seed``."""
    kinds, parameters, places = [], [], []
    table: list[float] = []
    for _, law in course.streams:
        kind, a, b, values = _parameters(law)
        kinds.append(kind)
        parameters.append((a, b))
        places.append((len(table), len(values)))
        table += values
    stops = course.stops
    ends = [stop.first_edge + len(stop.targets) for stop in stops]
    branches = [RACE if stop.clocks else ONE_WAY if stop.branch is None else stop.branch for stop in stops]
    return Program(
        entry=course.entry,
        key=np.array([philox_key(seed, name) for name, _ in course.streams]),
        kind=np.array(kinds),
        a=np.array([a for a, _ in parameters]),
        b=np.array([b for _, b in parameters]),
        table=np.array([*table, 0.0]),
        place=np.array(places),
        nodes=np.array([*zip(branches, [0, *ends], strict=False), (ONE_WAY, ends[-1] if ends else 0)], NODE),
        edges=np.array([pair for stop in stops for pair in zip(stop.targets, stop.durations, strict=True)], EDGE),
    )


def _parameters(law: Law | Outcomes) -> tuple[int, float, float, list[float]]:
    """What the quantile of a law is computed from, rounded just as the law itself rounds it."""
    match law:
        case Constant(value):
            return CONSTANT, value, 0.0, []
        case Exponential(mean):
            return EXPONENTIAL, -mean, 0.0, []
        case LogNormal(median, sigma):
            return LOGNORMAL, median, sigma, []
        case Weibull(scale, shape):
            return WEIBULL, scale, 1.0 / shape, []
        case Uniform(low, high):
            return UNIFORM, low, high - low, []
        case LogUniform(low, _):
            return LOGUNIFORM, low, law._span, []
        case Empirical(values):
            return EMPIRICAL, 0.0, 0.0, list(values)
        case Outcomes(cumulative):
            return OUTCOMES, 0.0, 0.0, list(cumulative)
    raise TypeError(f"not a law: {law!r}")
