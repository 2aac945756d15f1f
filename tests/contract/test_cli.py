"""The commands as users meet them: output, files, exit codes, and what must not happen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TINY = ("--set", "replications=40")
ROW_KEYS = {
    "scenario", "strategy", "baseline", "measure", "unit", "estimate", "half_width", "confidence", "n", "method"
}  # fmt: skip


def ksim(*words: str, cwd: Path, env: dict[str, str] | None = None, stdout: int = subprocess.PIPE):
    return subprocess.run(
        [sys.executable, "-m", "ksim", *words],
        cwd=cwd, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **(env or {})},
        stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    heavy = ("numpy", "pandas", "scipy", "networkx", "pydantic", "altair", "rich", "simpy")
    code = (
        "import sys; sys.argv = ['ksim', '--help']\nfrom ksim.cli import main\ntry: main()\n"
        f"except SystemExit: pass\nprint([m for m in {heavy!r} if m in sys.modules], file=sys.stderr)"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "compare" in done.stdout


@pytest.mark.parametrize("command", [("run",), ("solve",), ("compare",)])
def test_json_has_the_same_keys_everywhere(command: tuple[str, ...], tmp_path: Path) -> None:
    done = ksim(*command, "vm", *TINY, "--seed", "3", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"JSON holds {name}"))
    assert all(set(row) == ROW_KEYS for row in data["rows"])
    manifest = data["manifest"]
    assert manifest["seed"] == 3
    assert len(manifest["digest"]) == 64
    assert manifest["command"].startswith(f"ksim {command[0]} vm")


def test_comparison_shows_and_stores_everything(tmp_path: Path) -> None:
    done = ksim("compare", "rack-server", *TINY, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for text in ("full_reboot", "kdump_kexec", "kexec_reboot", "firmware", "capture boot", "application", "ASSUMED"):
        assert text in done.stdout
    assert "…" not in done.stdout
    folder = tmp_path / "results" / "compare-rack-server"
    assert {p.name for p in folder.iterdir()} == {
        "table.csv", "summary.md", "manifest.json", "phases.svg", "phases.png"
    }  # fmt: skip
    import pandas as pd

    table = pd.read_csv(folder / "table.csv")
    assert set(table.columns) == ROW_KEYS
    assert (table["method"] == "exact").any()


def test_same_bytes_whatever_workers_and_hash_seed(tmp_path: Path) -> None:
    words = ("compare", "rack-server", "--set", "replications=1100", "--json")
    runs = [
        ksim(*words, "--workers", workers, cwd=tmp_path, env={"PYTHONHASHSEED": hash_seed})
        for workers, hash_seed in (("1", "0"), ("2", "1"))
    ]
    assert runs[0].returncode == 0, runs[0].stderr
    assert runs[0].stdout == runs[1].stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("run", "rack-servr"), "did you mean 'rack-server'"),
        (("run", "vm", "--set", "host.memry=1 GiB"), "did you mean 'memory'"),
        (("run", "vm", "--set", "host.memory=1 parsec"), "unknown unit"),
        (("run", "vm", "--set", "horizon=0 s"), "horizon"),
        (("run", "vm", "--set", "capture.success=2"), "probability"),
        (("run", "vm", "--set", "faults.kernel_oops.rate=-1 /y"), "negative"),
        (("run", "vm", "--set", "linux.sysctl.kernel.panik=1"), "did you mean 'kernel.panic'"),
        (("run", "vm", "--set", "recovery.severity.fsck=0.9"), "sum"),
        (("run", "vm", "--set", "nonsense"), "KEY=VALUE"),
        (("compare", "vm", "--strategy", "kexek_reboot"), "did you mean 'kexec_reboot'"),
        (("compare", "vm", "--strategy", "kdump", "--strategy", "kdump"), "twice"),
        (("run",), "Missing argument"),
    ],
)
def test_bad_input_is_one_message_and_exit_2(words: tuple[str, ...], expected: str, tmp_path: Path) -> None:
    done = ksim(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_results_that_cannot_be_stored_are_exit_3(tmp_path: Path) -> None:
    (tmp_path / "in_the_way").write_text("x")
    done = ksim("compare", "vm", *TINY, "--out", "in_the_way", cwd=tmp_path)
    assert done.returncode == 3
    assert "cannot write results" in done.stderr
    assert "kexec_reboot" in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_exit_3(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = ksim("solve", "vm", "--json", cwd=tmp_path, stdout=full.fileno())
    assert done.returncode == 3
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("kind", ["dot", "mermaid", "svg"])
def test_graph_draws_every_node(kind: str, tmp_path: Path) -> None:
    done = ksim("graph", "rack-server", "--format", kind, cwd=tmp_path)
    assert done.returncode == 0
    for node in ("running", "panic", "capture_boot", "firmware"):
        assert node in done.stdout


def test_a_write_that_fails_leaves_no_torn_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ksim.study import results

    results.write(tmp_path, {"a": "old"})

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(results.os, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        results.write(tmp_path, {"a": "new"})
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"
