"""``ksim run`` as a new process: what a person waits for, and how much memory it takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

TOP = Path(__file__).resolve().parents[2]


class Done(NamedTuple):
    """Seconds by the clock and of all CPUs, peak resident memory in MiB, and the rows of the answer by measure."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    rows: dict[str, dict[str, Any]]


def ksim_run(base: str, engine: str, **settings: object) -> Done:
    """The sampled rows where the engine samples, else the exact ones. ``settings`` are scenario keys."""
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    command = [sys.executable, "-m", "ksim", "run", base, "--engine", engine, "--json", *words]
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=TOP, stdout=subprocess.PIPE)
    assert process.stdout is not None
    text = process.stdout.read()
    # of this child alone; a worker process of its own is not counted with it, and the largest is as large
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    assert process.returncode == 0, command
    rows = {row["measure"]: row for row in json.loads(text)["rows"] if row["method"] == engine}
    return Done(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, rows)
