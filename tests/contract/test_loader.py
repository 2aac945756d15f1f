"""Scenario files: layers, equal scenarios, and one clear message for everything that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from ksim.errors import ScenarioError
from ksim.model.loader import load


def write(folder: Path, text: str, name: str = "s.toml") -> str:
    (folder / name).write_text(text, "utf-8")
    return str(folder / name)


def message(path: str, *overrides: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        load(path, overrides)
    return str(caught.value)


def test_layers_override_each_other(tmp_path: Path) -> None:
    write(tmp_path, 'extends = "rack-server"\nhorizon = "5 y"\n[host]\nmemory = "1 TiB"\n', "base.toml")
    top = write(tmp_path, 'extends = "base.toml"\n[host]\ncpus = 8\n')
    loaded = load(top, ["host.cpus=9"], seed=5)
    assert loaded.scenario.host.cpus == 9
    assert loaded.scenario.host.memory == 2**40
    assert loaded.scenario.horizon == 5 * 365 * 86400
    assert loaded.scenario.seed == 5
    assert "kernel_oops" in loaded.scenario.faults


def test_what_the_user_sets_is_no_longer_assumed(tmp_path: Path) -> None:
    assert "capture.success" in load("rack-server").assumed()
    assert "capture.success" not in load("rack-server", ["capture.success=0.8"]).assumed()


def test_units_do_not_change_the_digest(tmp_path: Path) -> None:
    a = load("vm", ["kexec.jump=90 s"]).scenario
    assert a.digest() == load("vm", ["kexec.jump=1.5 min"]).scenario.digest()
    assert a.digest() != load("vm", ["kexec.jump=91 s"]).scenario.digest()


@pytest.mark.parametrize("text", ['"kernel.panic" = 3', "kernel.panic = 3"])
def test_sysctls_with_and_without_quotes(text: str, tmp_path: Path) -> None:
    path = write(tmp_path, f'extends = "vm"\n[linux.sysctl]\n{text}\n')
    assert load(path).scenario.linux.sysctl["kernel.panic"] == 3


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ('extends = "vm"\nsead = 3\n', 2, "did you mean 'seed'"),
        ('extends = "vm"\n[host]\nmemry = "1 GiB"\n', 3, "did you mean 'memory'"),
        ('extends = "vm"\n[host]\nboot = { firmwar = "3 s" }\n', 3, "did you mean 'firmware'"),
        ('extends = "vm"\n\n[faults.kernel_ops]\nrate = "1 /y"\n', 3, "did you mean 'kernel_oops'"),
        ('extends = "vm"\n[faults.kernel_oops]\nrate = "1 per year"\n', 3, "not a rate"),
        ('extends = "vm"\n[kexec]\njump = "3"\n', 3, "no unit"),
        ('extends = "vm"\n[kexec]\njump = "-3 s"\n', 3, "negative"),
        ('extends = "vm"\n[kexec]\njump = "inf s"\n', 3, "not a duration"),
        ('extends = "vm"\n[kexec]\njump = "1e999 s"\n', 3, "finite"),
        ('extends = "vm"\n[kexec]\nsuccess = nan\n', 3, "probability"),
        ('extends = "vm"\n[kexec]\nsuccess = 1.5\n', 3, "probability"),
        ('extends = "vm"\n[kexec]\njump = "lognormall(mean=3 s, sigma=1)"\n', 3, "did you mean 'lognormal'"),
        ('extends = "vm"\n[recovery]\nseverity = { journal = 0.5, fsck = 0.1, reinstall = 0.1 }\n', 3, "sum to 0.7"),
        ('extends = "vm"\n[recovery]\nstrategy = "kdmp"\n', 3, "did you mean 'kdump'"),
        ('extends = "vm"\n[kdump]\ncore_collector = "makedumpfile -d 99"\n', 3, "0 to 31"),
        ('extends = "vm"\n[linux]\nsysctl = { "kernel.panic_on_ops" = 1 }\n', 3, "kernel.panic_on_oops"),
        ('extends = "vm"\nhorizon = "0 s"\n', 2, "horizon"),
    ],
)
def test_messages_name_file_line_and_the_nearest_name(text: str, line: int, expected: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    found = message(path)
    assert found.startswith(f"{path}:{line}: "), found
    assert expected in found, found


def test_extends_in_a_circle(tmp_path: Path) -> None:
    write(tmp_path, 'extends = "b.toml"\n', "a.toml")
    write(tmp_path, 'extends = "a.toml"\n', "b.toml")
    assert "circle" in message(str(tmp_path / "a.toml"))


def test_junk_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "junk.toml").write_bytes(bytes(range(256)) * 10)
    assert "junk.toml" in message(str(tmp_path / "junk.toml"))
    with (tmp_path / "huge.toml").open("wb") as file:
        file.truncate(100 * 2**20)
    assert "larger than" in message(str(tmp_path / "huge.toml"))
    assert "cannot read" in message(str(tmp_path))
    assert "cannot read" in message(str(tmp_path / "none.toml"))
    assert message(write(tmp_path, "a = " + "[" * 5000))


GRAPH = """
[lifecycle]
entry = "up"
budgets = { f = "hardware" }
[lifecycle.nodes.up]
service = "up"
branches = [{ to = "down", dwell = "30 d", cause = "f" }]
[lifecycle.nodes.down]
service = "down"
branches = [{ to = "TARGET", dwell = "1 h", p = 1.0 }]
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GRAPH.replace("TARGET", "nowhere"), "not a node"),
        (GRAPH.replace("TARGET", "down"), "never leads back"),
        (GRAPH.replace("p = 1.0", "p = 0.9").replace("TARGET", "up"), "sum to 0.9"),
        (GRAPH.replace('cause = "f"', 'cause = "g"').replace("TARGET", "up"), "no budget"),
        (
            GRAPH.replace("TARGET", "up")
            + '[lifecycle.nodes.island]\nservice = "up"\nbranches = [{ to = "up", dwell = "1 s" }]\n',
            "cannot be reached",
        ),
    ],
)
def test_broken_graphs_are_refused(text: str, expected: str, tmp_path: Path) -> None:
    assert expected in message(write(tmp_path, text))


def test_a_whole_graph_is_taken(tmp_path: Path) -> None:
    assert load(write(tmp_path, GRAPH.replace("TARGET", "up"))).scenario.lifecycle is not None
