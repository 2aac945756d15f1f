"""Folds paths into intervals that tile [0, horizon], and intervals into sums.

One ``Row`` per replication says where its time went; a ``Ledger`` keeps the sums over replications and no
replication itself. An outage that the horizon cuts off is censored: its time counts as downtime, but it is
no finished outage and enters no mean or quantile of outages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from math import fsum

from ksim.errors import InvariantViolation
from ksim.evidence.sums import Histogram, Moments
from ksim.evidence.transition import Layout, Path


@dataclass(slots=True)
class Row:
    """One replication. Seconds of downtime by (cause, phase); the finished outages and their seconds by phase.

    ``earned`` is what each reward earned up to the horizon, ``at_end`` the rate at which it earns there, and
    ``down_at_end`` says whether the service is down there.
    """

    downtime: dict[tuple[str, str], float] = field(default_factory=dict)
    up_s: float = 0.0
    degraded_s: float = 0.0
    started: dict[str, int] = field(default_factory=dict)
    finished: list[tuple[str, float]] = field(default_factory=list)
    finished_downtime: dict[tuple[str, str], float] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)
    work_lost_s: float = 0.0
    down_at_end: bool = False
    earned: dict[str, float] = field(default_factory=dict)
    at_end: dict[str, float] = field(default_factory=dict)


def fold(path: Path, layout: Layout, horizon_s: float) -> Row:
    """The row of one replication. Raises InvariantViolation where the path does not tile [0, horizon]."""
    row = Row()
    down, phases, degraded, events = layout.down, layout.phases, layout.degraded, layout.events
    sources, targets, lost = layout.source, layout.target, layout.work_lost_s
    node, since, cause = layout.entry, 0.0, ""
    current: dict[str, float] = {}
    for time, edge in zip(path.times, path.edges, strict=True):
        if sources[edge] != node or not since <= time <= horizon_s:
            raise InvariantViolation(
                f"transition at {time!r} s leaves {layout.names[sources[edge]]}, but the host is at "
                f"{layout.names[node]} since {since!r} s and the horizon is {horizon_s!r} s"
            )
        target = targets[edge]
        if down[node]:
            phase = phases[node]
            current[phase] = current.get(phase, 0.0) + (time - since)
            if not down[target]:
                _add(row.downtime, cause, current)
                _add(row.finished_downtime, cause, current)
                row.finished.append((cause, fsum(current.values())))
                current = {}
        else:
            if degraded[node]:
                row.degraded_s += time - since
            else:
                row.up_s += time - since
            if down[target]:
                cause = layout.causes[edge]
                row.started[cause] = row.started.get(cause, 0) + 1
        if events[target]:
            row.events[events[target]] = row.events.get(events[target], 0) + 1
        if lost[target]:
            row.work_lost_s += lost[target]
        node, since = target, time
    if down[node]:
        current[phases[node]] = current.get(phases[node], 0.0) + (horizon_s - since)
        _add(row.downtime, cause, current)
        row.down_at_end = True
    elif degraded[node]:
        row.degraded_s += horizon_s - since
    else:
        row.up_s += horizon_s - since
    for name, rates in layout.rewards.items():
        row.earned[name], row.at_end[name] = _earned(path, layout, rates, horizon_s)
    return row


def _earned(path: Path, layout: Layout, rates: tuple[float, ...], horizon_s: float) -> tuple[float, float]:
    """The integral of the rates along the path up to the horizon, and the rate there."""
    targets, rate, since = layout.target, rates[layout.entry], 0.0
    parts = []
    for time, edge in zip(path.times, path.edges, strict=True):
        parts.append(rate * (time - since))
        rate, since = rates[targets[edge]], time
    parts.append(rate * (horizon_s - since))
    return fsum(parts), rate


def _add(sums: dict[tuple[str, str], float], cause: str, phases: dict[str, float]) -> None:
    for phase, seconds in phases.items():
        key = (cause, phase)
        sums[key] = sums.get(key, 0.0) + seconds


def columns(row: Row, budgets: Mapping[str, str]) -> dict[str, float]:
    """The row as named numbers, seconds and counts, whose means over replications are the measures.

    ``struck`` is 1 where an outage began within the horizon, ``down_at_end`` where one lasts there: their means are
    probabilities.
    """
    found: dict[str, float] = {
        "downtime": 0.0,
        "up": row.up_s,
        "degraded": row.degraded_s,
        "work_lost": row.work_lost_s,
    }
    for (cause, phase), seconds in row.downtime.items():
        for name in _names(budgets[cause], cause, phase):
            found[name] = found.get(name, 0.0) + seconds
    for event, count in row.events.items():
        found[f"event:{event}"] = count
    for cause, count in row.started.items():
        for name in ("outages", f"{budgets[cause]}_outages", f"outages:cause={cause}"):
            found[name] = found.get(name, 0.0) + count
    if row.started:
        found["struck"] = 1.0
    if row.down_at_end:
        found["down_at_end"] = 1.0
    for name, value in row.earned.items():
        found[f"earned:{name}"], found[f"at_end:{name}"] = value, row.at_end[name]
    return found


@cache
def _names(budget: str, cause: str, phase: str) -> tuple[str, ...]:
    """The columns that a stretch of downtime counts for."""
    return "downtime", f"{budget}_downtime", f"downtime:cause={cause}", f"downtime:phase={phase}"


GROUPS = ("", "software_")
"""Outages are also described for software alone: one repair of hardware lasts as long as fifty panics."""
PER_OUTAGE = ("up", "degraded")
"""Columns that are also kept as a ratio to the outages that began: the mean time between outages, in two parts."""


@dataclass
class Ledger:
    """Sums over replications; its size depends on the number of causes and phases, not of replications.

    ``means``: moments of columns. ``ratios``: moments of (seconds in finished outages, number of them), for
    outages of software by phase, too; and of (PER_OUTAGE, outages that began).
    ``lengths``: histograms of finished outages. ``censored``: outages cut off by the horizon.
    """

    budgets: Mapping[str, str]
    replications: int = 0
    means: dict[str, Moments] = field(default_factory=dict)
    ratios: dict[str, Moments] = field(default_factory=dict)
    lengths: dict[str, Histogram] = field(default_factory=lambda: {group: Histogram({}) for group in GROUPS})
    events: dict[str, int] = field(default_factory=dict)
    censored: int = 0

    def __post_init__(self) -> None:
        self._members = {
            group: {cause: group in ("", f"{budget}_") for cause, budget in self.budgets.items()} for group in GROUPS
        }

    def add(self, row: Row) -> dict[str, float]:
        """Enters one replication; returns its columns, for paired differences."""
        self.replications += 1
        began = sum(row.started.values())
        self.censored += began - len(row.finished)
        found = columns(row, self.budgets)
        for name, value in found.items():
            if value:
                self.means.setdefault(name, Moments()).add(value)
        for name in PER_OUTAGE:
            self.ratios.setdefault(f"{name} per outage", Moments()).add(found[name], began)
        for group in GROUPS:
            self._add_finished(row, group)
        for event, count in row.events.items():
            self.events[event] = self.events.get(event, 0) + count
        return found

    def _add_finished(self, row: Row, group: str) -> None:
        member = self._members[group]
        lengths = [length for cause, length in row.finished if member[cause]]
        if not lengths:
            return
        for length in lengths:
            self.lengths[group].add(length)
        self.ratios.setdefault(f"{group}outage", Moments()).add(fsum(lengths), len(lengths))
        if group:
            phases: dict[str, float] = {}
            for (cause, phase), spent in row.finished_downtime.items():
                if member[cause]:
                    phases[phase] = phases.get(phase, 0.0) + spent
            for phase, spent in phases.items():
                self.ratios.setdefault(f"{group}outage:phase={phase}", Moments()).add(spent, len(lengths))

    def merge(self, other: Ledger) -> None:
        self.replications += other.replications
        self.censored += other.censored
        for mine, theirs in ((self.means, other.means), (self.ratios, other.ratios)):
            for name, moments in theirs.items():
                mine.setdefault(name, Moments()).merge(moments)
        for group in GROUPS:
            self.lengths[group].merge(other.lengths[group])
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

    def per_outage(self, name: str) -> Moments:
        """Moments of (column ``name`` of PER_OUTAGE, outages that began) over all replications."""
        return self.ratios.get(f"{name} per outage", Moments())
