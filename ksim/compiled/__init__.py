"""Floor 3, the compiled reader: the simulated reader's walk in machine code, bit for bit the same.

Numba makes the machine code when it is first needed, and keeps it on disk. Where there is no Numba the simulated
reader has to do: ``available`` says so, and nothing else of this package may be imported.
"""

from __future__ import annotations

from importlib.util import find_spec


def available() -> bool:
    """Whether Numba is there for this Python; it is not imported."""
    return find_spec("numba") is not None
