"""What a ledger leaves out, for questions about one member of a model: events, rewards, what is at the horizon.

An ``Account`` folds paths as a ledger does, and holds one; besides, it keeps moments of further columns, by name:

up                 ticks with the service fully up
struck             1 where an outage began within the horizon: its mean is a probability
spared             1 where none did
down_at_end        1 where an outage lasts at the horizon
outages:cause=C    outages of that cause that began
earned:R, at_end:R what the reward R earned up to the horizon, and the level at which it stands there
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import fsum

from ksim.evidence.ledger import Ledger, Row, columns, fold
from ksim.evidence.sums import TICKS, Moments, ticks
from ksim.evidence.transition import Layout, Path

PER_OUTAGE = ("up", "degraded")
"""Columns that are also kept as a ratio to the outages that began: the mean time between outages, in two parts."""


@dataclass
class Account:
    """Sums over replications of one graph and horizon; ``per_outage`` holds moments of (column, outages that began)."""

    layout: Layout
    horizon_s: float
    ledger: Ledger = field(init=False)
    means: dict[str, Moments] = field(default_factory=dict)
    per_outage: dict[str, Moments] = field(default_factory=lambda: {name: Moments() for name in PER_OUTAGE})

    def __post_init__(self) -> None:
        self.ledger = Ledger(dict(self.layout.budgets))

    def add(self, path: Path) -> None:
        """Enters one replication."""
        row = fold(path, self.layout, self.horizon_s)
        found = columns(row, self.layout.budgets) | self._further(row, path)
        for name, value in found.items():
            if value:
                self.means.setdefault(name, Moments()).add_ticks(value)
        began = sum(row.started.values()) * TICKS
        for name, moments in self.per_outage.items():
            moments.add_ticks(found[name], began)
        self.ledger.add(row)

    def _further(self, row: Row, path: Path) -> dict[str, int]:
        found = {"up": ticks(self.horizon_s) - sum(row.downtime.values()) - row.degraded}
        found["struck" if row.started else "spared"] = TICKS
        found["down_at_end"] = (sum(row.started.values()) - len(row.finished)) * TICKS
        for cause, count in row.started.items():
            found[f"outages:cause={cause}"] = count * TICKS
        for name, rates in self.layout.rewards.items():
            found[f"earned:{name}"], found[f"at_end:{name}"] = earned(path, self.layout, rates, self.horizon_s)
        return found

    def merge(self, other: Account) -> None:
        self.ledger.merge(other.ledger)
        for mine, theirs in ((self.means, other.means), (self.per_outage, other.per_outage)):
            for name, moments in theirs.items():
                mine.setdefault(name, Moments()).merge(moments)

    def column(self, name: str) -> Moments:
        """Moments of a column over all replications; where it has no entry it was zero."""
        found = self.means.get(name, Moments())
        return Moments(self.ledger.replications, found.x, found.xx)


def earned(path: Path, layout: Layout, rates: tuple[float, ...], horizon_s: float) -> tuple[int, int]:
    """The integral of the rates along the path up to the horizon, and the rate there, in ticks: 1e-6 of the unit."""
    targets, rate, since = layout.target, rates[layout.entry], 0.0
    parts = []
    for time, edge in zip(path.times, path.edges, strict=True):
        parts.append(rate * (time - since))
        rate, since = rates[targets[edge]], time
    parts.append(rate * (horizon_s - since))
    return ticks(fsum(parts)), ticks(rate)
