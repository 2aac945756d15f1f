"""One battery for every family that is found, and a message for each way to ask for one wrongly."""

from __future__ import annotations

import math
import pkgutil
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ksim.chance.distributions import Exponential
from ksim.chance.grammar import parse_law
from ksim.errors import GraphError
from ksim.evidence.account import Account
from ksim.exact.solve import Solution, solvable
from ksim.macro.walker import Walker
from ksim.model import families as files
from ksim.model.compose import families, lifecycle
from ksim.model.family import MAX_STATES, Chain, Move, lifecycle_of
from ksim.model.fields import param_of
from ksim.model.lifecycle import Branch, Budget, Clock, Lifecycle, Node, Service
from ksim.model.loader import load
from ksim.report.graph import as_json
from ksim.source import Param
from ksim.units import rate_per_s
from tests.contract.scenario_files import message, write

FAMILIES = families()
TOP = Path(__file__).parents[2]


def asks(folder: Path, family: str, text: str = "") -> str:
    return write(folder, f'[lifecycle]\nfamily = "{family}"\n{text}')


def life_of(folder: Path, family: str, *keys: str) -> Lifecycle:
    return lifecycle(load(asks(folder, family), [f"lifecycle.{key}" for key in keys]).scenario)


# ---------------------------------------------------------------- every family


def test_every_file_is_found_once_in_sorted_order() -> None:
    assert list(FAMILIES) == sorted(info.name for info in pkgutil.iter_modules(files.__path__))
    for name, family in FAMILIES.items():
        assert family.name == name
        assert 10 < len(family.summary) < 100


@pytest.mark.parametrize("name", FAMILIES)
def test_the_defaults_make_a_member_that_is_solved_and_walked(tmp_path: Path, name: str) -> None:
    life = life_of(tmp_path, name)
    assert {node.service for node in life.nodes} >= {Service.UP, Service.DOWN}
    assert solvable(life) == []
    solution = Solution(life)
    assert 0.0 < solution.unavailability < 1.0
    assert all(math.isfinite(v) and v > 0.0 for v in solution.visits)
    assert life == life_of(tmp_path, name)
    horizon_s = 200.0 * solution.cycle_s
    account = Account(life.layout, horizon_s)
    walker = Walker(life, seed=1, batch=4)
    for replication in range(4):
        account.add(walker.path(replication, horizon_s))
    assert account.ledger.replications == 4
    assert {column for column in account.means if column.startswith("earned:")} <= {f"earned:{r}" for r in life.rewards}
    assert len(as_json(life)["nodes"]) == len(life.nodes)


@pytest.mark.parametrize("name", FAMILIES)
def test_node_names_can_be_read(tmp_path: Path, name: str) -> None:
    for node in life_of(tmp_path, name).nodes:
        assert re.fullmatch(r"[a-z0-9][A-Za-z0-9+,;: ]{0,120}", node.name), node.name
        for clock in node.clocks:
            assert re.fullmatch(r"[a-z0-9][A-Za-z0-9, ]{0,60}", clock.name), clock.name


PARAMS: dict[tuple[str, str], Param | None] = {
    (name, key): param_of(family.settings, key)
    for name, family in FAMILIES.items()
    for key in family.settings.model_fields
    if key != "family"
}


@pytest.mark.parametrize(("family", "key"), PARAMS)
def test_a_key_has_a_source_and_a_range_whose_ends_can_be_set(tmp_path: Path, family: str, key: str) -> None:
    param = PARAMS[family, key]
    assert param is not None, "a naked number"
    assert len(param.source.title) > 3
    assert len(param.what) > 5
    assert param.unit in {"", "1", "s", "1/y"}
    assert not param.unit or (param.low and param.high)

    def number(text: object) -> float:
        if isinstance(text, int | float):
            return float(text)
        return {"s": lambda t: parse_law(t).mean, "1/y": rate_per_s}.get(param.unit, float)(str(text))

    if param.unit and param.value != "none":
        assert number(param.low) <= number(param.value) <= number(param.high)
    for end in (param.low, param.high):
        if end:
            life_of(tmp_path, family, f"{key}={end}")


@pytest.mark.parametrize("name", FAMILIES)
def test_what_nobody_set_is_known_with_its_source(tmp_path: Path, name: str) -> None:
    loaded = load(asks(tmp_path, name))
    keys = {f"lifecycle.{key}" for family, key in PARAMS if family == name}
    assert set(loaded.params) == keys
    key, param = next(
        (key, p) for (family, key), p in PARAMS.items() if family == name and not isinstance(p.value, dict)
    )
    value = param.value if not isinstance(param.value, str) else f'"{param.value}"'
    again = load(asks(tmp_path, name, f"{key} = {value}\n"))
    assert set(again.params) == keys - {f"lifecycle.{key}"}
    assert again.scenario.digest() == loaded.scenario.digest()


def test_a_member_is_told_apart_by_its_digest(tmp_path: Path) -> None:
    one, other = (load(asks(tmp_path, "duplex", f"coverage = {c}\n")).scenario for c in (0.9, 0.8))
    assert one.digest() != other.digest()
    assert one.resolved()["lifecycle"]["family"] == "duplex"
    assert one.resolved()["lifecycle"]["repair"] == "900.0 s"


# ---------------------------------------------------------------- asked wrongly


@pytest.mark.parametrize(
    ("text", "line", "key", "expected"),
    [
        ("family = 'duplx'\n", 2, "lifecycle.family", "did you mean 'duplex'"),
        ("family = 3\n", 2, "lifecycle.family", "unknown family 3"),
        ("family = 'duplex'\ncoverag = 0.5\n", 3, "lifecycle.coverag", "did you mean 'coverage'"),
        ("family = 'duplex'\ncoverage = 2.0\n", 3, "lifecycle.coverage", "probability from 0 to 1"),
        ("family = 'duplex'\nrepair = '15'\n", 3, "lifecycle.repair", "no unit"),
        ("family = 'duplex'\nrepair = '15 mi'\n", 3, "lifecycle.repair", "did you mean 'min'"),
        ("family = 'duplex'\nrepair = '0 s'\n", 3, "lifecycle.repair", "longer than zero"),
        (
            "family = 'duplex'\nfailover = 'expnential(mean=3 s)'\n",
            3,
            "lifecycle.failover",
            "did you mean 'exponential'",
        ),
        ("family = 'duplex'\nentry = 'both'\n", 3, "lifecycle.entry", "unknown key"),
        ("family = 'workstation_cluster'\nstations = 0\n", 3, "lifecycle.stations", "expected 1 to 20, got 0"),
        ("family = 'workstation_cluster'\nstations = 2.0\n", 3, "lifecycle.stations", "integer"),
        ("family = 'workstation_cluster'\nstations = true\n", 3, "lifecycle.stations", "integer"),
        ("family = 'workstation_cluster'\nstations = 1000000\n", 3, "lifecycle.stations", "expected 1 to 20"),
        ("family = 'embedded_controller'\nsensors = 1\n", 3, "lifecycle.sensors", "expected 2 (those needed) to 20"),
        ("family = 'embedded_controller'\nafter_shutdown = 'run_on'\n", 3, "lifecycle.after_shutdown", "'runs_on'"),
        ("family = 'queue_with_breakdowns'\narrivals = '2 /s'\n", 3, "lifecycle.arrivals", "1 /s"),
        ("family = 'queue_with_breakdowns'\nbreakdowns = '0 /s'\n", 3, "lifecycle.breakdowns", "above zero"),
        ("family = 'queue_with_breakdowns'\nrepair_c2 = 0.5\n", 3, "lifecycle.repair_c2", "expected 1 to 1000"),
        ("family = 'rejuvenation'\nfailure_cost = -1.0\n", 3, "lifecycle.failure_cost", "expected 0 to 1e12"),
        ("family = 'age_replacement'\ninterval = '0 s'\n", 3, "lifecycle.interval", "longer than zero"),
        ("family = 'checkpoint_restart'\ncheckpoint = '0 s'\n", 3, "lifecycle.checkpoint", "longer than zero"),
        ("family = 'alternating_renewal'\nup = '0 s'\n", 3, "lifecycle.up", "mean longer than zero"),
        ("family = 'sum_of_stages'\nstages = {}\n", 3, "lifecycle.stages", "at least 1"),
        ("family = 'sum_of_stages'\nstages = { up = '3 s' }\n", 3, "lifecycle.stages", "no stage"),
        ("family = 'sum_of_stages'\nstages = { a = '3' }\n", 3, "lifecycle.stages.a", "no unit"),
        ("family = 'duplex'\n[host]\ncpus = 3\n", 3, "host", "beside [lifecycle]"),
    ],
)
def test_one_clear_message(tmp_path: Path, text: str, line: int, key: str, expected: str) -> None:
    path = write(tmp_path, f"[lifecycle]\n{text}")
    said = message(path)
    assert said.startswith(f"{path}:{line}: {key}: "), said
    assert expected in said
    assert "\n" not in said


def test_a_wrong_override_names_its_key(tmp_path: Path) -> None:
    said = message(asks(tmp_path, "duplex"), "lifecycle.coverag=0.5")
    assert "lifecycle.coverag" in said
    assert "did you mean 'coverage'" in said


@pytest.mark.parametrize("command", ["solve", "run"])
def test_exit_codes(tmp_path: Path, command: str) -> None:
    path = asks(tmp_path, "duplex")
    for word, code in (("coverage=0.9", 0), ("coverag=0.9", 2)):
        words = ["ksim", command, path, "--set", f"lifecycle.{word}", "--set", "replications=20"]
        done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, cwd=TOP, check=False)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr


def test_a_chain_without_end_is_refused() -> None:
    walk = Chain(
        entry=0,
        moves=lambda n: [Move("step", 1.0, n + 1), Move("home", 1.0, 0)],
        name=str,
        service=lambda n: Service.UP,
        budgets={},
        phase=lambda n: "up",
        rewards={},
    )
    with pytest.raises(GraphError, match=f"more than {MAX_STATES} states"):
        lifecycle_of(walk)


def test_a_reward_has_one_finite_rate_per_node() -> None:
    up = Node("up", "up", Service.UP, clocks=(Clock("c", Exponential(1.0), "down", "c"),))
    down = Node("down", "down", Service.DOWN, (Branch("up", Exponential(1.0)),))
    for rates in ((1.0,), (1.0, math.nan), (1.0, math.inf), (1.0, 2.0, 3.0)):
        with pytest.raises(GraphError, match="one finite rate per node"):
            Lifecycle("up", (up, down), {"c": Budget.SOFTWARE}, rewards={"r": (rates, "1")})


def test_thousands_of_nodes_are_checked_in_little_time() -> None:
    """The check of names was once quadratic: 20 000 nodes took minutes."""
    start = time.process_time()
    ring = [
        Node(f"n{i}", "n", Service.UP, (Branch(f"n{(i + 1) % MAX_STATES}", Exponential(1.0)),))
        for i in range(MAX_STATES)
    ]
    Lifecycle("n0", tuple(ring), {})
    assert time.process_time() - start < 20.0
