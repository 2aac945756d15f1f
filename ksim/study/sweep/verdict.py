"""What a sweep says: who is best at each point, and what each factor moves.

One factor at a time: the measure from its lowest to its highest value, and whether another alternative wins there.
Morris (1991): mu* (mean size of elementary effects) and sigma; Sobol' (1993), Saltelli et al. (2010): shares of
the variance, first order and total. Both by SALib, with bootstrapped intervals of 95 %.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ksim.study.compare import Row
from ksim.study.sweep.designs import MORRIS_LEVELS, Point, problem, unit_points
from ksim.study.sweep.plan import HOST, Host, How, Plan, alternatives

HIGHER_IS_BETTER = ("availability", "vmcore_captured")
OBJECTIVE = "software_downtime_min_per_year"
RESAMPLES = 200
"""Bootstrap samples behind the intervals of indices."""
SHARES = ("first order", "total")
FLAT = 1e-12
"""A variance or effect below this share of the level is rounding."""


@dataclass(frozen=True, slots=True)
class Influence:
    """A table of factors, the strongest first, and what follows from it."""

    title: str
    head: tuple[str, ...]
    lines: tuple[tuple[str, tuple[str, ...]], ...]
    says: tuple[str, ...] = ()


def objective_of(how: How) -> str:
    """The measure that decides: software downtime where it is asked for, else the first."""
    return OBJECTIVE if OBJECTIVE in how.measures else how.measures[0]


@dataclass(frozen=True, slots=True)
class Winner:
    """The best alternatives of a point, several where they are equal; ``is_sure``: no interval reaches the best."""

    names: tuple[str, ...]
    is_sure: bool


def winners(
    rows: Sequence[Row], columns: Sequence[str], measure: str, names: Sequence[str]
) -> dict[tuple[str, ...], Winner]:
    """The best of the alternatives ``names`` by point, where all of them have an exact value or all a sampled one."""
    if len(names) < 2:
        return {}
    points: dict[tuple[str, ...], dict[tuple[str, bool], Row]] = {}
    for row in rows:
        if row["measure"] == measure and not row["baseline"]:
            point = points.setdefault(tuple(row[column] for column in columns), {})
            point[row["strategy"], row["method"] == "exact"] = row
    found = {}
    for values, own in points.items():
        for is_exact in (True, False):
            if all((name, is_exact) in own for name in names):
                found[values] = _winner({name: own[name, is_exact] for name in names}, measure)
                break
    return found


def _winner(own: Mapping[str, Row], measure: str) -> Winner:
    sign = -1.0 if measure in HIGHER_IS_BETTER else 1.0
    values = {name: sign * row["estimate"] for name, row in own.items()}
    best = min(values.values())
    names = tuple(name for name, value in values.items() if value == best)
    reach = [value - (own[name]["half_width"] or 0.0) for name, value in values.items() if name not in names]
    upper = best + max(own[name]["half_width"] or 0.0 for name in names)
    return Winner(names, all(value > upper for value in reach))


def exact_first(rows: Sequence[Row]) -> list[Row]:
    """Rows such that a later one of the same measure is the exact one."""
    return sorted(rows, key=lambda row: row["method"] == "exact")


def influences(plan: Plan, rows: Sequence[Row], measure: str) -> Iterator[Influence]:
    """By host and alternative, for designs that can tell."""
    kind = plan.design.kind
    for host in plan.hosts:
        own = exact_first([row for row in rows if len(plan.hosts) == 1 or row[HOST] == host.name])
        if kind == "one-at-a-time":
            yield from _one_at_a_time(plan, host, own, measure)
        elif kind in ("morris", "sobol-indices"):
            names = alternatives(plan.how) or tuple(dict.fromkeys(row["strategy"] for row in own))
            for name in names:
                values = _values(plan, host, own, measure, name)
                if values is not None:
                    yield (_morris if kind == "morris" else _sobol)(plan, host, values, f"{name}: {measure}")


def _values(plan: Plan, host: Host, rows: Sequence[Row], measure: str, name: str) -> Any:
    """The measure at each point of a host, in the order of the design; None unless all are there."""
    found = {
        tuple(row[f.key] for f in host.factors): row["estimate"]
        for row in rows
        if row["measure"] == measure and row["strategy"] == name and not row["baseline"]
    }
    points = [tuple(text for _, text in point.parameters) for owner, point in plan.points if owner is host]
    values = [found.get(point) for point in points]
    return None if None in values else np.array(values, dtype=np.float64)


def _morris(plan: Plan, host: Host, values: Any, title: str) -> Influence:
    from SALib.analyze import morris

    k = len(host.factors)
    found = morris.analyze(
        problem(k), unit_points(plan.design, k), values,
        num_levels=MORRIS_LEVELS, num_resamples=RESAMPLES, seed=plan.design.seed,
    )  # fmt: skip
    order = sorted(range(k), key=lambda i: -found["mu_star"][i])
    lines = (
        (
            host.factors[i].key,
            (
                f"{found['mu_star'][i]:.4g} ± {found['mu_star_conf'][i]:.2g}",
                f"{found['mu'][i]:.4g}",
                f"{found['sigma'][i]:.4g}",
            ),
        )
        for i in order
    )
    says = f"From end to end of its range alone, {host.factors[order[0]].key} moves it most."
    return Influence(f"{title}, elementary effects", ("mu*", "mu", "sigma"), tuple(lines), (says,))


def _sobol(plan: Plan, host: Host, values: Any, title: str) -> Influence:
    from SALib.analyze import sobol

    k = len(host.factors)
    if np.ptp(values) <= FLAT * np.max(np.abs(values)):
        return Influence(
            f"{title}, shares of the variance", ("first order", "total"), (), ("It is the same everywhere.",)
        )
    found = sobol.analyze(
        problem(k), values, calc_second_order=False, num_resamples=RESAMPLES, seed=plan.design.seed
    )  # fmt: skip
    order = sorted(range(k), key=lambda i: -found["ST"][i])
    lines = (
        (
            host.factors[i].key,
            tuple(f"{found[name][i]:.3f} ± {found[f'{name}_conf'][i]:.2g}" for name in ("S1", "ST")),
        )
        for i in order
    )
    says = f"{host.factors[order[0]].key} has the largest share of the variance."
    return Influence(f"{title}, shares of the variance", SHARES, tuple(lines), (says,))


def _one_at_a_time(plan: Plan, host: Host, rows: Sequence[Row], measure: str) -> Iterator[Influence]:
    """How far the measure moves with each factor, and which factors make another alternative the best."""
    points = [point for owner, point in plan.points if owner is host]
    lines = {point: _of_point(plan, rows, point, measure) for point in points}
    base = lines[points[0]]
    if not base:
        return
    best = _best(base, measure)
    moves = []
    for factor in host.factors:
        own = {dict(point.parameters)[factor.key]: lines[point] for point in points[1:] if lines[point]}
        own.pop("", None)
        if own:
            moves.append(_move(factor.key, base, own, best, measure))
    moves.sort(key=lambda move: (not move.turned, -move.span, -move.widest))
    still = [move.key for move in moves if move.widest <= FLAT * abs(base[best])]
    says = [f"Nothing comes of {', '.join(still)}."] if still else []
    if len(base) > 1:
        says.append(_conclusion(best, [move for move in moves if move.turned]))
    yield Influence(
        f"{host.name + ', ' if len(plan.hosts) > 1 else ''}{best}: {measure} is {base[best]:.4g}; one factor at a time",
        ("lowest", "highest", "moves it by", *(("least lead", "another is best") if len(base) > 1 else ())),
        tuple((move.key, move.cells(len(base) > 1)) for move in moves if move.key not in still),
        tuple(says),
    )


@dataclass(frozen=True, slots=True)
class Move:
    """What one factor does: ends of the measure of the best alternative, its least lead, and who wins elsewhere.

    ``widest``: by how much it moves the measure of any alternative.
    """

    key: str
    low: float
    high: float
    widest: float
    lead: float
    turned: Mapping[str, str]

    @property
    def span(self) -> float:
        return self.high - self.low

    def cells(self, is_compared: bool) -> tuple[str, ...]:
        found = (f"{self.low:.4g}", f"{self.high:.4g}", f"{self.span:.3g}")
        if not is_compared:
            return found
        turned = "; ".join(f"{name} at {value}" for value, name in self.turned.items())
        return (*found, f"{self.lead:.3g}", turned or "-")


def _move(key: str, base: Mapping[str, float], own: Mapping[str, Mapping[str, float]], best: str, measure: str) -> Move:
    lines = [base, *own.values()]
    values = [line[best] for line in lines if best in line]
    sign = -1.0 if measure in HIGHER_IS_BETTER else 1.0
    leads = [
        sign * (rival - line[best]) for line in lines for name, rival in line.items() if name != best and best in line
    ]
    spans = [max(found) - min(found) for name in base if (found := [line[name] for line in lines if name in line])]
    winners = {value: _best(line, measure) for value, line in own.items()}
    turned = {value: name for value, name in winners.items() if name != best}
    return Move(key, min(values), max(values), max(spans), min(leads, default=0.0), turned)


def _of_point(plan: Plan, rows: Sequence[Row], point: Point, measure: str) -> dict[str, float]:
    own = dict(point.parameters)
    return {
        row["strategy"]: row["estimate"]
        for row in rows
        if row["measure"] == measure and not row["baseline"] and all(row[key] == text for key, text in own.items())
    }


def _best(values: Mapping[str, float], measure: str) -> str:
    choose = max if measure in HIGHER_IS_BETTER else min
    return choose(values, key=lambda name: values[name])


def _conclusion(best: str, flips: Sequence[Move]) -> str:
    if not flips:
        return f"{best} is the best wherever one of them is moved alone: none of them flips the conclusion."
    names = ", ".join(move.key for move in flips)
    return f"{best} is the best as it stands; {len(flips)} of them could flip that: {names}."
