"""The scenarios of published dumps hold what least squares make of those numbers by ksim's own dump."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import least_squares

from ksim.model.loader import load
from ksim.study.claims import Claim, claims_of
from ksim.study.member import Member
from ksim.study.quantities import exact_value

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
CLAIMS = claims_of(EXPERIMENTS / "e05_published.csv")


def claims(scenario: str, quantity: str, *, by_read: bool) -> list[Claim]:
    """Those that a fit may use, or those by mmap(), which it may not."""
    own = [c for c in CLAIMS if c.scenario == scenario and c.quantity == quantity and c.published is not None]
    return [c for c in own if any("core_collector" in o and "--non-mmap" not in o for o in c.overrides) != by_read]


def logs(found: Sequence[Claim], *fitted: str) -> np.ndarray:
    """ln(ksim / published) of each."""
    path = str(EXPERIMENTS / "scenarios" / f"{found[0].scenario}.toml")
    values = []
    for claim in found:
        value = exact_value(Member(load(path, (*claim.overrides, *fitted))), claim.quantity, claim.unit)
        assert value is not None
        values.append(np.log(value.value / claim.published))
    return np.array(values)


def fitted(found: Sequence[Claim], start: Sequence[float], keys: Sequence[str]) -> np.ndarray:
    def residuals(x: np.ndarray) -> np.ndarray:
        return logs(found, *(key.format(*np.exp(x).tolist()) for key in keys))

    return np.exp(least_squares(residuals, np.log(start), diff_step=1e-4, xtol=1e-8).x)


def test_kernel_pages_of_the_sgi_machines() -> None:
    sizes = claims("k3_sgi_uv", "vmcore", by_read=True)
    assert len(sizes) == 7
    pages = load(str(EXPERIMENTS / "scenarios" / "k3_sgi_uv.toml")).scenario.workload.pages

    def residuals(x: np.ndarray) -> np.ndarray:
        kernel = 56 / 4096 + float(np.exp(x[0]))
        return logs(sizes, f"workload.pages={{kernel={kernel!r}, free={1 - kernel!r}}}")

    (rest,) = np.exp(least_squares(residuals, np.log([0.001]), diff_step=1e-4).x)
    assert pages.kernel == pytest.approx(56 / 4096 + rest, abs=0.005 * rest)


def test_rates_of_the_sgi_machines() -> None:
    times = claims("k3_sgi_uv", "dump", by_read=True)
    assert len(times) == 8
    keys = ("capture.scan_per_tib={0!r} s", "capture.thread_rate={1!r} MB/s", "capture.read_doubles_at={2!r} TiB")
    settings = load(str(EXPERIMENTS / "scenarios" / "k3_sgi_uv.toml")).scenario.capture
    found = fitted(times, (30.0, 70.0, 10.0), keys)
    assert settings.read_doubles_at is not None
    assert settings.thread_rate is not None
    in_file = (settings.scan_per_tib, settings.thread_rate / 1e6, settings.read_doubles_at / 2**40)
    assert in_file == pytest.approx(tuple(found), rel=0.005)
