"""``ksim run`` as a new process: what a person waits for, and how much memory it takes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

TOP = Path(__file__).resolve().parents[2]
MAIN = """
import atexit, sys
def peak():
    with open("/proc/self/status") as file:
        sys.stderr.write(next(line for line in file if line.startswith("VmHWM")))
atexit.register(peak)
from ksim.cli import main
main()
"""
"""``ksim``, which says at its end how much memory it had: the system's count of a child includes that of its parent."""


class Done(NamedTuple):
    """Seconds by the clock, peak resident memory of its process in MiB, and the rows of the answer by measure."""

    wall_s: float
    peak_mib: float
    rows: dict[str, dict[str, Any]]


def ksim_run(base: str, engine: str, **settings: object) -> Done:
    """The sampled rows where the engine samples, else the exact ones. ``settings`` are scenario keys."""
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    command = [sys.executable, "-c", MAIN, "run", base, "--engine", engine, "--json", *words]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=True)
    wall = time.perf_counter() - started
    (peak,) = (line.split()[1] for line in done.stderr.splitlines() if line.startswith("VmHWM"))
    rows = {row["measure"]: row for row in json.loads(done.stdout)["rows"] if row["method"] == engine}
    return Done(wall, int(peak) / 1024, rows)
