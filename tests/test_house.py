"""The house rules that a tool can check: style, types, length of files, documentation of the model, no private places."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[1]
MODEL_FILES = sorted(f for kind in ("faults", "strategies") for f in (TOP / "ksim" / "model" / kind).glob("[a-z]*.py"))
LONGEST_FILE = 400
PYTHON_FILES = sorted(file for top in ("ksim", "tests", "experiments") for file in (TOP / top).rglob("*.py"))


@pytest.mark.parametrize("line", [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]], ids=" ".join)
def test_tools_have_nothing_to_say(line: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *line], cwd=TOP, capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


@pytest.mark.parametrize("file", MODEL_FILES, ids=lambda file: file.stem)
def test_a_part_of_the_model_says_what_it_models_and_by_which_sources(file: Path) -> None:
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    for head in ("Model ", "Sources "):
        assert re.search(rf"^{head}", text, re.MULTILINE), f"{file.name}: no line '{head.strip()}' in its docstring"


@pytest.mark.parametrize("file", PYTHON_FILES, ids=lambda file: str(file.relative_to(TOP)))
def test_files_stay_short_and_say_what_they_are(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST_FILE
    assert not text.strip() or ast.get_docstring(ast.parse(text)), "no module docstring"


def test_the_package_is_typed() -> None:
    assert (TOP / "ksim" / "py.typed").exists()


PLACES = {
    "an address of a package registry": r"https?://[^\s\"')]*(?:pypi|pythonhosted|/simple\b|artifactory|nexus|npmjs)",
    "an absolute path of one machine": r"(?<![\w./>-])/(?:home|root|work|Users|mnt|tmp/\w)/[\w.-]+",
}


def places(text: str) -> list[str]:
    return [f"{what}: {found[0]}" for what, pattern in PLACES.items() for found in re.finditer(pattern, text)]


def tracked() -> list[Path]:
    # files that are about to be committed count too
    line = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(line, cwd=TOP, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [TOP / name for name in done.stdout.split("\0") if name and (TOP / name).is_file()]


def test_no_file_names_a_private_place() -> None:
    found = []
    for file in tracked():
        if file == Path(__file__).resolve():
            continue
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{file.relative_to(TOP)}: {place}" for place in places(text)]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "https://pypi.org/simple",
        "http://nexus.example/repository/pypi/simple/",
        "'/home/me/x'",
        "cd /work/main",
        "(/root/x)",
    ],
)
def test_private_places_are_found(text: str) -> None:
    assert places(text)


@pytest.mark.parametrize(
    "text", ["/proc/vmcore", "/etc/kdump.conf", "https://docs.kernel.org/home/x", "a/work/b", "~/x"]
)
def test_public_places_are_not(text: str) -> None:
    assert places(text) == []
