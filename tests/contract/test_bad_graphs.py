"""``[lifecycle]`` tables that break a rule: each message says at which node."""

from __future__ import annotations

import time
from pathlib import Path

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksim.model import lifecycle
from ksim.model.loader import load
from tests.contract.scenario_files import message, write

OWN = """horizon = "1 y"
[lifecycle]
entry = "up"
budgets = { oops = "software" }

[lifecycle.nodes.up]
service = "up"
clocks = { fail = { after = "exponential(mean=10 d)", to = "down", cause = "oops" } }

[lifecycle.nodes.down]
service = "down"
branches = [{ to = "up", dwell = "exponential(mean=1 h)" }]
"""
BRANCH = "lifecycle.nodes.down.branches.0"
ISLAND = '[lifecycle.nodes.island]\nservice = "up"\nbranches = [{ to = "up", dwell = "1 s" }]\n'


@pytest.mark.parametrize(
    ("old", "new", "where", "expected"),
    [
        ('entry = "up"', 'entry = "op"', ":2: lifecycle: ", "the entry 'op' is not a node (nodes: up, down)"),
        ('entry = "up"', 'entry = "down"', ":10: lifecycle.nodes.down: ", "service that is up"),
        ('entry = "up"\n', "", ":2: lifecycle.entry: ", "required"),
        ('to = "up", dwell', 'to = "upp", dwell', ":10: lifecycle.nodes.down: ", "did you mean 'up'"),
        ('to = "up", dwell', 'to = "down", dwell', ":10: lifecycle.nodes.down: ", "never leads back"),
        ('cause = "oops"', 'cause = "ops"', ":6: lifecycle.nodes.up: ", "cause 'ops' has no budget"),
        (', cause = "oops"', "", ":6: lifecycle.nodes.up: ", "no budget"),
        ('"software"', '"softwear"', ":4: lifecycle.budgets.oops: ", "did you mean 'software'"),
        ('service = "up"', 'service = "on"', ":7: lifecycle.nodes.up.service: ", "'up', 'degraded' or 'down'"),
        ('service = "up"\n', 'service = "up"\nphse = "x"\n', ":8: lifecycle.nodes.up.phse: ", "did you mean 'phase'"),
        ('dwell = "exponential(mean=1 h)"', 'dwell = "1 hour"', f":12: {BRANCH}.dwell: ", "unit"),
        ("mean=1 h", "mean=-1 h", f":12: {BRANCH}.dwell: ", "negative"),
        ('dwell = "exponential(mean=1 h)"', 'dwell = "1 h", p = 0.9', ":10: lifecycle.nodes.down: ", "sum to 0.9"),
        ('dwell = "exponential(mean=1 h)"', 'dwell = "1 h", p = 1.9', f":12: {BRANCH}.p: ", "0 to 1"),
        ('branches = [{ to = "up", dwell = "exponential(mean=1 h)" }]\n', "", ":10: lifecycle.nodes.down: ", "either"),
        ("branches = [", "branches = 3 #", ":12: lifecycle.nodes.down.branches: ", "expected a list"),
        ("[lifecycle.nodes.down]", f"{ISLAND}[lifecycle.nodes.down]", ":10: lifecycle.nodes.island: ", "be reached"),
        ('horizon = "1 y"', "[host]\ncpus = 3", ":1: host: ", "beside [lifecycle]"),
        ('horizon = "1 y"', 'horizn = "1 y"', ":1: horizn: ", "did you mean 'horizon'"),
        ('"exponential(mean=1 h)"', '"0 s"', "", ""),
    ],
)  # fmt: skip
def test_broken_graphs_say_where(old: str, new: str, where: str, expected: str, tmp_path: Path) -> None:
    assert OWN.count(old) >= 1
    path = write(tmp_path, OWN.replace(old, new, 1))
    if not where:
        assert load(path).scenario.lifecycle is not None
        return
    found = message(path)
    assert found.startswith(path + where), found
    assert expected in found


def test_a_graph_in_which_no_time_passes(tmp_path: Path) -> None:
    text = OWN.replace("exponential(mean=10 d)", "0 s").replace("exponential(mean=1 h)", "0 s")
    assert "no time passes" in message(write(tmp_path, text))


def test_a_graph_takes_overrides_of_its_own_keys_only(tmp_path: Path) -> None:
    path = write(tmp_path, OWN)
    down = 'lifecycle.nodes.down.branches=[{to="up", dwell="3 h"}]'
    own = load(path, [down, "seed=5"]).scenario
    assert own.lifecycle is not None
    assert own.lifecycle.nodes["down"].branches[0].dwell.mean == 3 * 3600.0
    for text in ("host.cpus=3", "recovery.strategy=kdump", "faults.kernel_oops.rate=1 /y"):
        assert "beside [lifecycle]" in message(path, text)
    top = write(tmp_path, 'extends = "s.toml"\n[host]\ncpus = 2\n', "top.toml")
    assert message(top).startswith(f"{top}:2: host: ")
    assert not load(path).params, "nothing of a host's defaults is in force"


def test_an_endless_graph_is_refused(tmp_path: Path) -> None:
    nodes = "".join(
        f'n{i} = {{ service = "up", branches = [{{ to = "n{i + 1}", dwell = "1 s" }}] }}\n' for i in range(2000)
    )
    text = '[lifecycle]\nentry = "n0"\nbudgets = {}\n[lifecycle.nodes]\n' + nodes
    start = time.process_time()
    assert "1000" in message(write(tmp_path, text))
    assert time.process_time() - start < 5.0


EDGES = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef")), max_size=12)


@given(EDGES)
def test_what_can_be_reached_and_where_nothing_passes_is_as_networkx_says(edges: list[tuple[str, str]]) -> None:
    graph: nx.DiGraph[str] = nx.DiGraph(edges)
    graph.add_nodes_from("abcdef")
    after = {name: list(graph.succ[name]) for name in graph}
    for name in graph:
        assert lifecycle._reached(name, edges) == nx.descendants(graph, name) | {name}
        cycle = lifecycle._cycle(name, after)
        assert bool(cycle) == any(name in graph.succ[other] for other in {name} | nx.descendants(graph, name))
        assert nx.is_simple_path(graph, cycle) or not cycle
        assert not cycle or (cycle[0] == name and graph.has_edge(cycle[-1], name))
