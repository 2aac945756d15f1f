"""Named wrong models that the oracles must kill: a surviving mutant is a hole in the suite."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from ksim.evidence import ledger
from ksim.evidence.sums import seconds
from ksim.exact.solve import Solution
from ksim.macro.walker import Walker
from ksim.model import compose, stages
from ksim.model.lifecycle import Lifecycle
from ksim.model.loader import load
from ksim.units import YEAR_S

PLAIN = ("recovery.crashes_again=0.0", "recovery.root_fails=0.0", "capture.memory.sigma=0.0")
FAST = (
    *PLAIN,
    "faults.kernel_oops.rate=500 /y",
    "faults.hardware_repair.rate=0 /y",
    "faults.kernel_hang.rate=0 /y",
)
HORIZON_S = 40 * YEAR_S


def scenario():
    return load("rack-server", FAST).scenario


def watched(life: Lifecycle) -> dict[str, float]:
    """What the oracles look at, by simulation: downtime, shares of branches, quantiles of a dwell."""
    path = Walker(life, seed=11).path(0, HORIZON_S)
    row = ledger.fold(path, life.layout, HORIZON_S)
    visits: dict[str, int] = {}
    for edge in path.edges:
        visits[life.layout.names[life.layout.target[edge]]] = (
            visits.get(life.layout.names[life.layout.target[edge]], 0) + 1
        )
    outages = sum(row.started.values())
    found = {f"visits {name}": count / outages for name, count in visits.items()}
    found["reinstalls"] = visits.get("reinstall", 0) / outages
    found["outage"] = sum(row.outages_s) / len(row.finished)
    # a mean outage is blind to a short phase: the phase itself is not
    in_application = seconds(sum(n for (_, phase), n in row.finished_downtime.items() if phase == "application"))
    found["application"] = in_application / len(row.finished)
    return found


def oracle() -> dict[str, tuple[float, float]]:
    """The exact value of each, with the tolerance of six standard deviations (P(false alarm) 2e-9 each)."""
    life = compose.lifecycle(scenario())
    solution = Solution(life)
    outages = solution.outages()
    assert outages is not None
    n = outages.rate * HORIZON_S
    per_outage = {name: v / (outages.rate * solution.cycle_s) for name, v in zip(life.layout.names, solution.visits)}
    found = {f"visits {name}": (p, 6 * math.sqrt(max(p, 1 / n) / n)) for name, p in per_outage.items()}
    found["reinstalls"] = found["visits reinstall"]
    found["outage"] = (outages.mean_s, 6 * outages.sd_s / math.sqrt(n))
    found["application"] = (30.0, 6 * 30.0 / math.sqrt(n))
    return found


def is_killed(life: Lifecycle) -> bool:
    seen = watched(life)
    names = set(seen) | {name for name, (p, _) in oracle().items() if p > 0.001}
    return any(abs(seen.get(name, 0.0) - value) > slack for name, (value, slack) in oracle().items() if name in names)


def with_node(life: Lifecycle, name: str, change: Callable) -> Lifecycle:
    nodes = tuple(change(node) if node.name == name else node for node in life.nodes)
    from ksim.model.lifecycle import trimmed

    return Lifecycle(life.entry, trimmed(nodes, life.entry), life.budgets)


def reshare(node, *shares: float):
    return replace(node, branches=tuple(replace(b, p=p) for b, p in zip(node.branches, shares, strict=True)))


MUTANTS: dict[str, Callable[[Lifecycle], Lifecycle]] = {
    "M01 the crash kernel never fails": lambda life: with_node(life, "panic", lambda n: reshare(n, 1.0, 0.0)),
    "M02 the dump is skipped": lambda life: with_node(
        life, "capture_boot", lambda n: replace(n, branches=(replace(n.branches[0], to="vmcore_saved"),))
    ),
    "M03 firmware lasts twice as long": lambda life: with_node(
        life, "firmware", lambda n: replace(n, branches=(replace(n.branches[0], dwell=stages.Constant(862.0)),))
    ),
    "M04 the rare reinstall is dropped": lambda life: with_node(
        life, "initrd", lambda n: reshare(n, n.branches[0].p + n.branches[2].p, n.branches[1].p, 0.0)
    ),
    "M05 fsck and journal replay are swapped": lambda life: with_node(
        life, "initrd", lambda n: reshare(n, n.branches[1].p, n.branches[0].p, n.branches[2].p)
    ),
    "M06 a failed capture never hangs": lambda life: with_node(life, "capture_failed", lambda n: reshare(n, 0.0, 1.0)),
    "M07 nobody comes for a hung host for a day": lambda life: with_node(
        life, "silent", lambda n: replace(n, clocks=(replace(n.clocks[0], after=stages.Constant(86400.0)),))
    ),
    "M08 the application starts at once": lambda life: with_node(
        life, "application", lambda n: replace(n, branches=(replace(n.branches[0], dwell=stages.NOW),))
    ),
}  # fmt: skip


def test_the_true_model_survives() -> None:
    assert not is_killed(compose.lifecycle(scenario()))


@pytest.mark.parametrize("name", MUTANTS)
def test_wrong_model_is_killed(name: str) -> None:
    assert is_killed(MUTANTS[name](compose.lifecycle(scenario()))), f"{name} survives"


def test_censored_outage_counted_as_finished_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """M09: the ledger must know an outage that the horizon cuts off."""
    life = compose.lifecycle(scenario())
    path = Walker(life, seed=11).path(0, HORIZON_S)
    first = next(i for i, edge in enumerate(path.edges) if life.layout.names[life.layout.target[edge]] == "firmware")
    cut = path.times[first] + 1e-3
    path.times, path.edges = path.times[: first + 1], path.edges[: first + 1]
    row = ledger.fold(path, life.layout, cut)
    assert sum(row.started.values()) == len(row.finished) + 1


def test_variance_without_the_cross_term_is_killed() -> None:
    """M10: E[(X + Y)^2] needs 2 E[X] E[Y]; two stages of 10 s in a row have standard deviation 0."""
    life = load("rack-server", (*PLAIN, "faults.kernel_oops.rate=0 /y", "faults.kernel_hang.rate=0 /y",
                                "faults.hardware_repair.rate=0 /y", "faults.machine_check.resets=1.0",
                                "recovery.severity={journal=1.0,fsck=0.0,reinstall=0.0}",
                                *(f"host.boot.{p}=10 s" for p in
                                  ("firmware", "loader", "kernel", "initrd", "userspace", "application"))))  # fmt: skip
    outages = Solution(compose.lifecycle(life.scenario)).outages()
    assert outages is not None
    assert outages.mean_s == pytest.approx(61.0, rel=1e-12)
    assert outages.sd_s == pytest.approx(0.0, abs=1e-5)


@pytest.mark.xfail(strict=True, reason="the canary: a mutant that must be seen, or the harness is dead")
def test_canary() -> None:
    assert not is_killed(MUTANTS["M03 firmware lasts twice as long"](compose.lifecycle(scenario())))
