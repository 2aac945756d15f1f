"""Time slices, weights and throttling of the scheduler. Facts, section 4."""

import itertools

import pytest

from ksim.errors import LinuxError
from ksim.linux import sched
from ksim.linux.sched import WEIGHTS, base_slice_ns, sched_latency_ns, weight
from ksim.source import Param

MS = 1_000_000
WMULT = (
    48388, 59856, 76040, 92818, 118348, 147320, 184698, 229616, 287308, 360437,
    449829, 563644, 704093, 875809, 1099582, 1376151, 1717300, 2157191, 2708050, 3363326,
    4194304, 5237765, 6557202, 8165337, 10153587, 12820798, 15790321, 19976592, 24970740, 31350126,
    39045157, 49367440, 61356676, 76695844, 95443717, 119304647, 148102320, 186737708, 238609294, 286331153,
)  # fmt: skip
"""2^32 / weight (kernel/sched/core.c, sched_prio_to_wmult)."""


@pytest.mark.parametrize(
    ("cpus", "cfs_ms", "eevdf_ms", "now_ms"),
    [(1, 0.75, 0.75, 0.7), (2, 1.5, 1.5, 1.4), (3, 1.5, 1.5, 1.4), (4, 2.25, 2.25, 2.1), (7, 2.25, 2.25, 2.1),
     (8, 3.0, 3.0, 2.8), (448, 3.0, 3.0, 2.8)],
)  # fmt: skip
def test_slices_grow_with_the_logarithm_of_the_cpus(cpus, cfs_ms, eevdf_ms, now_ms):
    assert base_slice_ns(cpus, (6, 1)) == cfs_ms * MS
    assert base_slice_ns(cpus, (6, 5)) == cfs_ms * MS
    assert base_slice_ns(cpus, (6, 6)) == base_slice_ns(cpus, (6, 11)) == eevdf_ms * MS
    assert base_slice_ns(cpus, (6, 12)) == base_slice_ns(cpus, (7, 3)) == pytest.approx(now_ms * MS)


def test_the_latency_of_cfs():
    assert [sched_latency_ns(cpus, (6, 1)) for cpus in (1, 2, 8, 64)] == [6 * MS, 12 * MS, 24 * MS, 24 * MS]
    with pytest.raises(LinuxError, match="EEVDF"):
        sched_latency_ns(8, (6, 6))


@pytest.mark.parametrize("cpus", [0, -1])
def test_a_machine_without_cpus_is_refused(cpus):
    with pytest.raises(LinuxError):
        base_slice_ns(cpus, (6, 12))
    with pytest.raises(LinuxError):
        sched_latency_ns(cpus, (6, 1))


def test_weights():
    assert len(WEIGHTS) == 40
    assert (weight(-20), weight(-1), weight(0), weight(1), weight(19)) == (88761, 1277, 1024, 820, 15)


def test_weights_agree_with_the_kernels_table_of_inverses():
    for found, inverse in zip(WEIGHTS, WMULT, strict=True):
        assert abs(2**32 / found - inverse) < 1, "a wrong digit shows here"


def test_one_step_of_nice_is_a_factor_of_about_five_quarters():
    for heavy, light in itertools.pairwise(WEIGHTS):
        assert 1.15 < heavy / light < 1.31
    for nice, found in zip(range(-20, 20), WEIGHTS):
        assert found == pytest.approx(1024 / 1.25**nice, rel=0.05)


@pytest.mark.parametrize("nice", [-21, 20])
def test_no_such_nice_value(nice):
    with pytest.raises(LinuxError):
        weight(nice)


def test_numbers_have_unit_range_and_source():
    found = {name: value for name, value in vars(sched).items() if isinstance(value, Param)}
    assert found["RT_RUNTIME"].value / found["RT_PERIOD"].value == 0.95
    assert (found["HZ"].value, found["SYSCALL"].value, found["CONTEXT_SWITCH"].value) == (250, 200, 2000)
    assumed = {name for name, param in found.items() if param.source.is_assumed}
    assert assumed == {"SYSCALL", "CONTEXT_SWITCH"}
    assert all(param.unit in ("ns", "1/s") and param.what for param in found.values())
