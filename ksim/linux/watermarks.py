"""When reclaim starts, when allocations stall, when writers are throttled: free memory marks and dirty limits.

kswapd is woken below ``low`` and works until ``high``; below ``min`` the allocating task has to reclaim itself.
Bytes and seconds; the zones of a machine are added up. Follows mm/page_alloc.c, mm/khugepaged.c, mm/vmscan.c and
mm/page-writeback.c.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ksim.errors import LinuxError
from ksim.source import Param, Source

PAGE_BYTES = 4096
"""Base page of x86-64 (arch/x86/include/asm/page_types.h)."""
KIB = 1024
_PAGES_PER_PAGEBLOCK = 512  # 2 MiB, the size of a huge page
_PCP_MIGRATE_TYPES = 3  # unmovable, movable, reclaimable
_DMA32_USABLE_BYTES = 3 * 2**30  # of the first 4 GiB, the last belongs to PCI devices
_MIN_FREE_KB = (128, 262144)

DIRTY_WRITEBACK_S = Param(
    5.0, "s", "1 s", "60 s", Source("Linux", "mm/page-writeback.c, dirty_writeback_interval"), "flusher wakes up"
)
DIRTY_EXPIRE_S = Param(
    30.0, "s", "1 s", "300 s", Source("Linux", "mm/page-writeback.c, dirty_expire_interval"), "dirty data is old"
)
SWAP_CLUSTER_MAX = Param(32, "pages", "32", "32", Source("Linux", "include/linux/swap.h"), "one batch of reclaim")
MAX_RECLAIM_RETRIES = Param(
    16, "1", "16", "16", Source("Linux", "mm/internal.h"), "rounds without progress until the OOM killer is asked"
)
READAHEAD_BYTES = Param(
    128 * KIB, "B", "0 B", "4 MiB", Source("Linux", "include/linux/pagemap.h, VM_READAHEAD_PAGES"), "of a file"
)
SWAP_READAHEAD_PAGES = Param(
    8, "pages", "1", "64", Source("Linux", "mm/swap.c, swap_setup(); vm.page-cluster = 3"), "read by one swap-in"
)
WATERMARK_SCALE_FACTOR = Param(
    10, "1/10000", "1", "3000", Source("Linux", "mm/page_alloc.c, watermark_scale_factor"), "of a zone, between marks"
)
DIRTY_BACKGROUND_RATIO = Param(
    10, "%", "1", "50", Source("Linux", "mm/page-writeback.c, dirty_background_ratio"), "the flusher starts"
)
DIRTY_RATIO = Param(
    20, "%", "1", "100", Source("Linux", "mm/page-writeback.c, vm_dirty_ratio"), "writers are throttled"
)


@dataclass(frozen=True, slots=True)
class Watermarks:
    """Free memory in bytes, below which Linux acts: ``min_bytes`` < ``low_bytes`` < ``high_bytes``."""

    min_bytes: int
    low_bytes: int
    high_bytes: int


def min_free_bytes(ram_bytes: int, *, thp: bool = True, nodes: int = 1) -> int:
    """What vm.min_free_kbytes is after boot: 4 x sqrt(RAM in kB) kB, raised for huge pages.

    ``thp``: transparent_hugepage is always or madvise; then khugepaged wants 11 page blocks free per zone, but never
    more than 5 % of the memory. Raises LinuxError for less than one page or one node.
    """
    _check(ram_bytes, nodes)
    low, high = _MIN_FREE_KB
    kb = min(max(math.isqrt(16 * (ram_bytes // KIB)), low), high)
    if not thp:
        return kb * KIB
    blocks = _zones(ram_bytes, nodes) * (2 + _PCP_MIGRATE_TYPES**2)
    pages = min(blocks * _PAGES_PER_PAGEBLOCK, ram_bytes // PAGE_BYTES // 20)
    return max(kb * KIB, pages * PAGE_BYTES)


def watermarks(
    ram_bytes: int,
    *,
    thp: bool = True,
    nodes: int = 1,
    watermark_scale_factor: int = WATERMARK_SCALE_FACTOR.value,
    min_free_bytes: int | None = None,
) -> Watermarks:
    """The marks of the whole machine. ``min_free_bytes``: vm.min_free_kbytes in bytes, if somebody has set it.

    Raises LinuxError where Linux refuses the sysctl (scale factor 1 to 3000), and where nothing would be left.
    """
    _check(ram_bytes, nodes)
    bounds = int(WATERMARK_SCALE_FACTOR.low), int(WATERMARK_SCALE_FACTOR.high)
    if not bounds[0] <= watermark_scale_factor <= bounds[1]:
        raise LinuxError(f"vm.watermark_scale_factor is {bounds[0]} to {bounds[1]}, not {watermark_scale_factor}")
    least = _min_free(ram_bytes, thp=thp, nodes=nodes) if min_free_bytes is None else min_free_bytes
    if not 0 <= least < ram_bytes:
        raise LinuxError(f"vm.min_free_kbytes of {least} bytes does not fit into {ram_bytes} bytes of memory")
    min_pages = least // PAGE_BYTES
    # zones share the minimum by size, so that the sum over zones is the value of one large zone
    gap = max(min_pages // 4, ram_bytes // PAGE_BYTES * watermark_scale_factor // 10000)
    return Watermarks(min_pages * PAGE_BYTES, (min_pages + gap) * PAGE_BYTES, (min_pages + 2 * gap) * PAGE_BYTES)


def dirty_limits(
    dirtyable_bytes: int,
    *,
    background_ratio: int = DIRTY_BACKGROUND_RATIO.value,
    ratio: int = DIRTY_RATIO.value,
) -> tuple[int, int]:
    """Dirty bytes from which the flusher writes, and from which writers are throttled.

    ``dirtyable_bytes``: free memory and page cache, not all RAM. Ratios in per cent, cut to 1/4096 as the kernel does;
    a background limit that is not below the hard one becomes half of it. Raises LinuxError outside 0 to 100.
    """
    if dirtyable_bytes < 0:
        raise LinuxError(f"dirtyable memory cannot be negative: {dirtyable_bytes} bytes")
    for name, value in (("dirty_background_ratio", background_ratio), ("dirty_ratio", ratio)):
        if not 0 <= value <= 100:
            raise LinuxError(f"vm.{name} is 0 to 100 per cent, not {value}")
    pages = dirtyable_bytes // PAGE_BYTES
    background = (background_ratio * PAGE_BYTES // 100) * pages // PAGE_BYTES
    hard = (ratio * PAGE_BYTES // 100) * pages // PAGE_BYTES
    if background >= hard:
        background = hard // 2
    return background * PAGE_BYTES, hard * PAGE_BYTES


_min_free = min_free_bytes  # a keyword argument of watermarks() has the same name


def _zones(ram_bytes: int, nodes: int) -> int:
    """Populated zones: DMA and DMA32 of node 0, and Normal of every node; without the latter in small machines."""
    return nodes + (2 if ram_bytes > _DMA32_USABLE_BYTES else 1)


def _check(ram_bytes: int, nodes: int) -> None:
    if ram_bytes < PAGE_BYTES:
        raise LinuxError(f"a machine has at least one page of memory, not {ram_bytes} bytes")
    if nodes < 1:
        raise LinuxError(f"a machine has at least 1 NUMA node, not {nodes}")
