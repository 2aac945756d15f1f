"""The best of all configurations of a study: every point with every alternative, on the same faults and draws."""

from __future__ import annotations

from collections.abc import Callable

from ksim.errors import ScenarioError
from ksim.model.lifecycle import Lifecycle
from ksim.study import measures
from ksim.study.engine import reader_of
from ksim.study.pool import Progress
from ksim.study.replicate import Job
from ksim.study.selection import Selection, select
from ksim.study.sequential import Target
from ksim.study.sweep.matters import check_factors
from ksim.study.sweep.plan import Plan
from ksim.study.sweep.verdict import HIGHER_IS_BETTER

MOST = 200
"""Configurations: each meets each other one."""


def best_of(
    plan: Plan,
    measure: str,
    indifference: str,
    *,
    probability: float = 0.95,
    go_on: Callable[[], bool] = lambda: True,
    workers: int | None = 1,
    progress: Progress | None = None,
) -> Selection:
    """Selects among the configurations of a plan, by name; see ``ksim.study.selection``.

    ``indifference``: a difference of the measure that does not matter, with its unit. Raises ScenarioError for another
    unit, for fewer than two or more than MOST configurations, and where seed or horizon are not the same for all.
    """
    check_factors(plan)
    lives, seeds, horizons = _configurations(plan)
    if len({*seeds}) > 1 or len({*horizons}) > 1:
        raise ScenarioError("the configurations differ in seed or horizon: they would not meet the same draws")
    target = Target.parse(indifference)
    if target.unit == "%":
        raise ScenarioError(f"an indifference zone is a difference with its unit, not '{indifference}'")
    for name, life in lives.items():
        units = measures.units(life, horizons[0])
        if measure not in units:
            raise ScenarioError(f"{name}: there is no measure '{measure}'")
        if target.unit != units[measure]:
            unit = units[measure] if units[measure] != "1" else "no unit"
            raise ScenarioError(f"an indifference of '{indifference}' does not fit '{measure}', which has {unit}")
    engine = plan.how.engine
    reader, _ = reader_of("compiled" if engine == "exact" else engine, horizons[0])
    return select(
        Job(lives, seeds[0], horizons[0], 1, reader or "simulated"),
        measure,
        lowest=measure not in HIGHER_IS_BETTER,
        probability=probability,
        indifference=target.amount,
        go_on=go_on,
        try_exact=engine in ("auto", "exact"),
        workers=workers,
        progress=progress,
    )


def _configurations(plan: Plan) -> tuple[dict[str, Lifecycle], list[int], list[float]]:
    """Lifecycles by name, with the seed and horizon of each."""
    many = len(plan.points) * max(1, len(plan.how.variants) or len(plan.how.strategies))
    if many > MOST:
        raise ScenarioError(f"the study has {many} configurations, at most {MOST} can be selected from")
    lives: dict[str, Lifecycle] = {}
    seeds, horizons = [], []
    for place in range(len(plan.points)):
        values = ", ".join(f"{key}={value}" for key, value in plan.parameters(place).items() if value)
        for alternative, (scenario, life) in plan.task(place).lifecycles().items():
            name = ", ".join(part for part in (values, alternative) if part) or scenario.name
            if name in lives:
                raise ScenarioError(f"two configurations are named '{name}'")
            lives[name] = life
            seeds.append(scenario.seed)
            horizons.append(scenario.horizon)
    return lives, seeds, horizons
