"""What the numbers mean, in two sentences made from the rows."""

from __future__ import annotations

from ksim.model.loader import Loaded
from ksim.report.rows import Lookup, Row
from ksim.study.compare import Study
from ksim.units import show_duration


def meaning(loaded: Loaded, study: Study) -> list[str]:
    """Two sentences: the cost of one software outage by strategy, and what the choice is worth in a year."""
    rows, names = Lookup(study.rows), list(study.lifecycles)
    per_outage = {name: rows.best(name, "software_outage_s_mean") for name in names}
    if len(names) < 2 or any(row is None for row in per_outage.values()):
        return []
    lengths = {name: row["estimate"] for name, row in per_outage.items() if row is not None}
    ranked = sorted(names, key=lambda name: lengths[name])
    # the shorter outage need not cost less in a year: settings also decide how many outages there are
    per_year = {name: row["estimate"] for name in names if (row := rows.best(name, "software_downtime_min_per_year"))}
    by_cost = sorted(per_year, key=lambda name: per_year[name])
    best, worst, baseline = by_cost[0], by_cost[-1], names[0]
    first = (
        f"On {loaded.scenario.name} a kernel failure keeps the service away for "
        + ", ".join(f"{show_duration(lengths[name])} with {name}" for name in ranked)
        + "."
    )
    difference = "software_downtime_min_per_year_difference"
    saved = rows.sampled(best, difference) or rows.exact(best, difference)
    if best == baseline or saved is None:
        other = rows.sampled(worst, difference) or rows.exact(worst, difference)
        second = (
            f"No other {study.alternatives} beats {best}: {worst} costs {_change(other)} more a year"
            if other
            else "They tie"
        )
    else:
        second = f"Against {baseline}, {best} saves {_change(saved)} of software downtime a year"
        if _undecided(saved):
            second = f"Against {baseline}, no difference of {best} can be told from chance ({_change(saved)} a year)"
    hardware = rows.best(best, "hardware_downtime_min_per_year")
    captured = rows.best(best, "vmcore_captured")
    if hardware is not None and hardware["estimate"] > 0.0:
        second += f"; hardware takes {hardware['estimate']:.3g} min a year with it"
    if captured is not None:
        share = captured["estimate"]
        second += f", and {best} saves " + (f"a vmcore of {share:.0%} of the panics" if share else "no vmcore")
    return [first, second + "."]


def _change(row: Row) -> str:
    half = "" if not row["half_width"] else f" ± {row['half_width']:.2g}"
    return f"{abs(row['estimate']):.3g}{half} min"


def _undecided(row: Row) -> bool:
    return row["half_width"] is None or abs(row["estimate"]) <= row["half_width"]
