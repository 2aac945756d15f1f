"""Designs: which points of the factors' space are looked at, and in which order.

A point is a place in the design, the values as texts, and the settings behind them. Quasi-random designs come from
SciPy, those of Morris and of Sobol's indices from SALib; each is the same for the same seed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np

from ksim.errors import KsimError, ScenarioError
from ksim.study.sweep.factors import Factor, Levels, Range

if TYPE_CHECKING:
    from numpy.typing import NDArray

Kind = Literal["grid", "list", "one-at-a-time", "latin-hypercube", "sobol", "morris", "sobol-indices"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SAMPLED = ("latin-hypercube", "sobol", "morris", "sobol-indices")
"""Designs that draw points from ranges."""
MORRIS_LEVELS = 4
"""Of the grid on which a trajectory steps, as Morris (1991) and SALib have it."""
MAX_POINTS = 1_000_000


@dataclass(frozen=True, slots=True)
class Design:
    """``points``: of a hypercube or a Sobol sequence; trajectories of Morris; base samples N of Sobol's indices."""

    kind: Kind = "grid"
    points: int = 64
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Point:
    """One design point of one host: values by factor, as texts, and the overrides that make them."""

    parameters: tuple[tuple[str, str], ...]
    overrides: tuple[str, ...]


def points_of(design: Design, factors: Sequence[Factor]) -> Iterator[Point]:
    """The points of a design over these factors, in its order. Raises ScenarioError for an empty design."""
    if not factors:
        raise ScenarioError("an empty design: there is no factor in it")
    if design.kind in SAMPLED:
        ranges = _ranges(design, factors)
        for row in unit_points(design, len(ranges)):
            yield _at(ranges, [float(u) for u in row])
        return
    levels = [factor.levels() if isinstance(factor, Range) else factor for factor in factors]
    yield from _grid(levels) if design.kind == "grid" else _one_at_a_time(levels)


def size_of(design: Design, factors: Sequence[Factor]) -> int:
    """How many points there will be. Raises ScenarioError above MAX_POINTS."""
    k = len(factors)
    many = [len((f.levels() if isinstance(f, Range) else f).texts) for f in factors]
    sizes = {
        "grid": np.prod(many, dtype=object) if many else 0,
        "one-at-a-time": 1 + sum(many),
        "latin-hypercube": design.points,
        "sobol": design.points,
        "morris": design.points * (k + 1),
        "sobol-indices": design.points * (k + 2),
    }
    size = int(sizes[design.kind])
    if size > MAX_POINTS:
        raise ScenarioError(f"the design has {size} points, at most {MAX_POINTS} are possible")
    return size


def unit_points(design: Design, k: int) -> NDArray[np.float64]:
    """The sampled designs in [0, 1]^k, a row a point."""
    if design.kind in ("latin-hypercube", "sobol"):
        from scipy.stats import qmc  # a second of import that grids must not pay

        if design.kind == "latin-hypercube":
            return qmc.LatinHypercube(k, rng=np.random.default_rng(design.seed)).random(design.points)
        _power_of_two(design)
        return qmc.Sobol(k, rng=np.random.default_rng(design.seed)).random(design.points)
    if design.kind == "morris":
        from SALib.sample import morris

        found = morris.sample(problem(k), design.points, num_levels=MORRIS_LEVELS, seed=design.seed)
    else:
        from SALib.sample import sobol

        _power_of_two(design)
        found = sobol.sample(problem(k), design.points, calc_second_order=False, seed=design.seed)
    return cast("NDArray[np.float64]", found)


def problem(k: int) -> dict[str, Any]:
    """k factors in [0, 1], as SALib wants them."""
    return {"num_vars": k, "names": [f"x{i}" for i in range(k)], "bounds": [[0.0, 1.0]] * k}


def check_salib() -> None:
    """Raises KsimError where SALib is missing."""
    try:
        import SALib  # noqa: F401
    except ImportError:
        raise KsimError("designs of Morris and of Sobol's indices need SALib: the extra 'sensitivity'") from None


def _power_of_two(design: Design) -> None:
    if design.points & (design.points - 1):
        raise ScenarioError(f"a Sobol sequence is balanced at powers of two only, not at {design.points} points")


def _ranges(design: Design, factors: Sequence[Factor]) -> list[Range]:
    for factor in factors:
        if isinstance(factor, Levels):
            raise ScenarioError(
                f"{factor.key}: a {design.kind} design draws from ranges: give low and high in place of a list"
            )
    return [factor for factor in factors if isinstance(factor, Range)]


def _at(ranges: Sequence[Range], row: Sequence[float]) -> Point:
    values = tuple((factor.key, factor.at(u)[0]) for factor, u in zip(ranges, row, strict=True))
    return Point(values, tuple(factor.setting(u) for factor, u in zip(ranges, row, strict=True)))


def _grid(factors: Sequence[Levels]) -> Iterator[Point]:
    for levels in itertools.product(*(range(len(factor.texts)) for factor in factors)):
        yield _of_levels(factors, levels)


def _one_at_a_time(factors: Sequence[Levels]) -> Iterator[Point]:
    """The scenario as it stands, and then each level of each factor alone; what is not varied has an empty text."""
    yield Point(tuple((factor.key, "") for factor in factors), ())
    for varied in factors:
        for level, text in enumerate(varied.texts):
            values = tuple((factor.key, text if factor is varied else "") for factor in factors)
            yield Point(values, (varied.setting(level),))


def _of_levels(factors: Sequence[Levels], levels: Sequence[int]) -> Point:
    pairs = list(zip(factors, levels, strict=True))
    return Point(
        tuple((factor.key, factor.texts[level]) for factor, level in pairs),
        tuple(factor.setting(level) for factor, level in pairs),
    )
