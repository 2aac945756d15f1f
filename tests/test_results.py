"""What is committed under results/ and quoted in the README is what the program writes, byte for byte."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from ksim.cli import cli
from ksim.report.experiment import run
from ksim.study.results import versions, write

TOP = Path(__file__).parents[1]
README = (TOP / "README.md").read_text("utf-8")
EXPERIMENTS = sorted(path.stem for path in (TOP / "experiments").glob("e[0-9][0-9]_*.py"))


def experiment(name: str):
    spec = importlib.util.spec_from_file_location(name, TOP / "experiments" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.EXPERIMENT


@pytest.mark.timeout(1800)  # whole experiments, some of which take minutes
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_committed_results_are_reproduced(name: str) -> None:
    """Table and summary to the byte; the manifest but for versions of other packages; figures may differ."""
    files = run(experiment(name), workers=2)
    folder = TOP / "results" / name
    for file in ("table.csv", "summary.md"):
        assert (folder / file).read_text("utf-8") == files[file], f"{file} of {name} is not what the program writes"
    committed, written = json.loads((folder / "manifest.json").read_text("utf-8")), json.loads(files["manifest.json"])
    for scenario in written["scenarios"].values():
        assert scenario.pop("versions") == versions()
    for scenario in committed["scenarios"].values():
        assert scenario.pop("versions")["model"] == versions()["model"]
    assert committed == written
    assert {path.name for path in folder.iterdir()} == set(files)


def test_experiments_are_named_by_their_file() -> None:
    for name in EXPERIMENTS:
        assert experiment(name).name == name
    assert EXPERIMENTS


def test_readme_quotes_the_results() -> None:
    """The block behind `<!-- from FILE -->` stands in FILE, line by line and in one piece."""
    quotes = re.findall(r"<!-- from (\S+) -->\n```text\n(.*?)```\n<!-- end -->", README, re.DOTALL)
    assert quotes
    for file, block in quotes:
        assert block.strip()
        assert block in (TOP / file).read_text("utf-8"), f"README quotes {file} wrongly"


def test_readme_findings_are_those_of_the_experiments() -> None:
    """Each row of the table of experiments: its question heads the summary, its finding stands there."""
    rows = re.findall(r"^\| \[e\d\d\]\((\S+)\) \| (.*?) \| (.*?) \|$", README, re.MULTILINE)
    assert len(rows) == len(EXPERIMENTS)
    for file, question, finding in rows[1:]:
        text = (TOP / file).read_text("utf-8")
        assert question.casefold() in text.splitlines()[0].casefold()
        assert f"- {finding}\n" in text


def test_readme_commands_parse() -> None:
    """Every `./run ksim ...` line of the README names a real command with real options."""
    lines = [line for line in README.splitlines() if line.startswith("./run ksim ")]
    assert len(lines) >= 4
    for line in lines:
        words = shlex.split(line.split(" > ")[0])[2:]
        command = cli.commands[words[0]]
        command.make_context(words[0], words[1:])


def test_readme_scenario_loads(tmp_path: Path) -> None:
    from ksim.model.loader import load

    block = re.search(r"```toml\n(.*?)```", README, re.DOTALL)
    assert block is not None
    tomllib.loads(block[1])
    (tmp_path / "mine.toml").write_text(block[1], "utf-8")
    scenario = load(str(tmp_path / "mine.toml")).scenario
    assert scenario.faults["nic_driver"].kind == "driver_oops"
    assert scenario.host.memory == 512 * 2**30


def test_readme_study_is_the_one_that_its_commands_run(tmp_path: Path) -> None:
    from ksim.study.sweep.study_file import plan_of

    blocks = [block for block in re.findall(r"```toml\n(.*?)```", README, re.DOTALL) if "[factors]" in block]
    (tmp_path / "firmware.toml").write_text(blocks[0], "utf-8")
    committed = TOP / "experiments" / "studies" / "firmware.toml"
    assert str(committed.relative_to(TOP)) in README
    assert plan_of(tmp_path / "firmware.toml").digest == plan_of(committed).digest


def test_readme_library_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    block = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert block is not None
    code = block[1].replace("seed=1", "seed=1, replications=20")
    exec(compile(code, "README.md", "exec"), {})
    assert "kdump" in capsys.readouterr().out


def test_readme_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (TOP / target).exists(), f"README links to {target}"


def test_what_is_no_plain_file_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    plain, link = tmp_path / "plain", tmp_path / "link"
    plain.write_text("old")
    link.symlink_to(plain)
    write(tmp_path, {"link": "new"})
    assert link.is_symlink()
    assert plain.read_text() == "new"
    link.unlink()
    link.symlink_to("/dev/full")
    if link.exists():
        with pytest.raises(OSError, match="No space left"):
            write(tmp_path, {"link": "new"})
        assert link.is_symlink()
