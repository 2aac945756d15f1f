"""Dump levels, and what a dump costs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksim.errors import LinuxError, ScenarioError
from ksim.linux.core_collector import Collector, parse_core_collector
from ksim.linux.dump_attempts import attempts
from ksim.linux.makedumpfile import (
    COMPRESSORS,
    PAGE_CLASSES,
    CompressorSpeed,
    default_rates,
    excluded,
    plan_dump,
)
from ksim.units import throughput_bytes_per_s

GIB = 1 << 30
TIB = 1 << 40
SSD = 500e6


# makedumpfile(8): zero, cache, private cache, user, free; X where the level leaves the class out.
MANUAL = """
 0 .....   8 ...X.  16 ....X  24 ...XX
 1 X....   9 X..X.  17 X...X  25 X..XX
 2 .X...  10 .X.X.  18 .X..X  26 .X.XX
 3 XX...  11 XX.X.  19 XX..X  27 XX.XX
 4 .XX..  12 .XXX.  20 .XX.X  28 .XXXX
 5 XXX..  13 XXXX.  21 XXX.X  29 XXXXX
 6 .XX..  14 .XXX.  22 .XX.X  30 .XXXX
 7 XXX..  15 XXXX.  23 XXX.X  31 XXXXX
"""
WORDS = MANUAL.split()
LEVELS = dict(zip(map(int, WORDS[::2]), WORDS[1::2]))


@pytest.mark.parametrize("level", range(32))
def test_level_leaves_out_what_the_manual_says(level):
    marks = dict(zip(("zero", "cache", "private_cache", "user", "free"), LEVELS[level]))
    assert excluded(level) == {name for name, mark in marks.items() if mark == "X"}
    assert "kernel" not in excluded(level)


@pytest.mark.parametrize("level", [-1, 32])
def test_level_out_of_range(level):
    with pytest.raises(LinuxError):
        excluded(level)


BUSY = {"zero": 0.05, "cache": 0.3, "private_cache": 0.05, "user": 0.3, "free": 0.25, "kernel": 0.05}


@pytest.mark.parametrize("level", range(32))
def test_input_is_the_sum_of_the_classes_that_stay(level):
    plan = plan_dump(Collector("lzo", level, 1), 64 * GIB, BUSY, write_bytes_per_s=SSD)
    stays = sum(share for name, share in BUSY.items() if name not in excluded(level))
    assert plan.input_bytes == pytest.approx(64 * GIB * stays)


def test_struct_pages_compress_better_than_the_rest():
    # 64 B per 4 KiB: 1/64 of memory at 9:1; the rest of the kernel at 3:1.
    plan = plan_dump(Collector("lzo", 31, 1), 64 * GIB, BUSY, write_bytes_per_s=SSD)
    assert plan.output_bytes == pytest.approx(1 * GIB / 9 + (0.05 * 64 - 1) * GIB / 3)
    plain = plan_dump(Collector("none", 31, 1), 64 * GIB, BUSY, write_bytes_per_s=SSD)
    assert plain.output_bytes == pytest.approx(plain.input_bytes)


def test_copy_takes_as_long_as_the_slower_of_compressor_and_target():
    rates = {"lzo": CompressorSpeed(100e6, 4.0, 4.0)}
    free = {"kernel": 0.5, "free": 0.5}
    ram = 20_000_000_000.0
    fast = plan_dump(Collector("lzo", 16, 1), ram, free, write_bytes_per_s=1e9, rates=rates, scan_s_per_tib=0.0)
    slow = plan_dump(Collector("lzo", 16, 1), ram, free, write_bytes_per_s=10e6, rates=rates, scan_s_per_tib=0.0)
    assert fast.total_s == pytest.approx(10e9 / 100e6)
    assert slow.total_s == pytest.approx(10e9 / (10e6 * 4))


def test_scan_grows_with_memory_and_adds_to_the_copy():
    plan = plan_dump(Collector("lzo", 31, 1), 2 * TIB, BUSY, write_bytes_per_s=SSD, scan_s_per_tib=45.0)
    assert plan.scan_s == pytest.approx(90)
    assert plan.total_s == plan.scan_s + plan.copy_s


@pytest.mark.parametrize(
    ("pages", "reason"),
    [
        ({"kernel": 0.5}, "add up to 0.5"),
        ({"kernel": 1.5, "free": -0.5}, "expected 0 to 1"),
        ({"kernel": 0.5, "fre": 0.5}, "did you mean 'free'"),
    ],
)
def test_impossible_shares(pages, reason):
    with pytest.raises(ScenarioError, match=reason):
        plan_dump(Collector("lzo", 31, 1), GIB, pages, write_bytes_per_s=SSD)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_write_rate(rate):
    with pytest.raises(ScenarioError, match="write rate"):
        plan_dump(Collector("lzo", 31, 1), GIB, BUSY, write_bytes_per_s=rate)


collectors = st.builds(Collector, st.sampled_from(sorted(COMPRESSORS)), st.integers(0, 31), st.integers(0, 100))
weights = st.lists(st.integers(0, 100), min_size=6, max_size=6).filter(any)
shares = weights.map(lambda w: {name: part / sum(w) for name, part in zip(PAGE_CLASSES, w)})
memory = st.integers(1 << 28, 1 << 44)
write_rates = st.floats(1e6, 1e10)


@given(collectors, memory, shares, write_rates, st.integers(0, 100))
def test_more_threads_never_slower(collector, ram, pages, rate, more):
    faster = Collector(collector.compressor, collector.level, collector.threads + more)
    one = plan_dump(collector, ram, pages, write_bytes_per_s=rate)
    many = plan_dump(faster, ram, pages, write_bytes_per_s=rate)
    assert many.total_s <= one.total_s
    assert many.output_bytes == one.output_bytes


@given(collectors, memory, shares, write_rates, st.integers(0, 31))
def test_higher_exclusion_never_bigger(collector, ram, pages, rate, bits):
    higher = Collector(collector.compressor, collector.level | bits, collector.threads)
    some = plan_dump(collector, ram, pages, write_bytes_per_s=rate)
    fewer = plan_dump(higher, ram, pages, write_bytes_per_s=rate)
    slack = 1 + 1e-9
    assert fewer.input_bytes <= some.input_bytes * slack
    assert fewer.output_bytes <= some.output_bytes * slack
    assert fewer.total_s <= some.total_s * slack


@given(collectors, memory, shares, write_rates, st.floats(1, 100))
def test_faster_target_never_slower(collector, ram, pages, rate, factor):
    slow = plan_dump(collector, ram, pages, write_bytes_per_s=rate)
    assert plan_dump(collector, ram, pages, write_bytes_per_s=rate * factor).total_s <= slow.total_s


@given(collectors, memory, shares, write_rates, st.floats(1, 100))
def test_more_memory_never_smaller(collector, ram, pages, rate, factor):
    small = plan_dump(collector, ram, pages, write_bytes_per_s=rate)
    large = plan_dump(collector, ram * factor, pages, write_bytes_per_s=rate)
    assert large.output_bytes >= small.output_bytes
    assert large.total_s >= small.total_s


@pytest.mark.parametrize(("threads", "seconds"), [(1, 14000), (9, 1600), (17, 870), (25, 650), (33, 550)])
def test_published_thread_scaling(threads, seconds):
    """kdump-utils commit d428557: 0.26 GB/s per thread, 50 s of scan; points read from a plot, +-10 %."""
    rates = {"lzo": CompressorSpeed(0.26e9, 3.0, 3.0)}
    plan = plan_dump(
        Collector("lzo", 1, threads),
        13950 * 0.26e9,
        {"kernel": 1.0},
        write_bytes_per_s=1e12,
        scan_s_per_tib=50 * TIB / (13950 * 0.26e9),
        rates=rates,
    )
    assert plan.total_s == pytest.approx(seconds, rel=0.15)


def test_threads_saturate():
    def copy_s(threads, **limits):
        return plan_dump(Collector("zlib", 0, threads), TIB, BUSY, write_bytes_per_s=1e12, **limits).copy_s

    assert copy_s(8) == pytest.approx(copy_s(1) / 8)
    assert copy_s(64) == copy_s(32) < copy_s(31)
    assert copy_s(64, threads_max=16) == copy_s(16)
    assert copy_s(32, plateau_bytes_per_s=500e6) == pytest.approx(copy_s(10))


def test_read_scans_longer_and_slows_down_with_memory_where_mmap_does_not():
    """Hatayama 2013: a scan by read() takes 1.51 times as long; Wickman 2015: on larger machines also per page."""

    def plan(text, ram, **how):
        return plan_dump(parse_core_collector(text), ram, BUSY, write_bytes_per_s=1e12, scan_s_per_tib=20.0, **how)

    mapped, read = plan("makedumpfile -c -d 31", TIB), plan("makedumpfile -c -d 31 --non-mmap", TIB)
    assert (mapped.scan_s, read.scan_s) == (pytest.approx(20.0), pytest.approx(30.2))
    assert read.copy_s == mapped.copy_s
    for tib in (1, 8, 16):
        near, far = (plan("makedumpfile -c -d 31 --non-mmap", tib * TIB, read_doubles_at_bytes=at)
                     for at in (None, 8 * TIB))  # fmt: skip
        slower = 1 + tib / 8
        assert (far.scan_s, far.compress_s) == (
            pytest.approx(near.scan_s * slower),
            pytest.approx(near.copy_s * slower),
        )
        assert far.output_bytes == near.output_bytes
        by_mmap = plan("makedumpfile -c -d 31", tib * TIB)
        assert plan("makedumpfile -c -d 31", tib * TIB, read_scan=2.0, read_doubles_at_bytes=8 * TIB) == by_mmap


def test_smaller_struct_pages_leave_less_that_compresses_well():
    old, new = (
        plan_dump(Collector("lzo", 31, 1), 64 * GIB, BUSY, write_bytes_per_s=SSD, struct_page_bytes=size)
        for size in (56, 64)
    )
    assert old.input_bytes == new.input_bytes
    moved = 8 / 4096 * 64 * GIB
    assert old.output_bytes - new.output_bytes == pytest.approx(moved * (1 / 3 - 1 / 9))


@pytest.mark.parametrize("key", ["struct_page_bytes", "read_scan", "read_doubles_at_bytes"])
@pytest.mark.parametrize("wrong", [0, -1.0, float("nan")])
def test_impossible_speeds(key, wrong):
    with pytest.raises(ScenarioError, match="expected more than 0"):
        plan_dump(Collector("lzo", 31, 1), GIB, BUSY, write_bytes_per_s=SSD, **{key: wrong})


def test_idle_terabyte_with_zlib_is_as_published():
    """makedumpfile commit 46176a9: 1.7 to 1.8 GB per TB of an idle machine at -c -d 31."""
    idle = {"kernel": 1 / 64, "free": 63 / 64}
    plan = plan_dump(Collector("zlib", 31, 1), TIB, idle, write_bytes_per_s=SSD)
    assert plan.output_bytes == pytest.approx(1.75e9 * TIB / 1e12, rel=0.15)


def tried(text, space):
    return attempts(parse_core_collector(text), TIB, BUSY, write_bytes_per_s=SSD, space_bytes=space)


def test_with_room_the_first_level_is_the_dump():
    plan = plan_dump(parse_core_collector("makedumpfile -l -d 31"), TIB, BUSY, write_bytes_per_s=SSD)
    (only,) = tried("makedumpfile -l -d 31,1", None)
    assert (only.level, only.complete, only.seconds) == (31, True, plan.total_s)
    assert tried("makedumpfile -l -d 31,1", plan.output_bytes) == (only,)


def test_a_full_target_is_tried_again_with_the_next_level():
    """ENOSPC: the file is deleted and the next level tried; the last one leaves vmcore-incomplete and exit code 1."""
    first, second = tried("makedumpfile -l -d 1,31", 100 * GIB)
    assert (first.level, first.complete, first.bytes_written) == (1, False, 100 * GIB)
    assert (second.level, second.complete) == (31, True)
    assert first.seconds > 100 * GIB / SSD
    first, last = tried("makedumpfile -l -d 1,31", GIB)
    assert (first.complete, last.complete, last.bytes_written) == (False, False, GIB)
    (limited,) = tried("makedumpfile -L 1000 -d 31", None)
    assert not limited.complete


@pytest.mark.parametrize(("text", "tries"), [("makedumpfile -l -d 1,17,31", 3), ("makedumpfile -F -l -d 1,17,31", 1)])
def test_a_stream_has_no_second_try(text, tries):
    """makedumpfile(8): a file is deleted for the next level; down a pipe to ssh or dd nothing can be taken back."""
    assert [attempt.complete for attempt in tried(text, GIB)] == [False] * tries


def test_without_any_room_only_the_scan_takes_time():
    (only,) = tried("makedumpfile -l -d 31", 0)
    assert (only.complete, only.bytes_written) == (False, 0)
    assert only.seconds == plan_dump(Collector("lzo", 31, 0), TIB, BUSY, write_bytes_per_s=SSD).scan_s
    for impossible in (-1.0, float("nan")):
        with pytest.raises(ScenarioError, match="expected 0 or more"):
            tried("makedumpfile -l -d 31", impossible)


@given(st.floats(1e6, 1e13))
def test_less_room_never_makes_a_dump_whole(space):
    (found,) = tried("makedumpfile -l -d 31", space)
    whole = plan_dump(parse_core_collector("makedumpfile -l -d 31"), TIB, BUSY, write_bytes_per_s=SSD)
    assert found.complete == (whole.output_bytes <= space)
    assert found.seconds <= whole.total_s + 1e-6


def test_without_unused_struct_pages_an_idle_machine_dumps_far_less():
    """makedumpfile commit 46176a9: 1.7 GB against 244 MB per TB of an idle machine."""
    idle = {"kernel": 1 / 64 + 0.002, "free": 63 / 64 - 0.002}
    sizes = [
        plan_dump(Collector("zlib", 31, 1, drops_unused=e), TIB, idle, write_bytes_per_s=SSD).output_bytes
        for e in (False, True)
    ]
    assert 3.0 < sizes[0] / sizes[1] < 8.0


@pytest.mark.parametrize("name", sorted(COMPRESSORS))
def test_default_lies_in_its_sweep_range(name):
    speed, ratio = COMPRESSORS[name].speed, COMPRESSORS[name].ratio
    low, value, high = (throughput_bytes_per_s(text) for text in (speed.low, speed.value, speed.high))
    assert low < value < high
    assert float(ratio.low) <= ratio.value <= float(ratio.high)
    assert default_rates()[name].bytes_per_s == value
