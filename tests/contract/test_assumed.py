"""Parameters at the ends of their ranges, and what a study computes of what it is asked for."""

from __future__ import annotations

import pytest

from ksim.model.loader import load
from ksim.source import ENGINEERING, Param
from ksim.study import compare
from ksim.study.sweep.assumed import ends_of, plan_at_random, plan_over
from ksim.study.sweep.plan import How


def end_values(key: str, base: str = "rack-server") -> list[str]:
    loaded = load(base)
    levels = ends_of(loaded, key, loaded.params[key])
    assert levels is not None
    return [levels.setting(i) for i in range(len(levels.texts))]


def test_a_law_keeps_its_shape_at_both_ends() -> None:
    loaded = load("rack-server")
    for setting, mean in zip(end_values("host.boot.firmware"), (60.0, 1200.0), strict=True):
        law = load("rack-server", [setting]).scenario.host.boot.firmware
        assert law.mean == pytest.approx(mean)
        assert law.sigma == loaded.scenario.host.boot.firmware.sigma


def test_shares_stay_in_sum_1_and_in_proportion() -> None:
    before = load("rack-server").scenario.faults["kernel_oops"].context
    after = load("rack-server", [end_values("faults.kernel_oops.context")[0]]).scenario.faults["kernel_oops"].context
    assert after.process == 0.5
    assert after.softirq / after.hardirq == pytest.approx(before.softirq / before.hardirq)


def test_every_assumed_value_with_a_range_is_swept() -> None:
    for base in ("rack-server", "vm", "large-memory"):
        loaded = load(base)
        plan, left_out = plan_over(loaded, How(), loaded.assumed(), base)
        assert {*plan.columns, *left_out} == set(loaded.assumed())
        assert left_out == []


def test_what_the_user_set_is_not_swept() -> None:
    loaded = load("rack-server", ["kexec.success=0.9"])
    plan, _ = plan_over(loaded, How(), loaded.assumed(), "x")
    assert "kexec.success" not in plan.columns
    assert plan.load(1).scenario.kexec.success == 0.9


def test_a_range_without_meaning_has_no_ends() -> None:
    loaded = load("rack-server")
    assert ends_of(loaded, "kexec.success", Param(0.9, "1", "", "", ENGINEERING)) is None
    assert ends_of(loaded, "kexec.success", Param(0.9, "1", "-3", "7", ENGINEERING)) is None


def test_at_random_stays_within_the_ranges() -> None:
    loaded = load("rack-server")
    plan, left_out = plan_at_random(loaded, How(), loaded.params, "x", 32, seed=4)
    success = [float(plan.parameters(i)["kexec.success"]) for i in range(32)]
    assert 0.8 <= min(success) < 0.81
    assert 0.99 < max(success) <= 0.999
    assert "linux.release" in left_out
    rates = sorted(float(plan.parameters(i)["faults.kernel_oops.rate"].split()[0]) for i in range(32))
    # from 0.1 to 5 a year, evenly in the logarithm: half of them below the geometric mean
    assert rates[15] < 0.5**0.5 <= rates[16]


def test_what_nobody_asked_for_is_neither_solved_nor_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("sampled")

    monkeypatch.setattr(compare, "replicate", never)
    loaded = load("rack-server")
    found = compare.run(loaded, asked=("availability", "vmcore_captured"))
    assert [(row["measure"], row["method"]) for row in found.rows] == [
        ("availability", "exact"), ("vmcore_captured", "exact"),
    ]  # fmt: skip
    both = compare.compare(loaded, ["full_reboot", "kdump"], asked=("downtime_min_per_year",))
    assert [row["measure"] for row in both.rows] == [
        "downtime_min_per_year", "downtime_min_per_year", "downtime_min_per_year_difference",
    ]  # fmt: skip
    with pytest.raises(AssertionError, match="sampled"):
        compare.run(loaded, engine="compiled", asked=("availability",))


@pytest.mark.parametrize("engine", ["simulated", "compiled"])
def test_what_is_asked_for_has_the_value_that_it_has_among_all(engine) -> None:
    loaded = load("rack-server", ["replications=300"])
    everything = {(r["measure"], r["method"]): r for r in compare.run(loaded, engine=engine).rows}
    some = compare.run(loaded, engine=engine, asked=("outage_s_p95", "downtime_min_per_year")).rows
    assert {row["measure"] for row in some} == {"outage_s_p95", "downtime_min_per_year"}
    for row in some:
        if row["measure"] == "downtime_min_per_year" or row["method"] == engine:
            assert row == everything[row["measure"], row["method"]]
