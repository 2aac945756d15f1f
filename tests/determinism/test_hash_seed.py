"""The same scenario and seed give the same path, whatever the hash seed of the interpreter.

Each line of the subprocess is one transition with the exact digits of its time; a mismatch shows the first
transition that differs, not two checksums.
"""

import os
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]

PROGRAM = """
import sys
from ksim.exact.solve import Solution
from ksim.macro.walker import Walker
from ksim.model.compose import lifecycle, recovery_strategies
from ksim.model.loader import load

base = sys.argv[1]
rates = [f"faults.{name}.rate=300 /y" for name in load(base).scenario.faults]
loaded = load(base, [*rates, "linux.sysctl.kernel.panic_on_oops=0", "host.watchdog=600 s"])
print(loaded.scenario.digest())
for strategy in recovery_strategies():
    life = lifecycle(loaded.scenario, strategy)
    print(strategy, repr(Solution(life).unavailability), *life.notes)
    walker = Walker(life, seed=7)
    for replication in (0, 1, 77):
        for step in walker.path(replication, 6e5).transitions(life.layout):
            print(strategy, replication, repr(step.time_s), step.source, step.target, step.cause)
"""


def lines(base: str, hash_seed: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, base],
        cwd=TOP,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def first_difference(a: list[str], b: list[str]) -> str:
    """The first line that differs, with its number; empty if none does."""
    for number, (left, right) in enumerate(zip_longest(a, b), 1):
        if left != right:
            return f"line {number}: {left!r} against {right!r}"
    return ""


@pytest.mark.parametrize("base", ["rack-server", "vm"])
def test_hash_seeds_do_not_matter(base: str) -> None:
    reference = lines(base, "0")
    assert len(reference) > 500
    for hash_seed in ("1", "random"):
        assert first_difference(reference, lines(base, hash_seed)) == ""


def test_a_difference_is_named() -> None:
    assert first_difference(["a", "b", "c"], ["a", "x", "c"]) == "line 2: 'b' against 'x'"
    assert first_difference(["a"], ["a", "b"]) == "line 2: None against 'b'"
    assert first_difference(["a"], ["a"]) == ""
