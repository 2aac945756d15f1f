"""What a dump costs with given options of makedumpfile: bytes written and seconds taken.

    T = scan + input / min(compression, write rate x ratio)

The scan looks at every ``struct page`` and grows with memory; ``input`` is what the dump level leaves in.
Reading and compressing run in threads, one writer follows. /proc/vmcore is read by mmap(), or page by page by read()
(``--non-mmap``, and kernels before 3.11): that makes the scan ``read_scan`` times as long, and on machines whose
memory is no longer small against ``read_doubles_at`` it slows down all reading. Bytes, seconds, bytes per second;
ratios are input per output.

Follows makedumpfile.c (create_2nd_bitmap, write_kdump_pages_parallel_cyclic, exclude_unused_struct pages with
``-e``) and makedumpfile(8) 1.7. Not modelled: shortage of memory in the capture kernel, the second scan that cycles
take, reading of zero pages that are then left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict, cast

from ksim.errors import LinuxError, ScenarioError, nearest
from ksim.linux.core_collector import LEVEL_MAX, Collector, CompressorName
from ksim.source import Param, Source, assumed
from ksim.units import duration_s, size_bytes, throughput_bytes_per_s

PAGE_CLASSES = ("zero", "cache", "private_cache", "user", "free", "kernel")

_PAGE_BYTES = 4096
_TIB = 1 << 40

# Dump level bit -> page classes that are left out. Bit 4 takes all cache, so it implies bit 2.
_LEVEL_BITS = {
    1: frozenset({"zero"}),
    2: frozenset({"cache"}),
    4: frozenset({"cache", "private_cache"}),
    8: frozenset({"user"}),
    16: frozenset({"free"}),
}

_LZBENCH = "lzbench README (silesia corpus, one EPYC 9554 thread), two thirds of it for a capture kernel"
_RATIO = "lzbench README (silesia corpus), scaled so that lzo is 3; kernel pages compress better than silesia"
_WICKMAN = "Wickman, makedumpfile commit 46176a9 (2015), SGI UV 1-16 TB"
_JAIN = "Jain, kdump-utils commit d428557 (2024), multi-threaded dump on POWER"


@dataclass(frozen=True, slots=True)
class CompressorParams:
    """Defaults of one compressor: input of one thread per second, and input / output of ordinary pages."""

    speed: Param
    ratio: Param


def _speed(value: str, low: str, high: str, source: Source) -> Param:
    return Param(value, "B/s", low, high, source, "input that one thread reads and compresses per second")


def _ratio(value: float, low: str, high: str, source: Source) -> Param:
    return Param(value, "1", low, high, source, "input / output of pages other than struct pages")


COMPRESSORS: Mapping[CompressorName, CompressorParams] = {
    "none": CompressorParams(
        _speed("1 GB/s", "100 MB/s", "2 GB/s", assumed("mmap and copy of /proc/vmcore by one thread")),
        _ratio(1.0, "1", "1", Source("makedumpfile(8)", "pages are stored as they are without -c, -l, -p, -z")),
    ),
    "zlib": CompressorParams(
        _speed("50 MB/s", "13 MB/s", "70 MB/s", Source(_LZBENCH, "zlib-1")),
        _ratio(3.9, "2.7", "6", Source(_RATIO, "zlib-1 2.74 against lzo1x-1 2.11")),
    ),
    "lzo": CompressorParams(
        _speed("350 MB/s", "164 MB/s", "600 MB/s", Source(_LZBENCH, "lzo1x-1")),
        _ratio(3.0, "2.1", "5", assumed("typical of kernel pages; lzbench has 2.11 on the silesia corpus")),
    ),
    "snappy": CompressorParams(
        _speed("270 MB/s", "164 MB/s", "700 MB/s", Source(_LZBENCH, "snappy")),
        _ratio(2.97, "2.1", "5", Source(_RATIO, "snappy 2.09 against lzo1x-1 2.11")),
    ),
    "zstd": CompressorParams(
        _speed("300 MB/s", "150 MB/s", "420 MB/s", Source(_LZBENCH, "zstd-1")),
        _ratio(4.1, "2.9", "6", Source(_RATIO, "zstd-1 2.89 against lzo1x-1 2.11")),
    ),
}
STRUCT_PAGES_RATIO = Param(
    9.0, "1", "6", "12", Source(_WICKMAN, "from sizes with and without -e"), "input / output of struct pages"
)
SCAN = Param("30 s", "s per TiB of RAM", "15 s", "100 s", Source("makedumpfile commit f475311 (2013)", "1 TB in 30 s"))
THREADS_MAX = Param(32, "1", "16", "32", Source("kdump-utils pull requests 14 and 97"), "more threads gain nothing")
PLATEAU = Param(
    "6.7 GB/s", "B/s", "2 GB/s", "10 GB/s", Source(_JAIN, "550 s at 33 to 41 threads"), "all threads together"
)
STRUCT_PAGE = Param(
    "64 B", "B", "56 B", "64 B", Source("Linux include/linux/mm_types.h", "56 B in the kernels of SGI in 2015"),
    "size of a struct page, of which each 4 KiB of RAM has one",
)  # fmt: skip
READ_SCAN = Param(
    1.51, "1", "1", "2.6",
    Source("Hatayama, makedumpfile commit 080bfab (2013)", "32 GB: 0.751 s by read(), 0.497 s by mmap(); 2.6 before"),
    "with --non-mmap a scan takes so many times as long as by mmap()",
)  # fmt: skip
READ_DOUBLES_AT = Param(
    "none", "B", "4 TiB", "none",
    Source(_WICKMAN, "time per TB doubles from 1 to 10 TB by read(), and does not grow by mmap()"),
    "with --non-mmap: RAM at which reading a page takes twice as long as on a small machine; none: it never does",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CompressorSpeed:
    """One compressor as plain numbers; ``struct_pages_ratio`` is for the struct pages, ``ratio`` for the
    rest."""

    bytes_per_s: float
    ratio: float
    struct_pages_ratio: float


class Speeds(TypedDict, total=False):
    """The optional arguments of plan_dump."""

    scan_s_per_tib: float
    rates: Mapping[str, CompressorSpeed] | None
    threads_max: int
    plateau_bytes_per_s: float
    struct_page_bytes: int
    read_scan: float
    read_doubles_at_bytes: float | None


@dataclass(frozen=True, slots=True)
class DumpPlan:
    """The dump of one crash: bytes read and written, seconds of scanning, and of copying: the slower of reading with
    compression, and writing."""

    input_bytes: float
    output_bytes: float
    scan_s: float
    compress_s: float
    write_s: float

    @property
    def copy_s(self) -> float:
        return max(self.compress_s, self.write_s)

    @property
    def total_s(self) -> float:
        return self.scan_s + self.copy_s


def default_rates() -> dict[str, CompressorSpeed]:
    """COMPRESSORS as plain numbers, for plan_dump(); without compression struct pages do not shrink
    either."""
    return {
        name: CompressorSpeed(
            throughput_bytes_per_s(params.speed.value),
            params.ratio.value,
            1.0 if name == "none" else STRUCT_PAGES_RATIO.value,
        )
        for name, params in COMPRESSORS.items()
    }


def excluded(level: int) -> frozenset[str]:
    """The page classes that a dump level leaves out. Raises LinuxError for a level outside 0..31."""
    if not 0 <= level <= LEVEL_MAX:
        raise LinuxError(f"dump level {level}: expected a number from 0 to {LEVEL_MAX}")
    return frozenset().union(*(classes for bit, classes in _LEVEL_BITS.items() if level & bit))


def plan_dump(
    collector: Collector,
    ram_bytes: float,
    pages: Mapping[str, float],
    *,
    write_bytes_per_s: float,
    scan_s_per_tib: float = duration_s(SCAN.value),
    rates: Mapping[str, CompressorSpeed] | None = None,
    threads_max: int = cast(int, THREADS_MAX.value),
    plateau_bytes_per_s: float = throughput_bytes_per_s(PLATEAU.value),
    struct_page_bytes: int = size_bytes(STRUCT_PAGE.value),
    read_scan: float = cast(float, READ_SCAN.value),
    read_doubles_at_bytes: float | None = None,
) -> DumpPlan:
    """Size and duration of one dump.

    ``pages`` are shares of RAM by PAGE_CLASSES, in sum 1; a class that is not named has no pages. ``rates``
    are default_rates() if not given. A ``struct page`` per 4 KiB of RAM is part of the kernel class and compresses
    at its own ratio. ``write_bytes_per_s`` is what the target takes; it counts compressed bytes.
    ``read_scan`` and ``read_doubles_at_bytes`` count with ``--non-mmap`` only.

    Raises ScenarioError for shares or rates that cannot be.
    """
    speed = (default_rates() if rates is None else rates)[collector.compressor]
    _check_shares(pages)
    positive = {
        "memory": ram_bytes,
        "write rate": write_bytes_per_s,
        "plateau": plateau_bytes_per_s,
        "compressor speed": speed.bytes_per_s,
        "ratio": speed.ratio,
        "ratio of struct pages": speed.struct_pages_ratio,
        "number of threads": threads_max,
        "size of a struct page": struct_page_bytes,
        "scan by read()": read_scan,
        "memory at which read() takes twice as long": 1.0 if read_doubles_at_bytes is None else read_doubles_at_bytes,
    }
    for what, value in positive.items():
        if not (math.isfinite(value) and value > 0):
            raise ScenarioError(f"plan_dump: {what} is {value!r}, expected more than 0")
    if not (math.isfinite(scan_s_per_tib) and scan_s_per_tib >= 0):
        raise ScenarioError(f"plan_dump: scan time per TiB is {scan_s_per_tib!r}, expected 0 or more")

    left_out = excluded(collector.level)
    input_bytes = ram_bytes * math.fsum(share for name, share in pages.items() if name not in left_out)
    struct_pages = min(ram_bytes * struct_page_bytes / _PAGE_BYTES, ram_bytes * pages.get("kernel", 0.0))
    if collector.drops_unused:  # those of pages that are left out go, too
        unused = struct_pages * (1.0 - input_bytes / ram_bytes)
        struct_pages, input_bytes = struct_pages - unused, input_bytes - unused
    output_bytes = struct_pages / speed.struct_pages_ratio + (input_bytes - struct_pages) / speed.ratio
    threads = min(max(1, collector.threads), threads_max)
    scan_s, thread_bytes_per_s = scan_s_per_tib * ram_bytes / _TIB, speed.bytes_per_s
    if collector.non_mmap:
        slower = 1.0 + (0.0 if read_doubles_at_bytes is None else ram_bytes / read_doubles_at_bytes)
        scan_s, thread_bytes_per_s = scan_s * read_scan * slower, thread_bytes_per_s / slower
    # One thread is never held back by the plateau, which is a property of many threads and one writer.
    compress_s = input_bytes / max(thread_bytes_per_s, min(threads * thread_bytes_per_s, plateau_bytes_per_s))
    return DumpPlan(input_bytes, output_bytes, scan_s, compress_s, output_bytes / write_bytes_per_s)


def _check_shares(pages: Mapping[str, float]) -> None:
    for name, share in pages.items():
        if name not in PAGE_CLASSES:
            raise ScenarioError(f"unknown page class '{name}'{nearest(name, PAGE_CLASSES)}")
        if not 0 <= share <= 1:
            raise ScenarioError(f"page class {name}: share {share!r}, expected 0 to 1")
    total = math.fsum(pages.values())
    if not math.isclose(total, 1, abs_tol=1e-6):
        raise ScenarioError(f"the shares of the page classes add up to {total:g}, expected 1")
