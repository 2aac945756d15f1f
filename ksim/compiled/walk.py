"""The walk of ``ksim.macro.walker`` over arrays. It knows no fault and no strategy by name."""

from __future__ import annotations

from typing import Any

import numpy as np

from ksim.compiled.bits import at
from ksim.compiled.draws import Place, begin, draw, start
from ksim.compiled.jit import jit, kernel
from ksim.compiled.program import ONE_WAY, RACE, Program, program
from ksim.evidence.transition import Path
from ksim.model.course import course
from ksim.model.lifecycle import Lifecycle


@jit
def step(program: Program, place: Place, node: int, replication: int) -> tuple[int, float]:
    """(edge that leaves the node, after how many seconds): the way that was drawn, or the clock that rings first."""
    stop = at(program.nodes, node)
    how, first = stop.branch, stop.first
    if how != RACE:
        if how != ONE_WAY:
            first += np.int64(draw(place, how, replication))
        return first, draw(place, at(program.edges, first).stream, replication)
    way, dwell = first, np.inf
    for edge in range(first, at(program.nodes, node + 1).first):
        time = draw(place, at(program.edges, edge).stream, replication)
        if time < dwell:
            way, dwell = edge, time
    return way, dwell


@kernel
def walk(program: Program, place: Place, replication: int, horizon_s: float, times: Any, edges: Any) -> int:
    """Walks one replication into ``times`` and ``edges``; returns how many transitions there were, noted or not."""
    begin(place, replication)
    node, time, many = program.entry, 0.0, 0
    while True:
        edge, dwell = step(program, place, node, replication)
        time += dwell
        if time >= horizon_s:
            return many
        if many < len(times):
            times[many] = time
            edges[many] = edge
        many += 1
        node = at(program.edges, edge).target


class Walker:
    """The same as ``ksim.macro.walker.Walker``, and the same paths, transition by transition."""

    def __init__(self, life: Lifecycle, seed: int) -> None:
        self._program = program(course(life), seed)
        self._place = start(self._program)
        self._room = 1024

    def path(self, replication: int, horizon_s: float) -> Path:
        """One replication from time 0 to ``horizon_s`` (excluded), as it happened."""
        while True:
            times, edges = np.empty(self._room), np.empty(self._room, np.int64)
            many = walk(self._program, self._place, replication, float(horizon_s), times, edges)
            if many <= self._room:
                return Path(times[:many].tolist(), edges[:many].tolist())
            self._room = 2 * many
