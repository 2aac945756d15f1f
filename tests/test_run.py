"""The bootstrap `./run` and the lock file. Nothing here changes an environment or needs the network."""

import ast
import importlib.machinery
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TOP = Path(__file__).resolve().parents[1]
RUN = TOP / "run"
LOCK = (TOP / "requirements.lock").read_text(encoding="utf-8")


@pytest.fixture
def run() -> ModuleType:
    """The script as a module, fresh for each test."""
    loader = importlib.machinery.SourceFileLoader("run_script", str(RUN))
    spec = importlib.util.spec_from_loader("run_script", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def call(*line: str, cwd: Path = TOP, script: Path = RUN) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(script), *line], cwd=cwd, capture_output=True, text=True, timeout=60)


@pytest.fixture
def made(run: ModuleType) -> None:
    """Skip where calling ./run would make or change an environment, which is not a test's business."""
    if run.state() != "ready":
        pytest.skip("these tests do not run in an environment made by ./run")


def test_parses_on_old_python_and_uses_only_the_standard_library() -> None:
    tree = ast.parse(RUN.read_text(encoding="utf-8"), feature_version=(3, 6))
    names = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert names <= sys.stdlib_module_names
    assert os.access(RUN, os.X_OK)


def test_lock_names_no_place() -> None:
    assert not re.search(r"://|(^|\s)[/~]|file:|index-url|find-links| @ |-e ", LOCK, re.MULTILINE)


def test_everything_in_the_lock_has_a_hash() -> None:
    blocks = re.split(r"^(?=[A-Za-z0-9])", re.sub(r"^\s*#.*\n", "", LOCK, flags=re.MULTILINE), flags=re.MULTILINE)
    blocks = [block for block in blocks if block]
    assert len(blocks) > 30
    assert [block for block in blocks if not re.match(r"\S+==\S+ .*?--hash=sha256:[0-9a-f]{64}", block, re.S)] == []


def test_lock_satisfies_pyproject() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))
    pins = [Requirement(line.rstrip(" \\")) for line in LOCK.splitlines() if re.match(r"[A-Za-z0-9]", line)]
    for text in project["project"]["dependencies"] + project["dependency-groups"]["dev"]:
        wish = Requirement(text)
        found = [pin for pin in pins if canonicalize_name(pin.name) == canonicalize_name(wish.name)]
        assert found, f"{text} is not in requirements.lock"
        for pin in found:
            assert wish.specifier.contains(str(pin.specifier).removeprefix("==")), f"{pin} does not fit {text}"


def test_pip_alone_takes_the_lock_as_it_is() -> None:
    """The lock leaves out what squad says that it needs, so pip must not look for it."""
    assert RUN.read_text(encoding="utf-8").count('"--no-deps", "--require-hashes", "-r", LOCK') == 1
    assert "django" not in LOCK.lower()


def test_pin_of_takes_one_package_with_its_hashes(run: ModuleType) -> None:
    wanted = "uv==2 \\\n    --hash=y \\\n    --hash=z\n"
    text = "a-uv==1 \\\n    --hash=x\n" + wanted + "    # via b\nuvloop==3 \\\n    --hash=w\n"
    assert run.pin_of("uv", text) == wanted
    assert run.pin_of("uv", LOCK).count("--hash=sha256:") > 5


@pytest.mark.parametrize(
    ("settings", "pip_says", "answer"),
    [
        ({}, "", False),
        ({}, "global.extra-index-url='x'\nglobal.cert='y'", False),
        ({}, "global.index-url='x'", True),
        ({}, ":env:.no-index='1'", True),
        ({"PIP_INDEX_URL": "x"}, None, True),
        ({"PIP_INDEX_URL": "x", "UV_DEFAULT_INDEX": "x"}, "global.index-url='x'", False),
    ],
)
def test_pip_only_index(run, monkeypatch, settings, pip_says, answer) -> None:
    for name in (
        "PIP_INDEX_URL",
        "PIP_NO_INDEX",
        "UV_DEFAULT_INDEX",
        "UV_INDEX",
        "UV_INDEX_URL",
        "UV_CONFIG_FILE",
    ):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(run, "ask", lambda command: pip_says)
    assert run.pip_has_its_own_index("python3") is answer


def test_stamp_decides(run: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stamp = tmp_path / "stamp"
    monkeypatch.setattr(run, "STAMP", str(stamp))
    monkeypatch.setattr(run, "PYTHON", sys.executable)
    assert run.state() == "absent"

    def state(digest: str = run.wanted(), place: str = run.HERE, by: str = run.VERSION, inside: str = "3.11") -> str:
        stamp.write_text("\n".join([digest, place, by, inside, ""]), encoding="utf-8")
        return str(run.state())

    assert state() == "ready"
    assert state(by="3.8", inside=run.VERSION) == "ready"
    assert state(by="3.8", inside="3.9") == "absent"
    assert state(place="/elsewhere") == "absent"
    assert state(digest="0") == "stale"
    stamp.write_text("half", encoding="utf-8")
    assert run.state() == "absent"


def test_says_one_sentence_without_a_fit_python(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "ask", lambda command: None)
    with pytest.raises(run.SetUpError, match=r"^it needs a Python >= 3\.11 [^\n]*\.$"):
        run.find_python()


def test_failed_set_up_is_removed(run, monkeypatch, tmp_path, capsys) -> None:
    (tmp_path / "half").mkdir()
    monkeypatch.setattr(run, "HERE", str(tmp_path))
    monkeypatch.setattr(run, "VENV", str(tmp_path / "half"))
    monkeypatch.setattr(run, "STAMP", str(tmp_path / "half" / "stamp"))
    monkeypatch.setattr(run, "wanted", lambda: "0")
    for error, status in ((run.SetUpError("No."), 2), (KeyboardInterrupt(), 130), (OSError("disk full"), 2)):

        def fail(error: BaseException = error) -> None:
            (tmp_path / "half").mkdir(exist_ok=True)
            raise error

        monkeypatch.setattr(run, "make", fail)
        monkeypatch.setattr("signal.signal", lambda *_: None)
        assert run.main(["true"]) == status
        assert not (tmp_path / "half").exists()
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 3


@pytest.mark.usefixtures("made")
def test_passes_status_arguments_and_output_through() -> None:
    done = call("python", "-c", "import sys; print(sys.argv[1:], sys.prefix); sys.exit(7)", "a b", "--help", "")
    assert done.returncode == 7
    assert done.stdout == f"['a b', '--help', ''] {TOP / '.venv'}\n"
    assert done.stderr == ""


@pytest.mark.usefixtures("made")
def test_unknown_command() -> None:
    done = call("no-such-command")
    assert (done.returncode, done.stdout) == (127, "")
    assert done.stderr == "run: there is no command 'no-such-command', neither in .venv nor on PATH.\n"


@pytest.mark.usefixtures("made")
def test_from_elsewhere_and_through_a_link(tmp_path: Path) -> None:
    link = tmp_path / "a link"
    link.symlink_to(RUN)
    done = call("python", "-c", "import os, ksim; print(os.getcwd())", cwd=tmp_path, script=link)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{tmp_path.resolve()}\n", "")


def test_help_needs_no_environment() -> None:
    assert call("--help").stdout.startswith("Run a command in the project's environment")
    done = call()
    assert (done.returncode, done.stdout) == (2, "")
