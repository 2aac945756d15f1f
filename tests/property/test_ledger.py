"""The ledger: intervals tile [0, horizon], what the horizon cuts is censored, broken paths are refused."""

import math
from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ksim.errors import InvariantViolation
from ksim.evidence import ledger
from ksim.evidence.ledger import YEAR, Ledger, Row, columns, fold
from ksim.evidence.sums import TICKS, seconds, ticks
from ksim.evidence.transition import Path
from ksim.macro.walker import Walker
from ksim.model.lifecycle import Lifecycle
from tests.strategies import SEEDS, lifecycles

HORIZONS = st.floats(10.0, 2000.0)
FEWER = settings(max_examples=50)


class Retold:
    """A path folded the slow way: one interval at a time, from the names in its transitions. Times in ticks."""

    def __init__(self, life: Lifecycle, path: Path, horizon_s: float, year: int = YEAR) -> None:
        self.service = Counter[str]()
        self.outages: list[tuple[str, int]] = []
        self.censored = self.first_year = 0
        node, since, cause, length = life.entry, 0, "", None
        steps = [(ticks(t.time_s), t.target, t.cause) for t in path.transitions(life.layout)]
        for time, target, way_cause in [*steps, (ticks(horizon_s), None, "")]:
            service = life[node].service.value
            self.service[service] += time - since
            if service == "down":
                length = (length or 0) + time - since
                self.first_year += max(0, min(time, year) - min(since, year))
            if target is None:
                self.censored = int(length is not None)
                break
            after = life[target].service.value
            if service == "down" and after != "down":
                self.outages.append((cause, length))
                length = None
            elif service != "down" and after == "down":
                cause, length = way_cause, 0
            node, since = target, time


@FEWER
@given(lifecycles(), SEEDS, HORIZONS)
def test_intervals_tile_the_horizon(life: Lifecycle, seed: int, horizon_s: float) -> None:
    path = Walker(life, seed).path(0, horizon_s)
    row, retold = fold(path, life.layout, horizon_s), Retold(life, path, horizon_s)
    assert sum(row.downtime.values()) == retold.service["down"]
    assert row.degraded == retold.service["degraded"]
    assert retold.service.total() == ticks(horizon_s)
    assert row.down_s == seconds(retold.service["down"])


@FEWER
@given(lifecycles(), SEEDS, HORIZONS)
def test_censored_outages_are_downtime_but_never_finished(life: Lifecycle, seed: int, horizon_s: float) -> None:
    path = Walker(life, seed).path(0, horizon_s)
    row, retold = fold(path, life.layout, horizon_s), Retold(life, path, horizon_s)
    assert row.finished == retold.outages
    assert sum(row.started.values()) == len(row.finished) + retold.censored
    finished = sum(row.finished_downtime.values())
    assert finished == sum(length for _, length in row.finished)
    assert finished <= sum(row.downtime.values())
    if not retold.censored:
        assert row.finished_downtime == row.downtime


@FEWER
@given(lifecycles(), SEEDS)
def test_an_outage_cut_off_just_before_its_end_is_not_finished(life: Lifecycle, seed: int) -> None:
    path = Walker(life, seed).path(0, 2000.0)
    source, target, down = life.layout.source, life.layout.target, life.layout.down
    ends = [i for i, edge in enumerate(path.edges) if down[source[edge]] and not down[target[edge]]]
    later = [(before, i) for before, i in enumerate(ends) if path.times[i] > 0.0]
    assume(later)
    before, end = later[0]  # outages without any length may have ended at time 0
    cut = Path(path.times[:end], path.edges[:end])
    whole = Path(path.times[: end + 1], path.edges[: end + 1])
    assert len(fold(cut, life.layout, path.times[end]).finished) == before
    assert len(fold(whole, life.layout, path.times[end]).finished) == before + 1


@FEWER
@given(lifecycles(), SEEDS, st.data())
def test_broken_paths_are_refused(life: Lifecycle, seed: int, data: st.DataObject) -> None:
    path = Walker(life, seed).path(0, 1000.0)
    assume(len(path.times) >= 2)
    horizon_s, layout = 1000.0, life.layout
    i = data.draw(st.integers(1, len(path.times) - 1))
    broken = {
        "back in time": Path(
            [*path.times[:i], math.nextafter(path.times[i - 1], -1), *path.times[i + 1 :]], path.edges
        ),
        "not a time": Path([*path.times[:i], math.nan, *path.times[i + 1 :]], path.edges),
        "after the end": Path([*path.times[:-1], math.nextafter(horizon_s, math.inf)], path.edges),
        "before zero": Path([-1e-9, *path.times[1:]], path.edges),
    }
    others = [e for e in range(len(layout.source)) if layout.source[e] != layout.source[path.edges[i]]]
    if others:
        jump = data.draw(st.sampled_from(others))
        broken["from elsewhere"] = Path(path.times, [*path.edges[:i], jump, *path.edges[i + 1 :]])
    for what, bad in broken.items():
        with pytest.raises(InvariantViolation):
            pytest.fail(f"accepted: {what}, {fold(bad, layout, horizon_s)}")


@FEWER
@given(lifecycles(), SEEDS, st.randoms(use_true_random=False))
def test_ledgers_merge_in_any_order(life: Lifecycle, seed: int, random) -> None:
    walker, budgets = Walker(life, seed), life.layout.budgets
    rows = [fold(walker.path(r, 500.0), life.layout, 500.0) for r in range(6)]
    at_once, merged = Ledger(budgets), Ledger(budgets)
    for row in rows:
        at_once.add(row)
    for part in random.sample([rows[:1], rows[1:3], rows[3:]], 3):
        own = Ledger(budgets)
        for row in part:
            own.add(row)
        merged.merge(own)
    assert merged == at_once
    assert merged.censored == sum(sum(row.started.values()) - len(row.finished) for row in rows)
    assert merged.column("downtime").n == 6
    assert merged.lengths[""].n == sum(len(row.finished) for row in rows)


@FEWER
@given(lifecycles(), SEEDS)
def test_columns_split_the_downtime_in_three_ways(life: Lifecycle, seed: int) -> None:
    row = fold(Walker(life, seed).path(0, 2000.0), life.layout, 2000.0)
    found = columns(row, life.layout.budgets)
    for prefix, suffix in (("downtime:cause=", ""), ("downtime:phase=", ""), ("", "_downtime")):
        names = [
            n for n in found if n.startswith(prefix) and n.endswith(suffix) and n != "downtime" and prefix + suffix
        ]
        assert sum(found[name] for name in names) == found["downtime"]
    assert found.get("outages", 0) == sum(row.started.values()) * TICKS


@FEWER
@given(lifecycles(), SEEDS, HORIZONS, st.floats(1.0, 2000.0))
def test_the_first_year_is_cut_out_of_the_downtime(life: Lifecycle, seed: int, horizon_s: float, year_s: float) -> None:
    path = Walker(life, seed).path(0, horizon_s)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "YEAR_S", year_s)  # a year of graphs that live in seconds
        patch.setattr(ledger, "YEAR", ticks(year_s))
        row = fold(path, life.layout, horizon_s)
    if horizon_s < year_s:
        assert row.first_year is None
    else:
        assert row.first_year is not None
        assert sum(row.first_year.values()) == Retold(life, path, horizon_s, ticks(year_s)).first_year
        assert set(row.first_year) <= {cause for cause, _ in row.downtime}


def test_years_are_told_apart_by_their_nines() -> None:
    found = Ledger({"oops": "software", "board": "hardware"})
    for oops_s, board_s in [(0.0, 0.0), (60.0, 0.0), (315.36, 0.0), (315.37, 0.0), (1.0, 3153.6), (1.0, 40_000.0)]:
        found.add(Row(first_year={"oops": ticks(oops_s), "board": ticks(board_s)}))
    found.add(Row())
    assert found.missed == {"five": 3, "four": 2, "three": 1}
    assert found.years[""].n == found.years["software_"].n == 6
    assert found.years["software_"].order_statistic(6) == pytest.approx(315.37, rel=1 / 2048)
    assert found.years[""].order_statistic(6) == pytest.approx(40_001.0, rel=1 / 2048)
