"""Folds paths into intervals that tile [0, horizon], and intervals into sums.

One ``Row`` per replication says where its time went; a ``Ledger`` keeps the sums over replications and no
replication itself. An outage that the horizon cuts off is censored: its time counts as downtime, but it is
no finished outage and enters no mean or quantile of outages.

Every transition is rounded to ticks of 2^-20 s (``ksim.evidence.sums``), and from there on all is whole numbers: the
parts add up to the horizon exactly, and no reader, order or number of workers can come to another sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from ksim.errors import InvariantViolation
from ksim.evidence.sums import TICKS, Histogram, Moments, seconds, ticks
from ksim.evidence.transition import Layout, Path
from ksim.units import YEAR_S


@dataclass(slots=True)
class Row:
    """One replication, in ticks: downtime by (cause, phase); the finished outages and their time by phase.

    ``first_year``: downtime within the first year by cause, where the horizon is a year or more.
    """

    downtime: dict[tuple[str, str], int] = field(default_factory=dict)
    degraded: int = 0
    started: dict[str, int] = field(default_factory=dict)
    finished: list[tuple[str, int]] = field(default_factory=list)
    finished_downtime: dict[tuple[str, str], int] = field(default_factory=dict)
    first_year: dict[str, int] | None = None
    events: dict[str, int] = field(default_factory=dict)
    work_lost: int = 0

    @property
    def down_s(self) -> float:
        """All downtime, in seconds."""
        return seconds(sum(self.downtime.values()))

    @property
    def outages_s(self) -> list[float]:
        """Lengths of the finished outages, in seconds."""
        return [seconds(length) for _, length in self.finished]


YEAR = ticks(YEAR_S)


def fold(path: Path, layout: Layout, horizon_s: float) -> Row:
    """The row of one replication. Raises InvariantViolation where the path does not tile [0, horizon]."""
    row = Row(first_year={} if horizon_s >= YEAR_S else None)
    down, degraded, events = layout.down, layout.degraded, layout.events
    sources, targets, lost = layout.source, layout.target, layout.work_lost_s
    node, since, since_s, cause = layout.entry, 0, 0.0, ""
    current: dict[str, int] = {}
    for time, edge in zip(path.times, path.edges, strict=True):
        if sources[edge] != node or not since_s <= time <= horizon_s:
            raise InvariantViolation(
                f"transition at {time!r} s leaves {layout.names[sources[edge]]}, but the host is at "
                f"{layout.names[node]} since {since_s!r} s and the horizon is {horizon_s!r} s"
            )
        target, now = targets[edge], round(time * TICKS)
        if down[node]:
            _is_down(row, cause, layout.phases[node], since, now, current)
            if not down[target]:
                _add(row.downtime, cause, current)
                _add(row.finished_downtime, cause, current)
                row.finished.append((cause, sum(current.values())))
                current = {}
        else:
            if degraded[node]:
                row.degraded += now - since
            if down[target]:
                cause = layout.causes[edge]
                row.started[cause] = row.started.get(cause, 0) + 1
        if events[target]:
            row.events[events[target]] = row.events.get(events[target], 0) + 1
        if lost[target]:
            row.work_lost += ticks(lost[target])
        node, since, since_s = target, now, time
    end = ticks(horizon_s)
    if down[node]:
        _is_down(row, cause, layout.phases[node], since, end, current)
        _add(row.downtime, cause, current)
    elif degraded[node]:
        row.degraded += end - since
    return row


def _is_down(row: Row, cause: str, phase: str, since: int, now: int, current: dict[str, int]) -> None:
    current[phase] = current.get(phase, 0) + now - since
    if since < YEAR and row.first_year is not None:
        row.first_year[cause] = row.first_year.get(cause, 0) + min(now, YEAR) - since


def _add(sums: dict[tuple[str, str], int], cause: str, phases: dict[str, int]) -> None:
    for phase, spent in phases.items():
        key = (cause, phase)
        sums[key] = sums.get(key, 0) + spent


def columns(row: Row, budgets: Mapping[str, str]) -> dict[str, int]:
    """The row as named numbers in ticks (counts, too), whose means over replications are the measures."""
    found: dict[str, int] = {"downtime": 0, "degraded": row.degraded, "work_lost": row.work_lost}
    for (cause, phase), spent in row.downtime.items():
        for name in _names(budgets[cause], cause, phase):
            found[name] = found.get(name, 0) + spent
    for event, count in row.events.items():
        found[f"event:{event}"] = count * TICKS
    for cause, count in row.started.items():
        for name in ("outages", f"{budgets[cause]}_outages"):
            found[name] = found.get(name, 0) + count * TICKS
    return found


@cache
def _names(budget: str, cause: str, phase: str) -> tuple[str, ...]:
    """The columns that a stretch of downtime counts for."""
    return "downtime", f"{budget}_downtime", f"downtime:cause={cause}", f"downtime:phase={phase}"


GROUPS = ("", "software_")
"""Outages are also described for software alone: one repair of hardware lasts as long as fifty panics."""


NINES = {"five": 1e-5, "four": 1e-4, "three": 1e-3}
"""Shares of a year that a host of so many nines may be down."""
LIMITS = {nines: ticks(share * YEAR_S) for nines, share in NINES.items()}


@dataclass
class Ledger:
    """Sums over replications; its size depends on the number of causes and phases, not of replications.

    ``means``: moments of columns. ``ratios``: moments of (seconds in finished outages, number of them), for
    outages of software by phase, too. ``lengths``: histograms of finished outages. ``censored``: outages cut off by the
    horizon. ``years``: histograms of the downtime in the first year, ``missed``: how many of these years had more than
    ``LIMITS``; both stay empty where the horizon is shorter.
    """

    budgets: Mapping[str, str]
    replications: int = 0
    means: dict[str, Moments] = field(default_factory=dict)
    ratios: dict[str, Moments] = field(default_factory=dict)
    lengths: dict[str, Histogram] = field(default_factory=lambda: {group: Histogram({}) for group in GROUPS})
    years: dict[str, Histogram] = field(default_factory=lambda: {group: Histogram({}) for group in GROUPS})
    missed: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LIMITS, 0))
    events: dict[str, int] = field(default_factory=dict)
    censored: int = 0

    def __post_init__(self) -> None:
        self._members = {
            group: {cause: group in ("", f"{budget}_") for cause, budget in self.budgets.items()} for group in GROUPS
        }

    def add(self, row: Row) -> dict[str, int]:
        """Enters one replication; returns its columns, for paired differences."""
        self.replications += 1
        self.censored += sum(row.started.values()) - len(row.finished)
        found = columns(row, self.budgets)
        for name, value in found.items():
            if value:
                self.means.setdefault(name, Moments()).add_ticks(value)
        for group in GROUPS:
            self._add_finished(row, group)
        if row.first_year is not None:
            self._add_year(row.first_year)
        for event, count in row.events.items():
            self.events[event] = self.events.get(event, 0) + count
        return found

    def _add_finished(self, row: Row, group: str) -> None:
        member = self._members[group]
        lengths = [length for cause, length in row.finished if member[cause]]
        if not lengths:
            return
        for length in lengths:
            self.lengths[group].add(seconds(length))
        many = len(lengths) * TICKS
        self.ratios.setdefault(f"{group}outage", Moments()).add_ticks(sum(lengths), many)
        if group:
            phases: dict[str, int] = {}
            for (cause, phase), spent in row.finished_downtime.items():
                if member[cause]:
                    phases[phase] = phases.get(phase, 0) + spent
            for phase, spent in phases.items():
                if spent:
                    self.ratios.setdefault(f"{group}outage:phase={phase}", Moments()).add_ticks(spent, many)

    def _add_year(self, first_year: Mapping[str, int]) -> None:
        for group, member in self._members.items():
            self.years[group].add(seconds(sum(spent for cause, spent in first_year.items() if member[cause])))
        whole = sum(first_year.values())
        for nines, limit in LIMITS.items():
            self.missed[nines] += whole > limit

    def merge(self, other: Ledger) -> None:
        self.replications += other.replications
        self.censored += other.censored
        for mine, theirs in ((self.means, other.means), (self.ratios, other.ratios)):
            for name, moments in theirs.items():
                mine.setdefault(name, Moments()).merge(moments)
        for group in GROUPS:
            self.lengths[group].merge(other.lengths[group])
            self.years[group].merge(other.years[group])
        for nines, count in other.missed.items():
            self.missed[nines] += count
        for event, count in other.events.items():
            self.events[event] = self.events.get(event, 0) + count

    def column(self, name: str) -> Moments:
        """Moments of a column over all replications; where it has no entry it was zero."""
        found = self.means.get(name, Moments())
        return Moments(self.replications, found.x, found.xx)

    def ratio(self, name: str, group: str) -> Moments:
        """Moments of (seconds ``name``, finished outages of ``group``) over all replications."""
        found, whole = self.ratios.get(name, Moments()), self.ratios.get(f"{group}outage", Moments())
        return Moments(self.replications, found.x, found.xx, whole.y, whole.yy, found.xy)
