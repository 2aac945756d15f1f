"""--engine: who answers, what the method column says, and that the answer is the same."""

import json
import sys

import pytest
from click.testing import CliRunner

from ksim import compiled
from ksim.cli import cli
from ksim.errors import NotSolvable, ScenarioError
from ksim.model.loader import load
from ksim.study import compare as study
from ksim.study.engine import ENGINES, MOST_TICKS, reader_of

SMALL = ("replications=200",)


def ask(*args: str) -> dict:
    found = CliRunner().invoke(cli, [*args, "--json"], standalone_mode=False)
    assert found.exception is None, found.exception
    return json.loads(found.stdout)


def methods(rows: list[dict]) -> set[str]:
    return {row["method"] for row in rows}


def test_compiled_rows_are_the_simulated_rows() -> None:
    loaded = load("rack-server", SMALL)
    simulated = study.compare(loaded, engine="simulated").rows
    found = study.compare(loaded, engine="compiled", workers=2).rows
    assert methods(found) == {"compiled", "compiled, paired", "exact"}
    assert [row | {"method": row["method"].replace("compiled", "simulated")} for row in found] == simulated


def test_exact_samples_nothing() -> None:
    rows = study.run(load("rack-server", SMALL), engine="exact").rows
    assert methods(rows) == {"exact"}
    assert all((row["n"], row["confidence"]) == (0, 1.0) for row in rows)
    assert all(row["half_width"] <= 2e-3 * abs(row["estimate"]) for row in rows), "enclosed, where it is no closed form"


def test_auto_has_one_row_for_each_measure_and_samples_what_has_no_exact_value() -> None:
    loaded = load("rack-server", SMALL)
    rows = study.run(loaded, engine="auto", tails=False).rows
    auto = {row["measure"]: row for row in rows}
    assert len(auto) == len(rows)
    both = study.run(loaded, engine="compiled", tails=False).rows
    exact = {row["measure"]: row for row in both if row["method"] == "exact"}
    sampled = {row["measure"]: row for row in both if row["method"] != "exact"}
    assert auto == sampled | exact
    assert auto["outage_s_p99"]["method"] == auto["year_downtime_min_p99"]["method"] == "compiled"
    assert list(auto)[:2] == ["availability", "downtime_min_per_year"]


def test_auto_samples_nothing_where_everything_is_solved() -> None:
    loaded = load("rack-server", SMALL)
    found = study.run(loaded, engine="auto").rows
    assert methods(found) == {"exact"}
    both = study.run(loaded, engine="compiled").rows
    assert {row["measure"] for row in found} == {row["measure"] for row in both}


def test_auto_samples_everything_where_nothing_can_be_solved(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise NotSolvable("node 'x': no")

    monkeypatch.setattr(study, "Solution", refuse)
    loaded = load("rack-server", SMALL)
    found = study.run(loaded, engine="auto")
    assert "compiled" in methods(found.rows)
    assert {row["measure"] for row in found.rows if row["method"] == "exact"} == {
        "crashkernel_mib",
        "crashkernel_share",
    }
    assert any("node 'x': no" in note for note in found.notes)
    with pytest.raises(NotSolvable, match="node 'x'"):
        study.run(loaded, engine="exact")


def test_without_numba_the_simulated_reader_answers_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load("rack-server", SMALL)
    wanted = study.run(loaded, engine="simulated").rows
    monkeypatch.setitem(sys.modules, "numba", None)
    assert not compiled.available()
    found = study.run(loaded, engine="compiled")
    assert found.rows == wanted
    assert sum("Numba is not installed" in note for note in found.notes) == 1
    auto = study.run(loaded, engine="auto", tails=False)
    assert "simulated" in methods(auto.rows)
    assert not study.run(loaded, engine="exact").notes
    assert not study.run(loaded, engine="simulated").notes


def test_a_horizon_beyond_64_bits_is_simulated() -> None:
    assert reader_of("auto", MOST_TICKS / 2**20)[0] == "simulated"
    assert reader_of("compiled", MOST_TICKS / 2**20 * 0.999) == ("compiled", "")


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_from_the_command_line(engine: str, tmp_path) -> None:
    data = ask("run", "vm", "--set", "replications=50", "--engine", engine)
    sampled = None if engine in ("auto", "exact") else engine
    assert methods(data["rows"]) == {"exact", *([sampled] if sampled else [])}
    command = ["compare", "vm", "--set", "replications=50", "--engine", engine, "--out", str(tmp_path / "x")]
    assert CliRunner().invoke(cli, command, standalone_mode=False).exception is None


def test_an_engine_that_does_not_exist() -> None:
    found = CliRunner().invoke(cli, ["run", "vm", "--engine", "warp"])
    assert found.exit_code == 2
    assert "'auto', 'simulated', 'compiled', 'exact'" in found.output


def test_workers_change_nothing() -> None:
    loaded = load("vm", ("replications=3000",))
    one = study.compare(loaded, engine="compiled", workers=1).rows
    assert study.compare(loaded, engine="compiled", workers=3).rows == one


def test_auto_answers_exactly_where_one_replication_would_be_too_long_to_sample() -> None:
    loaded = load("rack-server", ("horizon=100000 y", "faults.kernel_oops.rate=20 /y"))
    assert methods(study.run(loaded, engine="auto").rows) == {"exact"}
    with pytest.raises(ScenarioError, match="steps"):
        study.run(loaded, engine="compiled")
