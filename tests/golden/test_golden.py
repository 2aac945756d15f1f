"""Six short stories, kept as readable traces: a change of a trajectory is seen, and has to be meant.

``pytest tests/golden --golden-update`` writes them anew; the commit must say why the trajectory changed. Times are
rounded to 9 digits. If the use of random numbers changed, the oracles decide what is right, not these files.
"""

import json
from pathlib import Path

import pytest

from ksim.macro.walker import Walker
from ksim.model.compose import lifecycle
from ksim.model.loader import load
from ksim.units import YEAR_S

HERE = Path(__file__).parent
ONE_OOPS = ["faults.kernel_hang.rate=0 /y", "faults.machine_check.rate=0 /y", "faults.hardware_repair.rate=0 /y"]
ONE_REPAIR = ["faults.kernel_oops.rate=0 /y", *ONE_OOPS[:2], "faults.hardware_repair.rate=2 /y"]

STORIES = {
    "kdump_clean": ("kdump", [*ONE_OOPS, "capture.success=1.0"]),
    "capture_fails": ("kdump", [*ONE_OOPS, "capture.success=0.0"]),
    "oops_survived": ("kdump", [*ONE_OOPS, "linux.sysctl.kernel.panic_on_oops=0", "faults.kernel_oops.rate=5 /y"]),
    "hang_until_operator": ("hang_until_operator", ONE_OOPS),
    "kexec_reboot": ("kexec_reboot", ONE_OOPS),
    "hardware_repair": ("kdump", ONE_REPAIR),
}
MUST_VISIT = {
    "kdump_clean": {"panic", "capture_boot", "dump", "vmcore_saved", "firmware"},
    "capture_fails": {"capture_failed", "firmware"},
    "oops_survived": {"kernel_oops", "oopsed.1"},
    "hang_until_operator": {"panic", "hung", "firmware"},
    "kexec_reboot": {"panic", "kexec", "kernel"},
    "hardware_repair": {"hardware_repair"},
}
MUST_NOT_VISIT = {
    "kdump_clean": {"capture_failed", "kexec"},
    "capture_fails": {"dump", "vmcore_saved"},
    "hang_until_operator": {"capture_boot", "kexec"},
    "kexec_reboot": {"dump", "capture_boot"},
    "hardware_repair": {"panic", "firmware"},
}
LONGEST = 40
"""Lines of one story, at most."""


def trace(story: str) -> str:
    strategy, overrides = STORIES[story]
    life = lifecycle(load("rack-server", overrides).scenario, strategy)
    path = Walker(life, seed=7).path(0, 10 * YEAR_S)
    lines = [
        json.dumps(
            {"t": float(f"{s.time_s:.9g}"), "from": s.source, "to": s.target} | ({"cause": s.cause} if s.cause else {})
        )
        for s in path.transitions(life.layout)
    ]
    return "\n".join([*lines[:LONGEST], ""])


@pytest.mark.parametrize("story", STORIES)
def test_story(story: str, golden_update: bool) -> None:
    file, found = HERE / f"{story}.jsonl", trace(story)
    if golden_update:
        file.write_text(found, encoding="utf-8")
    expected = file.read_text(encoding="utf-8").splitlines()
    for number, (line, wanted) in enumerate(zip(found.splitlines(), expected, strict=False), 1):
        assert line == wanted, f"{file.name}:{number}: first difference"
    assert len(found.splitlines()) == len(expected)


@pytest.mark.parametrize("story", STORIES)
def test_the_story_is_the_one_that_its_name_promises(story: str) -> None:
    steps = [json.loads(line) for line in (HERE / f"{story}.jsonl").read_text(encoding="utf-8").splitlines()]
    visited = {step["to"] for step in steps}
    assert 2 <= len(steps) < 100
    assert visited >= MUST_VISIT[story]
    assert not visited & MUST_NOT_VISIT.get(story, set())
    assert steps[0]["from"] == "running"


def test_no_story_is_left_over() -> None:
    assert {file.stem for file in HERE.glob("*.jsonl")} == set(STORIES)
