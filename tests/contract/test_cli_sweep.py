"""ksim sweep, best, results and merge as users meet them: output, files, exit codes."""

from __future__ import annotations

import csv
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

STUDY = """
scenario = "rack-server"
strategies = ["full_reboot", "kexec_reboot"]
measures = ["software_downtime_min_per_year", "vmcore_captured"]
[factors]
"host.boot.firmware" = ["60 s", "300 s"]
kernel.panic_on_oops = [0, 1]
"""
FILES = {"sweep.sqlite", "table.csv", "summary.md", "manifest.json"}
SAMPLED = STUDY.replace("[factors]", 'engine = "simulated"\nreplications = 60\n[factors]')


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(STUDY)
    return path


def test_a_sweep_answers_and_stores(ksim, study: Path, tmp_path: Path) -> None:
    done = ksim("sweep", "mine.toml", "--workers", "1")
    assert done.code == 0, done.err
    assert done.err == ""
    for text in ("grid, 4 of 4 points", "kexec_reboot at 4 of 4 points", "exact values", "300 s"):
        assert text in done.out
    folder = tmp_path / "results" / "sweep-mine"
    assert {path.name for path in folder.iterdir()} == FILES
    with (folder / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:4] == ["host.boot.firmware", "kernel.panic_on_oops", "scenario", "strategy"]
    assert {row["method"] for row in rows} == {"exact"}
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["command"] == "ksim sweep mine.toml"
    assert manifest["hosts"]["host"]["host"]["cpus"] == 64
    assert manifest["versions"]["ksim"]
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert ksim("sweep", "mine.toml", "--workers", "2").code == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_json_has_rows_and_provenance(ksim, study: Path) -> None:
    done = ksim("sweep", "mine.toml", "--json", "--set", "host.cpus=8")
    data = json.loads(done.out, parse_constant=lambda name: pytest.fail(f"JSON holds {name}"))
    assert data["manifest"]["hosts"]["host"]["host"]["cpus"] == 8
    assert len({(row["host.boot.firmware"], row["kernel.panic_on_oops"]) for row in data["rows"]}) == 4


def test_results_filters_pivots_and_exports(ksim, study: Path, tmp_path: Path) -> None:
    assert ksim("sweep", "mine.toml", "--out", "out").code == 0
    shown = ksim("results", "out", "--where", "host.boot.firmware=60 s", "--measure", "vmcore_captured").out
    assert "4 rows" in shown
    assert "300 s" not in shown
    pivot = ksim("results", "out/sweep.sqlite", "--pivot", "strategy", "--measure", "software_downtime_min_per_year")
    assert "kexec_reboot" in pivot.out.splitlines()[2]
    assert ksim("results", "out", "--csv", "some.csv", "--parquet", "some.parquet").code == 0
    assert (tmp_path / "some.csv").read_bytes() == (tmp_path / "out" / "table.csv").read_bytes()
    import pandas as pd
    import pyarrow.parquet

    from ksim.report.results import frame_of

    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "some.parquet"),
        pd.read_csv(tmp_path / "some.csv", dtype={"kernel.panic_on_oops": str, "baseline": str}, keep_default_na=False),
    )
    pd.testing.assert_frame_equal(frame_of("out"), pd.read_parquet(tmp_path / "some.parquet"))
    about = json.loads(pyarrow.parquet.read_schema(tmp_path / "some.parquet").metadata[b"ksim"])
    assert about["command"] == "ksim sweep mine.toml"


def test_what_cannot_be_computed_is_named_and_the_rest_is_written(ksim, study: Path, tmp_path: Path) -> None:
    study.write_text(STUDY.replace('"300 s"', '"300 s", "-3 s"'))
    done = ksim("sweep", "mine.toml", "--out", "out")
    assert done.code == 3
    assert "point 5 (host.boot.firmware=-3 s, kernel.panic_on_oops=0): " in done.err
    assert "4 of 6 points are done; for the others, the study has to change" in done.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES


def test_notes_of_some_points_are_no_notes_of_all(ksim, study: Path) -> None:
    out = ksim("sweep", "mine.toml", "--out", "out").out
    assert "Note, of 2 points: changes nothing in what can happen here: kernel.panic_on_oops = 1." in out


def test_strategies_as_a_factor_are_no_alternatives(ksim, study: Path) -> None:
    study.write_text(
        'scenario = "rack-server"\nmeasures = ["availability"]\n'
        '[factors]\nrecovery.strategy = ["kdump", "full_reboot"]\n'
    )
    out = ksim("sweep", "mine.toml", "--out", "out").out
    assert "Best" not in out
    assert len([line for line in out.splitlines() if "0.9999" in line]) == 2


def test_best_refuses_a_factor_that_measures_nothing(ksim, study: Path) -> None:
    study.write_text(STUDY.replace("[0, 1]", "[0, 1]\nname = ['a', 'b']"))
    done = ksim("best", "mine.toml", "--measure", "outages_per_year", "--indifference", "1 /y")
    assert (done.code, "factor name: the scenario ignores it" in done.err) == (2, True)


WRONG = {
    ("results", "out", "--pivot", "strategy", "--json"): "leave --json out",
    ("results", "out", "--csv", "out/sweep.sqlite"): "is the store itself",
    ("results", "out", "--where", "measure=vmcore_captured", "--measure", "software_downtime_min_per_year"): "together",
    ("sweep", "mine.toml", "--set", "host.boot.firmware=5 s"): "varied, and set: host.boot.firmware=5 s",
    ("results", "out", "--where", "host.cpu=1"): "no column 'host.cpu'",
    ("results", "out", "--where", "host.boot.firmware=61 s"): "did you mean '60 s'",
    ("results", "out", "--measure", "availability"): "no row has measure=availability",
    ("results", "out", "--where", "strategy"): "expected COLUMN=VALUE",
    ("results", "out", "--pivot", "unit"): "no such column",
    ("results", "nowhere"): "there is no such store",
    ("results", "mine.toml"): "damaged, or no store",
    ("sweep", "nowhere.toml"): "cannot read study 'nowhere.toml': No such file",
    ("sweep", "mine.toml", "--shard", "5/4"): "expected i/n",
    ("sweep", "mine.toml", "--budget", "10"): "no unit",
    ("sweep", "mine.toml", "--executor", "moon"): "unknown executor 'moon'",
    ("sweep", "mine.toml", "--strategy", "kdump"): "go with --assumed",
    ("sweep", "mine.toml", "--set", "host.cpsu=4"): "did you mean 'cpus'",
    ("sweep", "other.toml", "--out", "out"): "belongs to another study",
    ("sweep", "rack-server", "--assumed", "--measure", "downtime"): "unknown measure 'downtime'",
    ("sweep", "rack-server", "--assumed", "--strategy", "kexec"): "unknown strategy 'kexec'",
    ("merge", "all.sqlite", "mine.toml"): "damaged, or no store",
    ("best", "mine.toml", "--measure", "outage_s_p95", "--indifference", "1 s"): "is no mean",
    ("best", "mine.toml", "--measure", "downtime_min_per_year", "--indifference", "2 %"): "a difference with its unit",
    ("best", "mine.toml", "--measure", "downtime_min_per_year", "--indifference", "2 s"): "does not fit",
    ("best", "mine.toml", "--measure", "availability", "--indifference", "1 s"): "which has no unit",
}  # fmt: skip


@pytest.mark.parametrize(("words", "wanted"), WRONG.items(), ids=[" ".join(words[1:])[:50] for words in WRONG])
def test_wrong_usage_has_one_message_and_code_2(ksim, study: Path, tmp_path: Path, words, wanted: str) -> None:
    (tmp_path / "other.toml").write_text(STUDY.replace("60 s", "61 s"))
    if "out" in words:
        assert ksim("sweep", "mine.toml", "--out", "out").code == 0
    before = (tmp_path / "out" / "sweep.sqlite").read_bytes() if "out" in words else b""
    done = ksim(*words)
    assert done.code == 2, done
    assert wanted in done.err
    assert "Traceback" not in done.err
    if before:
        assert (tmp_path / "out" / "sweep.sqlite").read_bytes() == before


def test_shards_merge_into_the_whole(ksim, study: Path, tmp_path: Path) -> None:
    for i in (2, 1):
        done = ksim("sweep", "mine.toml", "--shard", f"{i}/2", "--out", f"part{i}")
        assert done.code == 0, done.err
        assert f"2 of 2 points of shard {i}/2" in done.out
    parts = [f"part{i}/sweep.{i}of2.sqlite" for i in (2, 1)]
    assert ksim("merge", "all/sweep.sqlite", *parts).out == "4 of 4 points in all/sweep.sqlite\n"
    assert ksim("sweep", "mine.toml", "--out", "all").code == 0
    assert ksim("sweep", "mine.toml", "--out", "alone").code == 0
    for name in ("table.csv", "manifest.json"):
        ours, theirs = ((tmp_path / folder / name).read_text() for folder in ("all", "alone"))
        assert ours == theirs


def test_a_spent_budget_is_code_3_and_goes_on(ksim, study: Path, tmp_path: Path) -> None:
    done = ksim("sweep", "mine.toml", "--budget", "0 s", "--out", "out")
    assert done.code == 3
    assert "0 of 4 points are done; the same command goes on" in done.err
    assert not (tmp_path / "out" / "table.csv").exists()
    assert ksim("sweep", "mine.toml", "--out", "out").code == 0


def test_a_full_disk_is_code_3_and_goes_on(ksim, study: Path, tmp_path: Path) -> None:
    """No file of the child may grow beyond 16 KiB, which the system says as it says that a disk is full."""
    limit = 16 << 10
    done = subprocess.run(
        [sys.executable, "-m", "ksim", "sweep", "mine.toml", "--out", "out", "--workers", "1"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    assert done.returncode == 3, done
    assert "what is done is kept in out; the same command goes on" in done.stderr
    assert "ksim: cannot write: out/sweep.sqlite: " in done.stderr
    assert "Traceback" not in done.stderr
    assert ksim("sweep", "mine.toml", "--out", "out").code == 0
    assert ksim("sweep", "mine.toml", "--out", "alone").code == 0
    ours, theirs = ((tmp_path / folder / "table.csv").read_bytes() for folder in ("out", "alone"))
    assert ours == theirs


def test_precision_decides_how_long_a_cell_takes(ksim, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'scenario = "rack-server"\nengine = "compiled"\nmeasures = ["outages_per_year"]\n'
        'precision = { outages_per_year = "3 %" }\n[factors]\n"faults.kernel_oops.rate" = ["0.2 /y", "5 /y"]\n'
    )
    assert ksim("sweep", "mine.toml", "--out", "out").code == 0
    with (tmp_path / "out" / "table.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["method"] == "compiled"]
    assert all(0.0 < float(row["half_width"]) <= 0.03 * float(row["estimate"]) for row in rows)
    assert int(rows[0]["n"]) > int(rows[1]["n"])


def test_rare_things_are_asked_of_every_cell(ksim, study: Path, tmp_path: Path) -> None:
    study.write_text('rare = ["year_downtime > 48 h", "vmcore_lost"]\n' + STUDY.replace('"300 s"', '"900 s"'))
    assert ksim("sweep", "mine.toml", "--out", "out", "--workers", "1").code == 0
    with (tmp_path / "out" / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    lost = {row["estimate"] for row in rows if row["measure"] == "panic_without_vmcore_per_panic"}
    assert lost == {"1.0"}  # neither strategy saves one
    bad = [row for row in rows if row["measure"] == "year_downtime_over_2880_min"]
    assert {row["method"] for row in bad} == {"exact"}
    assert all(0.0 < float(row["estimate"]) < 0.01 for row in bad)


@pytest.mark.slow
def test_rare_things_are_sampled_with_their_reduction(ksim) -> None:
    words = ("--rare", "year_downtime > 48 h", "--set", "replications=200", "--json")
    rows = json.loads(ksim("run", "rack-server", "--engine", "simulated", *words).out)["rows"]
    found = {row["method"]: row for row in rows if row["measure"] == "year_downtime_over_2880_min"}
    sampled, exact = found["importance sampling"], found["exact"]
    # 4 half-widths are 7.8 standard errors: a false alarm once in 10^14
    assert abs(sampled["estimate"] - exact["estimate"]) < 4.0 * sampled["half_width"]
    assert next(row["estimate"] for row in rows if row["measure"].endswith(":variance_reduction")) > 2.0


def test_assumed_says_what_could_flip_the_conclusion(ksim, tmp_path: Path) -> None:
    words = ("--strategy", "full_reboot", "--strategy", "kdump_kexec", "--measure", "software_downtime_min_per_year")
    done = ksim("sweep", "rack-server", "--assumed", *words)
    assert done.code == 0, done.err
    assert "kdump_kexec is the best as it stands" in done.out
    line = next(line for line in done.out.splitlines() if line.startswith(" capture.success"))
    assert "full_reboot at 0.6" in line
    assert (tmp_path / "results" / "sweep-rack-server-assumed" / "table.csv").exists()


@pytest.mark.parametrize(("engine", "method"), [("auto", "for certain"), ("compiled", "with probability 0.95 or more")])
def test_best_selects_a_configuration(ksim, study: Path, engine: str, method: str) -> None:
    study.write_text(f'engine = "{engine}"\n{STUDY}')
    words = ("best", "mine.toml", "--measure", "software_downtime_min_per_year", "--indifference", "0.1 min/y")
    done = ksim(*words)
    assert done.code == 0, done.err
    assert f"host.boot.firmware=60 s, kernel.panic_on_oops=1, kexec_reboot is the best {method}" in done.out.replace(
        "best, for", "best for"
    )
    assert ("Independent runs would have taken" in done.out) == (engine == "compiled")
    data = json.loads(ksim(*words, "--json").out)
    assert data["winner"] == "host.boot.firmware=60 s, kernel.panic_on_oops=1, kexec_reboot"


@pytest.mark.parametrize("moment", [0.7, 1.2, 1.7, 0.0])
def test_ctrl_c_ends_cleanly_and_keeps_what_is_done(tmp_path: Path, ksim, moment: float) -> None:
    """While workers start, and (0) when the first cells are there."""
    (tmp_path / "mine.toml").write_text(SAMPLED.replace('"300 s"', ", ".join(f'"{i} s"' for i in range(100, 160))))
    child = subprocess.Popen(
        [sys.executable, "-m", "ksim", "sweep", "mine.toml", "--out", "out", "--workers", "2"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not moment and not (tmp_path / "out" / "sweep.sqlite-wal").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(moment or 1.0)
    os.killpg(child.pid, signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130, err
    assert "ksim: interrupted" in err
    assert "Traceback" not in err
    assert moment or "what is done is kept in out; the same command goes on" in err
    assert ksim("sweep", "mine.toml", "--out", "out", "--budget", "0 s").code in (0, 3)
