"""One battery for every fault source, strategy and base that is found, the ones of tomorrow included.

Each has sourced Params that parse and lie in their own range; each composes with all others into a valid graph
under every setting that decides between panic, capture, reboot and hang; each such graph is walked and solved.
"""

from __future__ import annotations

import itertools
import math
import pkgutil
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from ksim.chance.distributions import Law
from ksim.chance.grammar import parse_law
from ksim.evidence.ledger import fold
from ksim.exact.solve import Solution, solvable
from ksim.macro.walker import Walker
from ksim.model import bases, faults, strategies
from ksim.model.base import shipped
from ksim.model.compose import fault_sources, lifecycle, recovery_strategies
from ksim.model.fields import param_of
from ksim.model.lifecycle import Budget, Lifecycle, Service
from ksim.model.loader import load
from ksim.model.scenario import Scenario
from ksim.report.graph import as_json, dot, mermaid
from ksim.report.graph_svg import svg
from ksim.source import Param
from ksim.units import YEAR_S, duration_s, rate_per_s, size_bytes, throughput_bytes_per_s

BASES, FAULTS, STRATEGIES = shipped(), fault_sources(), recovery_strategies()


# ---------------------------------------------------------------- discovery


@pytest.mark.parametrize(
    ("package", "found"),
    [(faults, FAULTS), (strategies, STRATEGIES), (bases, BASES)],
    ids=["faults", "strategies", "bases"],
)
def test_every_file_is_found_once_in_sorted_order(package: Any, found: dict[str, Any]) -> None:
    files = sorted(info.name for info in pkgutil.iter_modules(package.__path__))
    assert [name.replace("-", "_") for name in found] == files
    for name, plugin in found.items():
        assert plugin.name == name
        assert re.fullmatch(r"[a-z][a-z0-9_-]*", name)
        assert 10 < len(plugin.summary) < 100
        assert "\n" not in plugin.summary


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_source_has_a_budget_and_the_keys_of_all(name: str) -> None:
    source = FAULTS[name]
    assert source.budget in Budget
    assert {"rate", "shape", "kind"} <= set(source.settings.model_fields)
    assert source.settings().kind == ""


@pytest.mark.parametrize("name", BASES)
def test_a_base_names_known_faults_and_known_keys(name: str) -> None:
    base = BASES[name]
    assert set(base.faults) <= set(FAULTS)
    for key in base.values:
        field_at(key)  # KeyError if there is no such key


# ---------------------------------------------------------------- params


def field_at(dotted: str) -> Any:
    """The pydantic field behind a dotted key."""
    model: type[BaseModel] = Scenario
    parts = dotted.split(".")
    if parts[0] == "faults":
        model, parts = FAULTS[parts[1]].settings, parts[2:]
    for part in parts[:-1]:
        model = model.model_fields[part].annotation  # type: ignore[assignment]
    return model.model_fields[parts[-1]]


def tables() -> Iterator[tuple[str, type[BaseModel]]]:
    todo: list[tuple[str, type[BaseModel]]] = [("", Scenario)]
    todo += [(f"faults.{name}.", source.settings) for name, source in FAULTS.items()]
    while todo:
        prefix, table = todo.pop()
        yield prefix, table
        for name, field in table.model_fields.items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                todo.append((f"{prefix}{name}.", field.annotation))


def all_params() -> dict[str, tuple[str, Param]]:
    """Each Param by a name for the test: the dotted key behind it, and the Param."""
    found = {}
    for prefix, table in tables():
        for name in table.model_fields:
            param = param_of(table, name)
            if param is not None:
                found[prefix + name] = (prefix + name, param)
    for base in BASES.values():
        found |= {f"{base.name}: {key}": (key, param) for key, param in base.values.items()}
    return found


PARAMS = all_params()
WITHOUT_PARAM = {"seed", "horizon", "replications", "confidence", "name", "lifecycle", "faults", "kind", "micro"}


def test_no_default_is_a_naked_number() -> None:
    """Every key of the schema is a Param, a table of them, a share of one, or says how much to simulate."""
    naked = [
        prefix + name
        for prefix, table in tables()
        for name, field in table.model_fields.items()
        if param_of(table, name) is None
        and name not in WITHOUT_PARAM
        and not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel))
    ]
    shares = ("workload.pages.", "recovery.severity.", ".shows.", ".context.", ".leaked.", ".constraint.", ".page.")
    shares += (".reasons.",)
    assert [key for key in naked if not any(part in key for part in shares)] == []


def numeric(text: Any, unit: str) -> float | None:
    """A value or an end of a range as a number: the mean, where it is a law. None for what has no order."""
    if isinstance(text, bool) or text in ("", "none") or isinstance(text, dict):
        return None
    if isinstance(text, int | float):
        return float(text)
    if unit.startswith("s"):
        return parse_law(text).mean
    if unit == "B":
        return float(size_bytes(text))
    if unit == "B/s":
        return throughput_bytes_per_s(text)
    if unit == "1/y":
        return rate_per_s(text)
    try:
        return float(text)
    except ValueError:
        return None


@pytest.mark.parametrize("name", PARAMS)
def test_a_param_parses_lies_in_its_range_and_has_a_source(name: str) -> None:
    _, param = PARAMS[name]
    assert len(param.source.title) > 3
    assert str(param.source).startswith("ASSUMED: ") == param.source.is_assumed
    assert param.unit in {"", "1", "1/s", "s", "B", "B/s", "1/y", "s per TiB of RAM"}
    if param.unit:
        assert param.low, "no lower end of the range to sweep"
        assert param.high, "no upper end of the range to sweep"
    low, value, high = (numeric(text, param.unit) for text in (param.low, param.value, param.high))
    if None not in (low, value, high):
        assert low <= value <= high, f"{param.low} <= {param.value} <= {param.high}"


def test_assumed_params_are_told() -> None:
    for name in BASES:
        loaded = load(name)
        assert set(loaded.assumed()) == {key for key, param in loaded.params.items() if param.source.is_assumed}
        assert loaded.assumed(), "a base without any assumption would be a miracle"
        for key in loaded.params:
            assert field_at(key) is not None


@pytest.mark.parametrize("name", PARAMS)
def test_both_ends_of_a_range_can_be_set(name: str) -> None:
    """A sweep over low .. high must be possible: the ends are values that the loader takes."""
    key, param = PARAMS[name]
    ends = [end for end in (param.low, param.high) if end and numeric(end, param.unit) is not None]
    for end in ends:
        given = [] if not key.startswith("faults.host_pause") else ["faults.host_pause.rate=1 /y"]
        load("rack-server", [*given, f"{key}={end}"])


# ---------------------------------------------------------------- every combination


SETTINGS = [
    pytest.param(oops, panic, cmdline, action, id=f"panic_on_oops={oops} panic={panic} {cmdline or 'default'} {action}")
    for oops, panic, cmdline, action in itertools.product(
        (0, 1), (-1, 0, 10), ("", "quiet", "crashkernel=64M"), ("reboot", "halt", "poweroff", "shell")
    )
]
HARMFUL = ("linux.sysctl.kernel.panic_on_warn=1", "linux.sysctl.kernel.unknown_nmi_panic=1")
"""By default Linux only prints a warning and logs an NMI."""
EVERY_FAULT = (*(f"faults.{name}.rate=2 /y" for name in FAULTS), *HARMFUL)


def overrides(oops: int, panic: int, cmdline: str, action: str) -> list[str]:
    return [
        *EVERY_FAULT,
        f"linux.sysctl.kernel.panic_on_oops={oops}",
        f"linux.sysctl.kernel.panic={panic}",
        f"linux.cmdline={cmdline}",
        f"kdump.failure_action={action}",
    ]


def check_solution(life: Lifecycle) -> None:
    assert solvable(life) == []
    solution = Solution(life)
    assert 0.0 < solution.unavailability < 1.0
    assert all(math.isfinite(v) and v > 0.0 for v in solution.visits), "a node that is there is visited"
    by_cause = solution.downtime_by_cause()
    total = math.fsum(share for phases in by_cause.values() for share in phases.values())
    assert total == pytest.approx(solution.unavailability, rel=1e-12), "causes and phases tile the downtime"
    # flow into a node equals flow out of it, and what leaves a node leaves it with probability 1
    flow = dict.fromkeys(range(len(life.nodes)), 0.0)
    out = dict.fromkeys(range(len(life.nodes)), 0.0)
    for source, way, target, _ in solution._edges:
        assert 0.0 <= way.p <= 1.0
        flow[target] += solution.visits[source] * way.p
        out[source] += way.p
    for node, visits in enumerate(solution.visits):
        assert out[node] == pytest.approx(1.0, abs=1e-9)
        assert flow[node] == pytest.approx(visits, rel=1e-9)


@pytest.mark.parametrize(("oops", "panic", "cmdline", "action"), SETTINGS)
def test_every_strategy_on_every_base_is_valid_and_solved(oops: int, panic: int, cmdline: str, action: str) -> None:
    for base in BASES:
        scenario = load(base, overrides(oops, panic, cmdline, action)).scenario
        for strategy in STRATEGIES:
            life = lifecycle(scenario, strategy)
            assert {node.service for node in life.nodes} >= {Service.UP, Service.DOWN}
            assert set(life.budgets) == set(FAULTS)
            if base == "rack-server" or (oops, action) == (0, "reboot"):  # the laws differ by base, the graph does not
                check_solution(life)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("oops", [0, 1])
def test_every_combination_is_walked(base: str, strategy: str, oops: int) -> None:
    life = lifecycle(load(base, overrides(oops, 0, "", "halt")).scenario, strategy)
    walker = Walker(life, seed=1, batch=8)
    causes: set[str] = set()
    for replication in range(8):
        row = fold(walker.path(replication, 20 * YEAR_S), life.layout, 20 * YEAR_S)  # raises where time is not tiled
        causes |= set(row.started)
    # 320 strikes of each fault expected; that one of them never begins an outage has P below 1e-9
    assert causes == set(FAULTS)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_alone_makes_a_valid_scenario(fault: str) -> None:
    rates = [*(f"faults.{name}.rate={'1 /y' if name == fault else '0 /y'}" for name in FAULTS), *HARMFUL]
    for strategy in STRATEGIES:
        life = lifecycle(load("rack-server", rates).scenario, strategy)
        check_solution(life)
        assert set(Solution(life).downtime_by_cause()) == {fault}


# ---------------------------------------------------------------- pictures


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("base", BASES)
def test_every_graph_can_be_drawn(base: str, strategy: str) -> None:
    life = lifecycle(load(base, overrides(0, 0, "", "halt")).scenario, strategy)
    names = {node.name for node in life.nodes}
    edges = {(node.name, way.to) for node in life.nodes for way in node.ways}

    root = ET.fromstring(svg(life))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")} >= names

    drawn = dot(life)
    assert drawn.count("{") == drawn.count("}") == 1
    assert set(re.findall(r'^  "([^"]*)" \[shape', drawn, re.MULTILINE)) == names
    assert set(re.findall(r'^  "([^"]*)" -> "([^"]*)"', drawn, re.MULTILINE)) == edges

    flow = mermaid(life).splitlines()
    assert flow[0] == "flowchart LR"
    arrows = [line for line in flow if "-->" in line]
    assert len(arrows) == len(edges)

    data = as_json(life)
    assert [node["name"] for node in data["nodes"]] == [node.name for node in life.nodes]
    assert {(edge["source"], edge["target"]) for edge in data["edges"]} == edges


def test_names_that_mean_something_to_a_drawing_language_are_escaped(tmp_path: Any) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        '[lifecycle]\nentry = "a"\nbudgets = { c = "software" }\n'
        '[lifecycle.nodes.a]\nservice = "up"\nbranches = [{ to = "<b> & \\"x\\" \\\\", dwell = "1 d", cause = "c" }]\n'
        '[lifecycle.nodes."<b> & \\"x\\" \\\\"]\nservice = "down"\nbranches = [{ to = "a", dwell = "1 h" }]\n'
    )
    life = lifecycle(load(str(path)).scenario)
    texts = {element.text for element in ET.fromstring(svg(life)).iter("{http://www.w3.org/2000/svg}text")}
    assert '<b> & "x" \\' in texts
    assert '"<b> & \\"x\\" \\\\"' in dot(life)
    assert "<b>" not in mermaid(life)


def test_defaults_of_durations_are_laws_or_seconds() -> None:
    """The two kinds of durations do not get mixed: a law where something is drawn, seconds where Linux counts."""
    for name, (key, param) in PARAMS.items():
        if param.unit == "s" and param.value not in ("none",):
            law: Law = parse_law(param.value)
            assert math.isfinite(law.second_moment), name
            if "law" not in str(field_at(key).annotation).lower():
                assert duration_s(param.value) >= 0.0
