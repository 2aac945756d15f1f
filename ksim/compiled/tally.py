"""``ksim.evidence.ledger`` in machine code: replications are walked and entered into sums, and none is kept.

Times are ticks, sums have 128 bits, so the result is the ledger's own, number by number, in any order of replications.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ksim.compiled.bits import add_product, at, bits_of, put
from ksim.compiled.draws import Place, begin
from ksim.compiled.jit import jit, kernel
from ksim.compiled.program import Program
from ksim.compiled.walk import step
from ksim.evidence.ledger import LIMITS, YEAR
from ksim.evidence.sums import BINS_PER_OCTAVE, TICKS

DOWNTIME, DEGRADED, WORK_LOST, OUTAGES, FIXED = range(5)
"""The first columns; then come downtime and outages by budget, events, downtime by cause and by phase."""
X, XX, Y, YY, XY = range(5)
OTHERS, SOFTWARE = range(2)
"""Groups of outages while they are counted: that is one sum the less, and no jump."""
FROM_DOWN, FROM_DEGRADED, TO_DOWN, TO_NOTED = 1, 2, 4, 8
"""Of an edge: the service where it begins and ends, and whether its end counts an event or loses work."""
MISSED = np.array(list(LIMITS.values()))
BINS = 66 * BINS_PER_OCTAVE
SHIFT = 52 - 10
assert BINS_PER_OCTAVE == 1 << 10  # the bin of a number is its exponent and the first ten bits of its mantissa


FACT = np.dtype([(name, np.int64) for name in ("what", "cause", "phase", "event", "lost")])
"""Of an edge: ``what`` is to be done, in bits; ``cause`` by number or -1; the ``phase`` that ends, by number; ``event``
where it leads to, by number or -1, and the work ``lost`` there in ticks."""


class Facts(NamedTuple):
    """What a ledger wants to know of nodes (n,), edges (m,) and causes (c,).

    Nodes: ``down``, ``degraded``, ``phase`` by number. Edges: FACTs. ``budget`` of a cause by number, ``software`` the
    number of that one.
    """

    down: Any
    degraded: Any
    phase: Any
    edges: Any
    budget: Any
    budgets: int
    events: int
    causes: int
    phases: int
    software: int


class Sums(NamedTuple):
    """``moments`` (rows, 5, 2): 128-bit X, XX, Y, YY, XY of columns, then of outages, software outages, their phases.

    ``many`` (rows,): observations. ``lengths`` (2, BINS): of outages by group; ``years``: of all and of software.
    ``missed``: years beyond the limits. ``counts``: censored outages and steps. ``columns`` (replications, 4): downtime
    of each, downtime of software, outages, lost work.
    """

    moments: Any
    many: Any
    lengths: Any
    years: Any
    missed: Any
    counts: Any
    columns: Any


class Room(NamedTuple):
    """Of one replication: ticks by cause and phase, with a list of those in use, by phase, by column and by group."""

    spent: Any
    used: Any
    phases: Any
    columns: Any
    year: Any
    finished: Any


@jit
def count(bins: Any, group: int, ticks: int) -> None:
    """One more value in a histogram of bins of constant relative width; bin 0 is for zero."""
    place = 0
    if ticks > 0:
        place = (bits_of(float(ticks)) >> SHIFT) - (1022 << 10)
    bins[group, place] += 1


@jit
def add(numbers: Any, place: int, more: int) -> None:
    put(numbers, place, at(numbers, place) + more)


@jit
def note_down(facts: Facts, room: Room, cause: int, phase: int, since: int, now: int, has_year: bool) -> None:
    """A stretch of downtime."""
    ticks = now - since
    if ticks == 0:
        return
    place = cause * facts.phases + phase
    before = at(room.spent, place)
    put(room.used, room.used[0] + 1, place)
    room.used[0] += before == 0
    put(room.spent, place, before + ticks)
    add(room.phases, phase, ticks)
    if has_year and since < YEAR:
        room.year[np.int64(at(facts.budget, cause) == facts.software)] += min(now, YEAR) - since


@jit
def note_end(facts: Facts, room: Room, sums: Sums, cause: int, length: int) -> None:
    """An outage is over."""
    group = np.int64(at(facts.budget, cause) == facts.software)
    room.finished[group, 0] += 1
    room.finished[group, 1] += length
    count(sums.lengths, group, length)


@kernel
def tally(
    program: Program, facts: Facts, place: Place, room: Room, sums: Sums, first: int, horizon_s: float, has_year: bool
) -> None:
    """Walks replications ``first``, ... as many as ``sums.columns`` has rows, and enters each into ``sums``."""
    horizon = np.int64(np.rint(horizon_s * TICKS))
    columns, steps = room.columns, 0
    for row in range(len(sums.columns)):
        begin(place, first + row)
        room.used[0] = 0
        columns[:] = 0
        room.year[:] = 0
        room.finished[:] = 0
        node, time, since, cause, began = program.entry, 0.0, 0, -1, 0
        while True:
            edge, dwell = step(program, place, node, first + row)
            time += dwell
            if time >= horizon_s:
                break
            steps += 1
            now: Any = np.int64(np.rint(time * TICKS))
            fact = at(facts.edges, edge)
            what = fact.what
            if what & FROM_DOWN:
                note_down(facts, room, cause, fact.phase, since, now, has_year)
                if not what & TO_DOWN:
                    note_end(facts, room, sums, cause, now - began)
            else:
                if what & FROM_DEGRADED:
                    columns[DEGRADED] += now - since
                if what & TO_DOWN:
                    cause, began = fact.cause, now
                    room.phases[:] = 0
                    add(columns, FIXED + facts.budgets + at(facts.budget, cause), TICKS)
            if what & TO_NOTED:
                if fact.event >= 0:
                    add(columns, FIXED + 2 * facts.budgets + fact.event, TICKS)
                columns[WORK_LOST] += fact.lost
            node, since = at(program.edges, edge).target, now
        is_down = at(facts.down, node)
        if is_down:
            note_down(facts, room, cause, at(facts.phase, node), since, horizon, has_year)
            sums.counts[0] += 1
        elif at(facts.degraded, node):
            columns[DEGRADED] += horizon - since
        enter(facts, room, sums, cause if is_down else -1)
        if has_year:
            year = room.year[OTHERS] + room.year[SOFTWARE]
            count(sums.years, 0, year)
            count(sums.years, 1, room.year[SOFTWARE])
            for limit in range(len(MISSED)):
                sums.missed[limit] += year > MISSED[limit]
        sums.columns[row, 0] = columns[DOWNTIME]
        sums.columns[row, 1] = columns[FIXED + facts.software]
        sums.columns[row, 2] = columns[OUTAGES]
        sums.columns[row, 3] = columns[WORK_LOST]
    sums.counts[1] += steps


@jit
def enter(facts: Facts, room: Room, sums: Sums, censored: int) -> None:
    """One replication into the sums; ``censored`` is the cause of an outage that the horizon cuts off, or -1."""
    columns = room.columns
    causes = FIXED + 2 * facts.budgets + facts.events
    phases = causes + facts.causes
    ratios = phases + facts.phases
    for i in range(room.used[0]):
        place = room.used[1 + i]
        ticks, cause, phase = room.spent[place], place // facts.phases, place % facts.phases
        room.spent[place] = 0
        columns[DOWNTIME] += ticks
        columns[FIXED + facts.budget[cause]] += ticks
        columns[causes + cause] += ticks
        columns[phases + phase] += ticks
        if facts.budget[cause] == facts.software:
            columns[ratios + phase] += ticks - (room.phases[phase] if cause == censored else 0)
    for budget in range(facts.budgets):
        columns[OUTAGES] += columns[FIXED + facts.budgets + budget]
    for column in range(ratios):
        sums.many[column] += columns[column] != 0
        add_product(sums.moments, column, X, columns[column], 1)
        add_product(sums.moments, column, XX, columns[column], columns[column])
    for first in (OTHERS, SOFTWARE):
        many, length = room.finished[SOFTWARE, 0], room.finished[SOFTWARE, 1]
        if first == OTHERS:
            many += room.finished[OTHERS, 0]
            length += room.finished[OTHERS, 1]
        if many:
            add_ratio(sums, ratios + first, length, many * TICKS)
    for phase in range(facts.phases):
        if columns[ratios + phase]:
            add_ratio(sums, ratios + 2 + phase, columns[ratios + phase], room.finished[SOFTWARE, 0] * TICKS)


@jit
def add_ratio(sums: Sums, row: int, x: int, y: int) -> None:
    """One observation of a pair."""
    sums.many[row] += 1
    add_product(sums.moments, row, X, x, 1)
    add_product(sums.moments, row, XX, x, x)
    add_product(sums.moments, row, Y, y, 1)
    add_product(sums.moments, row, YY, y, y)
    add_product(sums.moments, row, XY, x, y)
