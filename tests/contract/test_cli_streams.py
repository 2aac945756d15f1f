"""The command line among other programs: pipes that close, disks that are full, Ctrl-C, odd terminals, odd scenarios.

Most of it runs in this process through ``ksim.cli.main``; what needs a process of its own has one.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from ksim.study import results

TOP = Path(__file__).parents[2]
TINY = ("--set", "replications=40", "--set", "horizon=5 y")
OWN = """name = "two states"
horizon = "1 y"
replications = 30
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


def start(*words: str, cwd: Path, module: bool = True, env: dict[str, str] | None = None, **options: Any):
    line = [sys.executable, "-m", "ksim"] if module else [str(Path(sys.executable).parent / "ksim")]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen([*line, *words], cwd=cwd, env={**os.environ, **(env or {})}, text=True, **options)


# ---------------------------------------------------------------- what commands print and store


@pytest.mark.parametrize("command", ["run", "solve", "compare"])
def test_json_and_table_hold_the_same_rows(ksim, command: str) -> None:
    done = ksim(command, "vm", *TINY, "--seed", "5", "--set", "host.cpus=3", "--json", "--out", "o")
    assert (done.code, done.err) == (0, "")
    assert done.out.isascii()
    data = json.loads(done.out, parse_constant=lambda name: pytest.fail(name))
    assert set(data) == {"schema_version", "manifest", "notes", "rows"}
    stored = list(csv.DictReader(io.StringIO(Path("o/table.csv").read_text())))
    assert len(stored) == len(data["rows"]) > 20
    for row, text in zip(data["rows"], stored):
        assert row["estimate"] == float(text["estimate"])
        assert (row["half_width"] is None) == (text["half_width"] == "")
        assert [str(row[key]) for key in ("scenario", "strategy", "measure", "n")] == [
            text[key] for key in ("scenario", "strategy", "measure", "n")
        ]
    manifest = data["manifest"]
    assert manifest == json.loads(Path("o/manifest.json").read_text())
    assert manifest["seed"] == 5
    assert manifest["scenario"]["host"]["cpus"] == 3
    assert {"ksim", "model", "python", "numpy", "scipy", "simpy"} <= set(manifest["versions"])
    assert "--set host.cpus=3" in manifest["command"]
    assert "--out" not in manifest["command"], "where the results lie is no part of them"
    from ksim.model.loader import load

    overrides = [TINY[1], TINY[3], "host.cpus=3"]
    assert manifest["digest"] == load("vm", overrides, seed=5).scenario.digest()


def test_stored_comparison_is_whole(ksim) -> None:
    assert ksim("compare", "vm", *TINY, "--out", "o").code == 0
    assert {file.name for file in Path("o").iterdir()} == {
        "table.csv", "manifest.json", "summary.md", "phases.svg", "phases.png"
    }  # fmt: skip
    assert ET.fromstring(Path("o/phases.svg").read_text()).tag.endswith("svg")
    assert Path("o/phases.png").read_bytes().startswith(b"\x89PNG")
    summary = Path("o/summary.md").read_text()
    assert summary.startswith("# vm\n")
    assert "full_reboot" in summary
    assert "`ksim compare vm" in summary


def test_a_second_run_writes_the_same_bytes(ksim) -> None:
    for folder in ("a", "b"):
        assert ksim("compare", "vm", *TINY, "--out", folder).code == 0
    for name in ("table.csv", "manifest.json", "summary.md"):
        assert Path("a", name).read_bytes() == Path("b", name).read_bytes()


def test_only_compare_writes_unasked(ksim, tmp_path: Path) -> None:
    for words in (("run", "vm", *TINY), ("solve", "vm"), ("graph", "vm"), ("show", "vm"), ("--help",)):
        assert ksim(*words).code == 0
    assert list(tmp_path.iterdir()) == []


def test_a_name_of_a_scenario_is_no_path(ksim, tmp_path: Path) -> None:
    assert ksim("compare", "vm", *TINY, "--set", "name=../../x y").code == 0
    assert [str(p.relative_to(tmp_path)) for p in sorted(tmp_path.glob("*/*"))] == ["results/compare-..-..-x-y"]


@pytest.mark.parametrize("command", ["run", "solve", "graph", "show"])
def test_bad_input_writes_nothing(ksim, command: str, tmp_path: Path) -> None:
    done = ksim(command, "vm", "--set", "host.cpu=3")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("ksim: --set: host.cpu: unknown key")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ("compare", "vm", "--strategy", "no_such"), ("compare", "vm", "--strategy", "auto", "--strategy", "auto"),
        ("run",), ("run", "vm", "--seed", "-1"), ("run", "vm", "--seed", "x"), ("run", "vm", "--workers", "0"),
        ("run", "vm", "vm"), ("graph", "vm", "--format", "png"), ("graph", "vm", "--strategy", "x"), ("nothing",),
        ("run", "vm", "--set", "faults.host_pause.rate=1 /s"),
    ],
)  # fmt: skip
def test_wrong_usage_is_2_and_one_message(ksim, words: tuple[str, ...], tmp_path: Path) -> None:
    done = ksim(*words)
    assert (done.code, done.out) == (2, "")
    assert 0 < len(done.err.strip().splitlines()) <= 6
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("strategies", [("auto",), ("kdump",), ("hang_until_operator", "auto", "kexec_reboot")])
def test_any_strategies_can_be_compared(ksim, strategies: tuple[str, ...]) -> None:
    done = ksim("compare", "rack-server", *TINY, *(w for name in strategies for w in ("--strategy", name)))
    assert done.code == 0
    assert all(name in done.out for name in strategies)
    assert ("Difference from" in done.out) == (len(strategies) > 1)


def test_piped_tables_are_whole_and_name_every_strategy_and_phase(ksim) -> None:
    done = ksim("compare", "large-memory", *TINY, "--set", "linux.sysctl.kernel.panic_on_oops=0")
    table = list(csv.DictReader(io.StringIO(Path("results/compare-large-memory/table.csv").read_text())))
    prefix = "software_outage_s_mean:phase="
    phases = {
        row["measure"].removeprefix(prefix)
        for row in table
        if row["measure"].startswith(prefix) and float(row["estimate"]) > 0
    }
    assert {"capture boot", "dump", "kexec", "firmware", "hung"} <= phases
    lines = [line.split("  ")[0].strip() for line in done.out.splitlines()]
    assert phases <= set(lines)
    assert "…" not in done.out
    assert "\x1b" not in done.out, "no colours in a pipe"


def test_one_replication_and_no_outage_are_shown(ksim) -> None:
    done = ksim("run", "vm", "--set", "replications=1", "--set", "horizon=1 s", "--engine", "simulated")
    assert done.code == 0
    assert "± ?" in done.out
    done = ksim("run", "vm", "--set", "replications=1", "--set", "horizon=1 s", "--json")
    assert done.code == 0
    json.loads(done.out, parse_constant=lambda name: pytest.fail(name))


def test_a_comparison_without_software_faults(ksim) -> None:
    rates = [w for name in ("kernel_oops", "kernel_hang") for w in ("--set", f"faults.{name}.rate=0")]
    assert ksim("compare", "vm", *TINY, *rates).code == 0


def test_a_lifecycle_of_ones_own_goes_through_every_command(ksim) -> None:
    Path("own.toml").write_text(OWN)
    for words in (
        ("run",),
        ("solve",),
        ("show",),
        ("graph",),
        ("run", "--json"),
        ("solve", "--json"),
        ("graph", "--json"),
    ):
        done = ksim(words[0], "own.toml", *words[1:])
        assert (done.code, done.err) == (0, ""), words
    data = json.loads(ksim("run", "own.toml", "--json").out)
    rows = {(row["measure"], row["method"]): row for row in data["rows"]}
    assert rows["outage_s_mean", "exact"]["estimate"] == pytest.approx(3600.0)
    assert {row["strategy"] for row in data["rows"]} == {"own"}
    assert "lifecycle" in data["manifest"]["scenario"]
    assert "host" not in data["manifest"]["scenario"]
    for kind in ("dot", "mermaid", "svg"):
        assert "down" in ksim("graph", "own.toml", "--format", kind).out
    done = ksim("compare", "own.toml")
    assert done.code == 2
    assert "no strategies to choose from" in done.err


def test_a_write_that_fails_midway_leaves_no_part(ksim, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(results.os, "fsync", fail)
    done = ksim("run", "vm", *TINY, "--out", "o")
    assert done.code == 3
    assert done.err == "ksim: cannot write results to o: No space left on device\n"
    assert "availability" in done.out, "the answer itself is not lost"
    assert list(Path("o").iterdir()) == []


@pytest.mark.parametrize("out", ["file", "file/below", "/proc/no/such/place"])
def test_out_that_cannot_be_is_3(ksim, out: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = ksim("run", "vm", *TINY, "--out", out)
    assert done.code == 3
    assert "cannot write results" in done.err
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.parametrize("text", ["name=é 日本 ±", "name=[bold]x[/bold] <b>&amp; `x` | $(x)"])
def test_any_name_can_be_printed_and_stored(ksim, text: str) -> None:
    for words in (("run", "vm"), ("compare", "vm"), ("graph", "vm"), ("show", "vm"), ("run", "vm", "--json")):
        assert ksim(*words, *(TINY if words[0] != "graph" else ()), "--set", text).code == 0
    data = json.loads(ksim("solve", "vm", "--set", text, "--json").out)
    assert data["rows"][0]["scenario"] == text.removeprefix("name=")


# ---------------------------------------------------------------- processes of their own


def test_the_module_is_the_command(tmp_path: Path) -> None:
    runs = [start("solve", "vm", "--json", cwd=tmp_path, module=module) for module in (True, False)]
    outs = [run.communicate(timeout=60) for run in runs]
    assert outs[0] == outs[1]
    assert outs[0][1] == ""


@pytest.mark.parametrize(
    "words", [("solve", "vm"), ("solve", "vm", "--json"), ("graph", "vm", "--format", "svg")], ids=" ".join
)
def test_a_reader_that_goes_away_ends_it_quietly(words: tuple[str, ...], tmp_path: Path) -> None:
    reader, writer = os.pipe()
    run = start(*words, cwd=tmp_path, stdout=writer)
    os.close(writer)
    os.close(reader)
    _, err = run.communicate(timeout=60)
    assert (run.returncode, err) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_and_closed_streams(tmp_path: Path) -> None:
    shell = f"exec {sys.executable} -m ksim"
    lines = {
        f"{shell} solve vm >/dev/full": 3,
        f"{shell} solve vm >&-": 0,
        f"{shell} run vm --set replications=5 >&- 2>&-": 0,
        f"{shell} solve vm --set x=1 2>/dev/full": 2,
    }
    runs = {
        line: subprocess.Popen(["sh", "-c", line], cwd=tmp_path, stderr=subprocess.PIPE, stdout=-1) for line in lines
    }
    for line, run in runs.items():
        _, err = run.communicate(timeout=60)
        assert run.returncode == lines[line], line
        assert b"Traceback" not in err
        assert len(err.splitlines()) <= 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_of_few_letters(encoding: str, tmp_path: Path) -> None:
    run = start(
        "run", "vm", *TINY, "--set", "name=日本 é", cwd=tmp_path, env={"PYTHONIOENCODING": encoding}, encoding=encoding
    )
    out, err = run.communicate(timeout=60)
    assert (run.returncode, err) == (0, "")
    assert "\\u65e5\\u672c" in out


def cpu_s(session: int) -> float:
    """CPU time of all processes of a session so far."""
    ticks = 0
    for pid in alive(session):
        with contextlib.suppress(OSError):
            ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def alive(session: int) -> list[str]:
    """Processes of a session that still run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, sid = entry.read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):
            continue
        if int(sid) == session and state != "Z":
            found.append(entry.parent.name)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for orphans in /proc")
@pytest.mark.parametrize(("engine", "workers"), [("simulated", "1"), ("simulated", "2"), ("compiled", "2")])
def test_ctrl_c_is_130_and_leaves_nobody(engine: str, workers: str, tmp_path: Path) -> None:
    words = ("run", "vm", "--set", "replications=100000000", "--engine", engine, "--workers", workers, "--out", "o")
    run = start(*words, cwd=tmp_path, start_new_session=True)
    deadline = time.monotonic() + 60.0
    processes = 4 if (engine, workers) == ("simulated", "2") else 1
    while len(alive(run.pid)) < processes and time.monotonic() < deadline:
        time.sleep(0.1)  # with two workers: command, fork server, resource tracker, workers
    while cpu_s(run.pid) < 1.5 and time.monotonic() < deadline:
        time.sleep(0.1)  # into the work itself, however busy the machine is
    assert run.poll() is None, run.communicate()
    os.killpg(run.pid, signal.SIGINT)
    try:
        out, err = run.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)  # or it would run for hours beside the other tests
        raise
    assert run.returncode == 130
    assert err.strip() == "ksim: interrupted"
    assert out == ""
    deadline = time.monotonic() + 10.0
    while alive(run.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive(run.pid) == []
    assert list(tmp_path.iterdir()) == []
