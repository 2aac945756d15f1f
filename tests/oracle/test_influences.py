"""What a sweep says of its factors, against functions whose answers are known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ksim.study.sweep.plan import Plan
from ksim.study.sweep.study_file import plan_of
from ksim.study.sweep.verdict import Influence, influences, winners

MEASURE = "software_downtime_min_per_year"
FACTORS = ("kexec.success", "kexec.hangs", "recovery.root_fails")


def plan(folder: Path, design: str, strategies: str = "") -> Plan:
    factors = "\n".join(f"{key} = {{ low = 0.0, high = 1.0, steps = 3 }}" for key in FACTORS)
    text = f'scenario = "rack-server"\nmeasures = ["{MEASURE}"]\n{strategies}[design]\n{design}\n[factors]\n{factors}\n'
    (folder / "study.toml").write_text(text)
    return plan_of(folder / "study.toml")


def rows_of(plan: Plan, **functions: Callable[[float, float, float], float]) -> list[dict]:
    """Rows as a sweep has them, of functions of the factors by alternative; a factor left alone is 0.5."""
    rows = []
    for place in range(len(plan.points)):
        own = plan.parameters(place)
        x = [float(own[key] or 0.5) for key in FACTORS]
        for name, function in functions.items():
            rows.append(
                {
                    **own,
                    "strategy": name,
                    "baseline": "",
                    "measure": MEASURE,
                    "estimate": function(*x),
                    "half_width": 0.0,
                    "method": "exact",
                }
            )
    return rows


def found(influence: Influence) -> dict[str, list[tuple[float, float]]]:
    """(value, half-width) by factor; 0 where there is no half-width."""
    cells = {key: [cell.split(" ± ") for cell in line] for key, line in influence.lines}
    return {key: [(float(c[0]), float(c[1]) if len(c) > 1 else 0.0) for c in line] for key, line in cells.items()}


def test_sobol_shares_of_a_sum_are_those_of_its_squares(tmp_path: Path) -> None:
    """y = 3a + b: the variances are as 9 to 1, and there is no interaction. The intervals are SALib's, of 95 %."""
    own = plan(tmp_path, 'kind = "sobol-indices"\npoints = 1024\nseed = 5')
    (influence,) = influences(own, rows_of(own, auto=lambda a, b, c: 3 * a + b), MEASURE)
    shares = found(influence)
    assert [key for key, _ in influence.lines] == list(FACTORS)
    for key, wanted in zip(FACTORS, (0.9, 0.1, 0.0), strict=True):
        for value, half in shares[key]:
            assert value == pytest.approx(wanted, abs=2.5 * half + 1e-9)
            assert half < 0.1


def test_sobol_total_shows_an_interaction(tmp_path: Path) -> None:
    """y = (a - 1/2)(b - 1/2): neither does anything alone."""
    own = plan(tmp_path, 'kind = "sobol-indices"\npoints = 1024\nseed = 5')
    (influence,) = influences(own, rows_of(own, auto=lambda a, b, c: (a - 0.5) * (b - 0.5)), MEASURE)
    shares = found(influence)
    for key in FACTORS[:2]:
        (first, _), (total, half) = shares[key]
        assert abs(first) < 0.15
        assert total == pytest.approx(1.0, abs=2.5 * half)


def test_morris_effects_of_a_plane_are_its_slopes(tmp_path: Path) -> None:
    own = plan(tmp_path, 'kind = "morris"\npoints = 10\nseed = 2')
    (influence,) = influences(own, rows_of(own, auto=lambda a, b, c: 5 * a - 2 * b), MEASURE)
    effects = found(influence)
    for key, slope in zip(FACTORS, (5.0, -2.0, 0.0), strict=True):
        (size, half), (mean, _), (spread, _) = effects[key]
        assert (size, mean) == pytest.approx((abs(slope), slope), abs=1e-3)
        assert max(half, spread) < 1e-6


def test_nothing_that_varies_has_no_shares(tmp_path: Path) -> None:
    own = plan(tmp_path, 'kind = "sobol-indices"\npoints = 16')
    (influence,) = influences(own, rows_of(own, auto=lambda a, b, c: 7.0), MEASURE)
    assert influence.lines == ()
    assert influence.says == ("It is the same everywhere.",)


def test_one_at_a_time_tells_who_flips_the_conclusion(tmp_path: Path) -> None:
    strategies = 'strategies = ["full_reboot", "kdump"]\n'
    own = plan(tmp_path, 'kind = "one-at-a-time"', strategies)
    rows = rows_of(own, full_reboot=lambda a, b, c: 2.0 + 0.1 * b, kdump=lambda a, b, c: 3.0 * a)
    (influence,) = influences(own, rows, MEASURE)
    # as it stands kdump costs 1.5 and leads by 0.55; kexec.success=1 makes that 3
    assert influence.title.startswith(f"kdump: {MEASURE} is 1.5")
    lines = dict(influence.lines)
    assert lines["kexec.success"] == ("0", "3", "3", "-0.95", "full_reboot at 1")
    assert lines["kexec.hangs"] == ("1.5", "1.5", "0", "0.5", "-")
    assert "Nothing comes of recovery.root_fails." in influence.says
    assert influence.says[-1].endswith("1 of them could flip that: kexec.success.")
    best = winners(rows, own.columns, MEASURE, ("full_reboot", "kdump"))
    assert [winner.names for winner in best.values()].count(("full_reboot",)) == 1
    assert winners(rows, own.columns, MEASURE, ()) == {}


def test_a_design_that_is_not_complete_gives_no_indices(tmp_path: Path) -> None:
    own = plan(tmp_path, 'kind = "morris"\npoints = 4')
    assert list(influences(own, rows_of(own, auto=lambda a, b, c: a)[:-1], MEASURE)) == []


def test_winners_are_told_by_exact_values_and_by_nothing_else_where_these_are(tmp_path: Path) -> None:
    strategies = 'strategies = ["full_reboot", "kdump"]\n'
    own = plan(tmp_path, 'kind = "grid"', strategies)
    exact = rows_of(own, full_reboot=lambda a, b, c: 2.0, kdump=lambda a, b, c: 3.0)
    lucky = [{**row, "method": "compiled", "estimate": 5.0 - row["estimate"], "half_width": 1.5} for row in exact]
    names = ("full_reboot", "kdump")
    told = winners([*exact, *lucky], own.columns, MEASURE, names)
    assert {(w.names, w.is_sure) for w in told.values()} == {(("full_reboot",), True)}
    # samples alone: the other one leads, and no interval parts them
    told = winners(lucky, own.columns, MEASURE, names)
    assert {(w.names, w.is_sure) for w in told.values()} == {(("kdump",), False)}
    level = [{**row, "estimate": 1.0} for row in exact]
    assert {w.names for w in winners(level, own.columns, MEASURE, names).values()} == {names}
    # exact for one, sampled for the other: nothing can be said
    assert winners([*exact[::2], *lucky[1::2]], own.columns, MEASURE, names) == {}
