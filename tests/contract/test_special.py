"""The short way to SciPy's functions gives SciPy's own, and leaves the package as it is."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import sys
from ksim.study.special import special
short = special()
assert "scipy.special" not in sys.modules
import scipy.special, scipy.stats
calls = {"stdtrit": (9, 0.975), "ndtri": (0.975,), "bdtr": (3, 10, 0.5), "gammaincinv": (2.0, 0.9)}
for name, arguments in calls.items():
    assert getattr(short, name)(*arguments) == getattr(scipy.special, name)(*arguments), name
assert abs(scipy.stats.t(9).ppf(0.975) - short.stdtrit(9, 0.975)) < 1e-12
print(short.__name__)
"""


@pytest.mark.parametrize(
    ("before", "wanted"), [("", "scipy.special._ufuncs"), ("import scipy.special", "AssertionError")]
)
def test_the_short_way_is_the_same(before: str, wanted: str) -> None:
    """With the package there already, the package is taken, which the second line of the code notices."""
    done = subprocess.run([sys.executable, "-c", before + CODE], capture_output=True, text=True, check=False)
    assert wanted in done.stdout + done.stderr


def test_without_the_module_the_package_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    from ksim.study import special as module

    module.special.cache_clear()
    monkeypatch.setattr(module, "_compiled", lambda: None)
    assert module.special().__name__ == "scipy.special"
    module.special.cache_clear()
