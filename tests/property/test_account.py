"""Accounts: what they add to a ledger is what the path says, and rewards are the same for every reader."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ksim.evidence.account import Account
from ksim.evidence.sums import ticks
from ksim.exact.solve import Solution, solvable
from ksim.macro.walker import Walker
from ksim.model.lifecycle import Lifecycle, Service
from tests.strategies import SEEDS, lifecycles

FEWER = settings(max_examples=50)
HORIZON_S = 1000.0
RATES = st.floats(-10.0, 10.0)


@st.composite
def rewarded(draw: st.DrawFn) -> Lifecycle:
    """A life with one reward of any rates, and one that is 1 where the service is down."""
    life = draw(lifecycles())
    rates = draw(st.lists(RATES, min_size=len(life.nodes), max_size=len(life.nodes)))
    down = tuple(float(node.service is Service.DOWN) for node in life.nodes)
    return replace(life, rewards={"any": (tuple(rates), "1/s"), "down": (down, "1")})


@FEWER
@given(rewarded(), SEEDS)
def test_one_replication_retold(life: Lifecycle, seed: int) -> None:
    path = Walker(life, seed).path(0, HORIZON_S)
    account = Account(life.layout, HORIZON_S)
    account.add(path)
    stays, node, since = [], life.entry, 0.0
    begun: list[str] = []
    for step in path.transitions(life.layout):
        stays.append((node, step.time_s - since))
        if life[node].service is not Service.DOWN and life[step.target].service is Service.DOWN:
            begun.append(step.cause)
        node, since = step.target, step.time_s
    stays.append((node, HORIZON_S - since))
    any_rate, down = (dict(zip(life.layout.names, life.rewards[name][0], strict=True)) for name in ("any", "down"))

    def of(column: str) -> float:
        return account.column(column).mean

    assert of("earned:any") == pytest.approx(math.fsum(any_rate[n] * s for n, s in stays), abs=1e-6)
    assert of("at_end:any") == pytest.approx(any_rate[node], abs=1e-6)
    assert of("earned:down") == pytest.approx(of("downtime"), abs=1e-6 * (1 + len(stays)))
    assert of("down_at_end") == down[node]
    assert (of("struck"), of("spared")) == ((1.0, 0.0) if begun else (0.0, 1.0))
    assert {cause: of(f"outages:cause={cause}") for cause in set(begun)} == {c: begun.count(c) for c in set(begun)}
    parts = [account.column(name) for name in ("up", "degraded", "downtime")]
    assert sum(moments.x for moments in parts) == ticks(HORIZON_S), "to the tick"
    assert account.per_outage["up"].x == account.column("up").x
    assert account.per_outage["up"].total_y == len(begun)


@FEWER
@given(rewarded(), SEEDS)
def test_merged_in_any_order_it_is_the_same(life: Lifecycle, seed: int) -> None:
    walker = Walker(life, seed)
    whole = Account(life.layout, HORIZON_S)
    parts = [Account(life.layout, HORIZON_S) for _ in range(3)]
    for replication in range(9):
        path = walker.path(replication, HORIZON_S)
        whole.add(path)
        parts[replication % 3].add(path)
    merged = Account(life.layout, HORIZON_S)
    for part in reversed(parts):
        merged.merge(part)
    assert merged == whole


@FEWER
@given(rewarded())
def test_the_exact_reader_on_a_reward(life: Lifecycle) -> None:
    assume(not solvable(life))
    solution = Solution(life)
    assert solution.reward("down") == pytest.approx(solution.unavailability, rel=1e-12, abs=1e-300)
    shifted = replace(life, rewards={"any": (tuple(2.0 * rate + 3.0 for rate in life.rewards["any"][0]), "1/s")})
    assert Solution(shifted).reward("any") == pytest.approx(2.0 * solution.reward("any") + 3.0, rel=1e-9, abs=1e-9)
    found = solution.outages()
    if found is not None:
        begins = math.fsum(solution.begins(cause) for cause in life.budgets)
        assert begins == pytest.approx(found.rate, rel=1e-12)
