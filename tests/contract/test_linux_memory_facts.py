"""Free memory marks, dirty limits and the choice of the OOM killer. Facts, section 3."""

import itertools

import pytest

from ksim.errors import LinuxError
from ksim.linux import badness as oom
from ksim.linux import watermarks as marks
from ksim.linux.badness import Candidate, badness, oom_victim, pending_victim
from ksim.linux.watermarks import dirty_limits, min_free_bytes, watermarks
from ksim.source import Param

GIB, MIB, KIB = 2**30, 2**20, 2**10


# ---------------------------------------------------------------- watermarks


@pytest.mark.parametrize(
    ("gib", "kb"), [(1, 4096), (4, 8192), (16, 16384), (64, 32768), (256, 65536), (4096, 262144), (65536, 262144)]
)
def test_min_free_kbytes_without_huge_pages(gib, kb):
    assert min_free_bytes(gib * GIB, thp=False) == kb * KIB


def test_min_free_kbytes_has_a_floor():
    assert min_free_bytes(256 * KIB, thp=False) == 128 * KIB


@pytest.mark.parametrize(
    ("gib", "nodes", "kb"), [(16, 1, 67584), (64, 1, 67584), (64, 2, 90112), (4096, 1, 262144), (2, 1, 45056)]
)
def test_huge_pages_raise_it(gib, nodes, kb):
    assert min_free_bytes(gib * GIB, nodes=nodes) == kb * KIB


def test_huge_pages_take_at_most_5_per_cent():
    assert min_free_bytes(512 * MIB) == 512 * MIB // 4096 // 20 * 4096
    assert min_free_bytes(64 * KIB) == 128 * KIB, "the floor of the formula stays"


def test_the_worked_example():
    found = watermarks(64 * GIB)
    assert found.min_bytes == 67584 * KIB
    assert [b / MIB for b in (found.min_bytes, found.low_bytes, found.high_bytes)] == pytest.approx(
        [66, 130, 194], rel=0.02
    )


def test_the_gap_is_a_quarter_of_min_where_memory_is_small():
    found = watermarks(4 * GIB)
    assert found.low_bytes - found.min_bytes == found.min_bytes // 4 // 4096 * 4096


@pytest.mark.parametrize("gib", [1, 3, 4, 17, 64, 1024])
def test_marks_are_in_order_and_the_gaps_are_alike(gib):
    for thp, nodes, scale in itertools.product((False, True), (1, 2), (1, 10, 3000)):
        found = watermarks(gib * GIB, thp=thp, nodes=nodes, watermark_scale_factor=scale)
        assert 0 < found.min_bytes < found.low_bytes < found.high_bytes
        assert found.high_bytes - found.low_bytes == found.low_bytes - found.min_bytes
        assert found.min_bytes == min_free_bytes(gib * GIB, thp=thp, nodes=nodes) // 4096 * 4096, "whole pages"


def test_knobs_of_the_marks():
    assert watermarks(64 * GIB, min_free_bytes=GIB).min_bytes == GIB
    wide = watermarks(64 * GIB, watermark_scale_factor=100)
    assert wide.low_bytes - wide.min_bytes == pytest.approx(64 * GIB / 100, rel=1e-4)


@pytest.mark.parametrize(
    "bad",
    [
        lambda: watermarks(64 * GIB, watermark_scale_factor=0),
        lambda: watermarks(64 * GIB, watermark_scale_factor=3001),
        lambda: watermarks(GIB, min_free_bytes=GIB),
        lambda: watermarks(GIB, min_free_bytes=-1),
        lambda: min_free_bytes(0),
        lambda: min_free_bytes(GIB, nodes=0),
        lambda: dirty_limits(-1),
        lambda: dirty_limits(GIB, ratio=101),
        lambda: dirty_limits(GIB, background_ratio=-1),
    ],
)
def test_impossible_memory_is_refused(bad):
    with pytest.raises(LinuxError):
        bad()


def test_dirty_limits():
    background, hard = dirty_limits(10 * GIB)
    assert (background / GIB, hard / GIB) == pytest.approx((1.0, 2.0), rel=2e-3)  # cut to 409 and 819 of 4096
    assert background == 10 * GIB // 4096 * 409 // 4096 * 4096


@pytest.mark.parametrize("background_ratio", [20, 30, 100])
def test_a_background_limit_above_the_hard_one_becomes_half_of_it(background_ratio):
    background, hard = dirty_limits(10 * GIB, background_ratio=background_ratio, ratio=20)
    assert background == pytest.approx(hard / 2, abs=4096)


def test_every_number_has_its_source():
    found = {name: value for module in (marks, oom) for name, value in vars(module).items() if isinstance(value, Param)}
    wanted = {
        "DIRTY_WRITEBACK_S": 5.0, "DIRTY_EXPIRE_S": 30.0, "SWAP_CLUSTER_MAX": 32, "MAX_RECLAIM_RETRIES": 16,
        "READAHEAD_BYTES": 128 * KIB, "SWAP_READAHEAD_PAGES": 8, "OOM_REAPER_DELAY_S": 2.0, "OOM_REAPER_TRIES": 10,
    }  # fmt: skip
    assert {name: found[name].value for name in wanted} == wanted
    assert all(param.source.locator and not param.source.is_assumed for param in found.values())


# ---------------------------------------------------------------- badness


def points(rss=0, swap=0, tables=0, adj=0, total=1_000_000):
    return badness(rss_pages=rss, swap_pages=swap, pgtable_pages=tables, oom_score_adj=adj, total_pages=total)


def test_badness_is_pages_and_adjustment():
    assert points(1000, 200, 30) == 1230
    assert points(1000, adj=500) == 501_000
    assert points(1000, adj=-999) == 1000 - 999_000, "points may be negative and still be chosen"
    assert points(1000, adj=-1000) is None
    assert points(adj=1000, total=1999) == 1000, "total / 1000 is rounded down first"


@pytest.mark.parametrize("bad", [{"adj": 1001}, {"adj": -1001}, {"rss": -1}, {"total": -1}])
def test_impossible_processes_are_refused(bad):
    with pytest.raises(LinuxError):
        points(**bad)


def victim(*tasks, allocating=None, kill_allocating=False, total=1_000_000):
    return oom_victim(tasks, total, allocating=allocating, oom_kill_allocating_task=kill_allocating)


SMALL, LARGE = Candidate(10, "small", rss_pages=10), Candidate(20, "large", rss_pages=20)


def test_the_worst_is_killed_whoever_asks():
    assert victim(SMALL, LARGE, allocating=10) == 20
    assert victim(LARGE, SMALL) == 20
    assert victim(SMALL, LARGE, Candidate(30, oom_score_adj=1)) == 30


def test_of_equals_the_later_is_chosen():
    assert victim(SMALL, Candidate(11, rss_pages=10)) == 11


@pytest.mark.parametrize(
    "why", [{"is_init": True}, {"is_kthread": True}, {"oom_score_adj": -1000}, {"is_reaped": True}, {"in_vfork": True}]
)
def test_who_is_passed_over(why):
    immune = Candidate(30, rss_pages=99, **why)
    assert victim(SMALL, immune) == 10
    assert victim(immune) is None, "the machine is deadlocked on memory"


def test_nobody():
    assert victim() is None


def test_the_asking_task_dies_by_sysctl():
    assert victim(SMALL, LARGE, allocating=10, kill_allocating=True) == 10
    for why in ({"is_init": True}, {"is_kthread": True}, {"oom_score_adj": -1000}):
        assert victim(Candidate(10, **why), LARGE, allocating=10, kill_allocating=True) == 20
    assert victim(SMALL, LARGE, kill_allocating=True) == 20, "a kernel thread asks"


def test_a_dying_asking_task_is_chosen_at_once():
    assert victim(Candidate(10, is_dying=True), LARGE, allocating=10) == 10
    assert victim(Candidate(10, is_dying=True), LARGE, allocating=20) == 20, "only if it is the one that asks"
    assert victim(Candidate(10, is_dying=True, is_reaped=True), LARGE, allocating=10) == 20


def test_the_killer_waits_for_its_last_victim():
    earlier = Candidate(10, is_victim=True)
    assert victim(LARGE, earlier) == 10
    assert pending_victim([LARGE, earlier]) == 10
    assert victim(LARGE, Candidate(10, rss_pages=99, is_victim=True, is_reaped=True)) == 20
    assert pending_victim([LARGE]) is None


def test_swapoff_calls_itself_to_account():
    assert victim(Candidate(10, is_oom_origin=True), LARGE) == 10


def test_an_unknown_asking_task_is_refused():
    with pytest.raises(LinuxError, match="99"):
        victim(SMALL, allocating=99)
