"""What all tests share: the import path, the hypothesis profile, the budget of false alarms, ``--golden-update``."""

import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, settings

TOP = Path(__file__).resolve().parents[1]
if str(TOP) not in sys.path:
    sys.path.insert(0, str(TOP))  # so that ``tests.stat`` and ``tests.strategies`` can be imported

from tests import stat  # noqa: E402  (the line above makes it importable)

settings.register_profile(
    "ci",
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("nightly", settings.get_profile("ci"), derandomize=False, max_examples=1000)
settings.load_profile("ci")

OVERSPENT = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden-update", action="store_true", help="write the golden traces anew instead of comparing with them"
    )


@pytest.fixture
def golden_update(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--golden-update"))


class Done(NamedTuple):
    """What a command line came to."""

    code: int
    out: str
    err: str


@pytest.fixture
def ksim(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Runs a command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> Done:
        from ksim import cli

        monkeypatch.setattr(sys, "argv", ["ksim", *words])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        told = capsys.readouterr()
        return Done(caught.value.code, told.out, told.err)  # type: ignore[arg-type]

    return call


# ---------------------------------------------------------------- one budget of false alarms for the whole session


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """pytest-xdist: a worker hands in what it spent."""
    spent, asserts = getattr(node, "workeroutput", {}).get("false_fail", (0.0, 0))
    stat.BUDGET.spend(spent, asserts)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["false_fail"] = (stat.BUDGET.spent, stat.BUDGET.asserts)
    elif stat.BUDGET.spent > stat.SUITE_BUDGET:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        session.config.stash[OVERSPENT] = "overspent"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if stat.BUDGET.asserts:
        line = f"false alarms: {stat.BUDGET.asserts} statistical asserts, P(any fails by chance) <= "
        line += f"{stat.BUDGET.spent:.2g} of {stat.SUITE_BUDGET:g}"
        overspent = OVERSPENT in config.stash
        terminalreporter.write_line(
            f"{line}: OVERSPENT, the session fails" if overspent else line, red=overspent, green=not overspent
        )
