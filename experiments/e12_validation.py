"""Published models and closed forms, asked of ksim's own readers."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ksim.report.claims import drawn, sentences, told
from ksim.report.experiment import main
from ksim.study.claims import ask, claims_of, members_of
from ksim.study.experiment import Experiment, Point

HERE = Path(__file__).parent


def points() -> tuple[Point, ...]:
    """One per member of a family that the published numbers are about."""
    found = []
    for (model, scenario, overrides), claims in members_of(claims_of(HERE / "e12_published.csv")).items():
        parameters = {"model": model, "member": "; ".join(text.removeprefix("lifecycle.") for text in overrides)}
        path = str(HERE / "scenarios" / f"{scenario}.toml")
        found.append(Point(parameters, overrides, path, partial(ask, claims)))
    return tuple(found)


EXPERIMENT = Experiment(
    name="e12_validation",
    question="Does ksim reproduce what others published?",
    scenarios=("published models",),
    expectation=(
        "the exact reader gives every published number of a model whose parameters are known, to its last digit, and "
        "the simulated reader agrees with it; formulas of first order are off by their next term; the laws that were "
        "fitted to LANL's repair times give their medians back, but not their means, since the data have a heavier "
        "tail."
    ),
    points=points(),
    tells=told,
    finds=sentences,
    draws=drawn,
)

if __name__ == "__main__":
    main(EXPERIMENT)
