"""Numba, with a cache on disk that can be trusted.

Numba asks only whether the file of a function itself has changed, and believes what it reads. Here machine code is
stale when any file that goes into it has changed, a file of the cache that is damaged or not ours counts as not there,
and one that cannot be written is done without.
"""

from __future__ import annotations

import contextlib
import hashlib
import pickle
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.runtime import rtsys

from ksim.chance import portable

Function = Callable[..., Any]


def jit(function: Function) -> Function:
    """A function that only machine code calls: it becomes part of its callers."""
    # inlined: to hand over the arrays of a program costs more than most of these functions
    found: Function = numba.njit(error_model="numpy", _nrt=False, forceinline=True)(function)
    return found


def called(function: Function) -> Function:
    """The same for what is needed seldom: it stays out of its callers, whose code is the smaller and faster."""
    # said in so many words, since what is not said is taken over from the caller
    found: Function = numba.njit(error_model="numpy", _nrt=False, forceinline=False)(function)
    return found


def kernel(function: Function) -> Function:
    """A function that Python calls: compiled at its first call or loaded from the cache. It releases the GIL."""
    code = numba.njit(nogil=True, error_model="numpy", _nrt=False)(function)
    # nowhere to keep it, or a Numba that does so in another way: compiled anew in each process
    with contextlib.suppress(RuntimeError, OSError, AttributeError):
        code._cache = Kept(code.py_func)
    found: Function = code
    return found


class Kept(FunctionCache):  # type: ignore[misc]
    """Numba's cache of one function, in Numba's own place; what goes wrong with it is as if it were empty."""

    def __init__(self, function: Function) -> None:
        super().__init__(function)
        self._cache_file = Checked(self._cache_path, self._impl.filename_base, sources())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            # Numba would first load all that it can compile, which takes longer than everything else that ksim does
            # before it answers. Machine code that is there needs the symbols of its runtime and no more.
            rtsys.initialize(target_context)
            with self._guard_against_spurious_io_errors():
                return self._load_overload(sig, target_context)
        except Exception:  # unpickling a damaged file can raise anything at all
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except Exception:  # a full disk, no right to write, a damaged index
            self._enabled = False


class Checked(IndexDataCacheFile):  # type: ignore[misc]
    """Files of machine code that begin with their own digest: one damaged byte in them would run."""

    def _load_index(self) -> Any:
        try:
            return super()._load_index()
        except Exception:  # damaged: it will be written anew
            return {}

    def _save_data(self, name: str, data: Any) -> None:
        text = self._dump(data)
        with self._open_for_write(self._data_path(name)) as file:
            file.write(self._dump((digest(text), text)))

    def _load_data(self, name: str) -> Any:
        seal, text = super()._load_data(name)
        if seal != digest(text):
            raise OSError(f"{name} is damaged")
        return pickle.loads(text)


def digest(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=16).digest()


@cache
def sources() -> str:
    """Digest of every file whose text becomes machine code."""
    files = [*sorted(Path(__file__).parent.glob("*.py")), Path(portable.__file__)]
    return digest(b"\0".join(file.read_bytes() for file in files)).hex()
