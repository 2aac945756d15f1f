"""SciPy's special functions without the package around them, whose import takes ten times as long.

``scipy.special`` collects documentation and other libraries when it is imported; what intervals need is one compiled
module of it. Where SciPy has it no more, the package itself is imported.
"""

from __future__ import annotations

import sys
from functools import cache
from types import ModuleType
from typing import Any

PACKAGE = "scipy.special"


@cache
def special() -> Any:
    """A module with stdtrit, ndtri, bdtr and gammaincinv."""
    if PACKAGE not in sys.modules:
        found = _compiled()
        if found is not None:
            return found
    import scipy.special

    return scipy.special


def _compiled() -> Any:
    """``scipy.special._ufuncs``, which looks for its neighbours in a package that is not there yet."""
    import scipy

    stand_in = ModuleType(PACKAGE)
    stand_in.__path__ = [f"{path}/special" for path in scipy.__path__]
    sys.modules[PACKAGE] = stand_in
    try:
        from scipy.special import _ufuncs
    except ImportError:
        return None
    finally:
        del sys.modules[PACKAGE]  # whoever wants the package gets the real one
    names = ("stdtrit", "ndtri", "bdtr", "gammaincinv")
    return _ufuncs if all(hasattr(_ufuncs, name) for name in names) else None
