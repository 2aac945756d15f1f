"""Results on disk: a table, a summary, figures and a manifest that says how to make them again.

Every file is written beside its place and moved there when it is whole: a full disk or a kill leaves the old
file or none, never a torn one. Running again writes the same bytes (figures apart, which other versions of
the drawing library may draw otherwise).
"""

from __future__ import annotations

import json
import os
import platform
import stat
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from ksim import __version__
from ksim.model.loader import Loaded
from ksim.model.scenario import MODEL_VERSION

PACKAGES = ("networkx", "numpy", "pydantic", "scipy", "simpy")


def manifest(loaded: Loaded, command: str) -> dict[str, Any]:
    """How this result came to be: resolved scenario, digest, seed, versions, command, assumed values."""
    scenario = loaded.scenario
    return {
        "command": command,
        "scenario": scenario.resolved(),
        "digest": scenario.digest(),
        "seed": scenario.seed,
        "assumed": {
            key: {"value": param.value, "low": param.low, "high": param.high, "why": param.source.title}
            for key, param in sorted(loaded.assumed().items())
        },
        "versions": versions(),
    }


def versions() -> dict[str, str | int]:
    """ksim, its model, Python and the packages that numbers pass through."""
    found: dict[str, str | int] = {"ksim": __version__, "model": MODEL_VERSION, "python": platform.python_version()}
    return found | {name: metadata.version(name) for name in PACKAGES}


def json_text(data: Any) -> str:
    """JSON with all digits, no NaN, and a stable layout; ASCII, so that any terminal and pipe takes it."""
    return json.dumps(data, indent=1, allow_nan=False) + "\n"


def write(directory: Path, files: Mapping[str, str | bytes]) -> None:
    """Writes ``files`` by name into ``directory``, which is made if needed. Raises OSError.

    A device, a pipe or a link of that name is written to, not replaced.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
        if _is_special(directory / name):
            with open(directory / name, "wb") as file:
                file.write(data)
            continue
        handle, temporary = tempfile.mkstemp(dir=directory, prefix=f".{name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, directory / name)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def _is_special(path: Path) -> bool:
    """Whether something is there that is no plain file."""
    try:
        return not stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False
