"""Which parameters decide what a kexec restart saves against a full BIOS reboot, and which of them nobody measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ksim.model.loader import Loaded
from ksim.report.experiment import main
from ksim.report.figure import bars
from ksim.report.rows import Row
from ksim.study.compare import COMPARED, Study
from ksim.study.experiment import Experiment, Point
from ksim.study.pool import Progress
from ksim.study.sweep.assumed import plan_at_random, plan_over
from ksim.study.sweep.plan import How
from ksim.study.sweep.sweep import rows_of_plan

OUTAGE, YEAR = "software_outage_s_mean", "software_downtime_min_per_year"
BIOS, KEXEC = "full_reboot", "kexec_reboot"
HOW = How(strategies=COMPARED, measures=(OUTAGE, YEAR), engine="exact")
TOP = 10
TOGETHER = "all at random"
POINTS = 256


def sweeps(loaded: Mapping[str, Loaded], workers: int | None, progress: Progress | None) -> Study:
    """Every parameter with a range at both of its ends, alone; then all that are numbers together."""
    (own,) = loaded.values()
    alone, _ = plan_over(own, HOW, own.params, own.scenario.name)
    together, no_numbers = plan_at_random(own, HOW, own.params, own.scenario.name, POINTS, own.scenario.seed)
    rows = []
    for row in rows_of_plan(alone, workers, progress):
        key, value = next(((key, row[key]) for key in alone.columns if row[key]), ("", ""))
        rows.append(_row(row, alone.columns, key, value, _basis(own, key)))
    place = {point.parameters: str(i + 1) for i, (_, point) in enumerate(together.points)}
    for row in rows_of_plan(together, workers, progress):
        point = place[tuple((key, row[key]) for key in together.columns)]
        rows.append(_row(row, together.columns, TOGETHER, point, ""))
    notes = [f"{len(together.columns)} parameters are moved together, the other {len(no_numbers)} are no numbers"]
    return Study(rows, {}, notes)


def _row(row: Row, columns: Sequence[str], parameter: str, value: str, basis: str) -> Row:
    rest = {key: cell for key, cell in row.items() if key not in columns}
    return {"parameter": parameter, "value": value, "basis": basis} | rest


def _basis(loaded: Loaded, key: str) -> str:
    if not key:
        return ""
    return "assumed" if loaded.params[key].source.is_assumed else "published"


def savings(rows: Sequence[Row], measure: str) -> dict[tuple[str, str], list[float]]:
    """What kexec saves, by (parameter, value) and, for all at random, point by point."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        if row["measure"] == measure and not row["baseline"]:
            found.setdefault((row["parameter"], row["value"]), {})[row["strategy"]] = row["estimate"]
    return {key: [own[BIOS] - own[KEXEC], *(own[name] for name in COMPARED)] for key, own in found.items()}


def ranked(rows: Sequence[Row], measure: str) -> list[tuple[str, str, float, float]]:
    """(parameter, basis, least, most saved) by how far each moves what kexec saves, the farthest first."""
    saved = savings(rows, measure)
    basis = {row["parameter"]: row["basis"] for row in rows}
    ends: dict[str, list[float]] = {}
    for (parameter, _), values in saved.items():
        if parameter and parameter != TOGETHER:
            ends.setdefault(parameter, [saved["", ""][0]]).append(values[0])
    found = [(name, basis[name], min(values), max(values)) for name, values in ends.items()]
    return sorted(found, key=lambda line: line[2] - line[3])


def finds(rows: Sequence[Row]) -> list[str]:
    hosts = list(dict.fromkeys(row["scenario"] for row in rows))
    own = {host: [row for row in rows if row["scenario"] == host] for host in hosts}
    found = [_deciders(host, own[host]) for host in hosts]
    found += [_flips(host, own[host]) for host in hosts]
    found += [_together(host, own[host]) for host in hosts]
    return found


def _deciders(host: str, rows: Sequence[Row]) -> str:
    top = ranked(rows, OUTAGE)[:TOP]
    base = savings(rows, OUTAGE)["", ""][0]
    names = ", ".join(f"{name}{'*' if basis == 'assumed' else ''} ({a:.0f} to {b:.0f} s)" for name, basis, a, b in top)
    unmeasured = sum(basis == "assumed" for _, basis, _, _ in top)
    return (
        f"{host}: kexec_reboot saves {base:.0f} s per software outage against full_reboot. Ten parameters decide how "
        f"much: {names}. Nobody ever measured {unmeasured} of them (*)."
    )


def _flips(host: str, rows: Sequence[Row]) -> str:
    saved = savings(rows, YEAR)
    best = _best(saved["", ""])
    flips = [
        f"{parameter}={value} ({_best(values)})"
        for (parameter, value), values in saved.items()
        if parameter not in ("", TOGETHER) and _best(values) != best
    ]
    turned = f"it is another with {', '.join(flips)}" if flips else "no parameter alone changes that"
    return f"{host}: the strategy with the least software downtime is {best}; {turned}."


def _together(host: str, rows: Sequence[Row]) -> str:
    values = [own for (parameter, _), own in savings(rows, YEAR).items() if parameter == TOGETHER]
    wins = {name: sum(_best(own) == name for own in values) for name in COMPARED}
    saves = sum(own[0] > 0.0 for own in values)
    shares = ", ".join(f"{name} {many} times" for name, many in wins.items() if many)
    return (
        f"{host}: with all numbers drawn from their ranges together, kexec_reboot has less software downtime than "
        f"full_reboot {saves} times of {len(values)}; the best of all is {shares}."
    )


def _best(values: Sequence[float]) -> str:
    costs = dict(zip(COMPARED, values[1:], strict=True))
    return min(costs, key=lambda name: costs[name])


def draws(rows: Sequence[Row], title: str) -> Any:
    """The ten of each host as bars from the least to the most that kexec saves."""
    hosts = list(dict.fromkeys(row["scenario"] for row in rows))
    values = [
        {"panel": host, "name": name, "low": low, "high": high, "kind": basis}
        for host in hosts
        for name, basis, low, high in ranked([row for row in rows if row["scenario"] == host], OUTAGE)[:TOP]
    ]
    return bars(values, title, "seconds that a kexec restart saves per software outage")


EXPERIMENT = Experiment(
    name="e13_sensitivity",
    question="Which ten parameters decide what a kexec restart saves, and which of them has nobody ever measured?",
    scenarios=("rack-server", "vm", "large-memory"),
    expectation=(
        "the firmware's time decides on bare metal, and the chance that the kexec succeeds, which nobody has "
        "published; in a virtual machine nothing is saved whatever the parameters; kdump's own parameters do not "
        "matter to the comparison of kexec_reboot with full_reboot."
    ),
    points=(Point({"parameter": "", "value": "", "basis": ""}, (), observes=sweeps),),
    engine="exact",
    finds=finds,
    draws=draws,
)

if __name__ == "__main__":
    main(EXPERIMENT)
