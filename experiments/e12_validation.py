"""Published models and closed forms, asked of ksim's own readers; each line of e12_published.csv is one number."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ksim.report.claims import drawn, member_of, sentences, told
from ksim.report.experiment import main
from ksim.report.rows import Row
from ksim.study.claims import Finding, ask, claims_of, findings_of, members_of
from ksim.study.experiment import Experiment, Point

FOLDER = Path(__file__).parent


def points() -> tuple[Point, ...]:
    """One per member of a family that the published numbers are about."""
    found = []
    for (model, scenario, overrides), claims in members_of(claims_of(FOLDER / "e12_published.csv")).items():
        parameters = {"model": model, "member": "; ".join(text.removeprefix("lifecycle.") for text in overrides)}
        path = str(FOLDER / "scenarios" / f"{scenario}.toml")
        found.append(Point(parameters, overrides, path, partial(ask, claims)))
    return tuple(found)


def finds(rows: Sequence[Row]) -> list[str]:
    """What was reproduced, model by model, and what is behind that which was not."""
    findings = findings_of(rows, member_of)
    return [*sentences(rows), _laws_of_lanl(findings), _intervals(findings), _actuators(findings)]


def _laws_of_lanl(findings: Sequence[Finding]) -> str:
    """How far a lognormal law is from the repair times it was fitted to."""
    repairs = [f for f in findings if f.model in ("B17", "B21")]
    by_fit = [f for f in repairs if not any(text in f.member for text in ("median=60 min", "median=33 min"))]

    def range_of(quantity: str, of: Sequence[Finding]) -> str:
        ratios = [1.0 + f.difference for f in of if f.quantity == quantity and f.difference is not None]
        return f"{min(ratios):.2f} to {max(ratios):.2f}"

    through = [f for f in repairs if "median=60 min" in f.member and f.quantity == "outage, squared variation"]
    variation = "outage, squared variation"
    return (
        f"LANL's repair times: the lognormal laws fitted to them have {range_of('outage quantile: 0.5', by_fit)} times "
        f"the measured median, {range_of('outage', by_fit)} times the mean and {range_of(variation, by_fit)} times the "
        f"squared variation. A lognormal law through median and mean has {1.0 + (through[0].difference or 0.0):.2f} "
        f"times the squared variation: the data have a heavier tail."
    )


def _intervals(findings: Sequence[Finding]) -> str:
    young, daly = sorted(
        (abs(f.difference or 0.0) for f in findings if f.model == "V9" and f.published is not None), reverse=True
    )
    return (
        f"Young's checkpoint interval, of first order, is {100.0 * young:.2g} % off the one at which least is lost; "
        f"Daly's, of the next order, {100.0 * daly:.1g} %."
    )


def _actuators(findings: Sequence[Finding]) -> str:
    """The one number of the benchmark set that is not used, since its property asks for something else."""
    first = "P(first outage in the horizon by): "
    one = {f.quantity.removeprefix(first): f for f in reversed(findings) if f.quantity.startswith(first)}
    published, exact = one["sensors"].published, one["actuators"].exact
    assert published is not None
    assert exact is not None
    return (
        f"Not used: the benchmark set's probability that the actuators fail within 12 h. Its property asks for the "
        f"sensors, and its value, {published['estimate']:.4g}, is theirs; the actuators have {exact['estimate']:.3g}."
    )


EXPERIMENT = Experiment(
    name="e12_validation",
    question="Does ksim reproduce what others published?",
    scenarios=("published models",),
    expectation=(
        "the exact reader gives every published number of a model whose parameters are known, to its last digit, and "
        "the simulated and the compiled reader agree with it; formulas of first order are off by their next term; the "
        "laws that were fitted to LANL's repair times give their medians back, but not their means, since the data "
        "have a heavier tail."
    ),
    points=points(),
    tells=told,
    finds=finds,
    draws=drawn,
)

if __name__ == "__main__":
    main(EXPERIMENT)
