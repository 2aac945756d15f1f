"""Memory in pages: what they hold, page faults, watermarks, kswapd, direct reclaim, swap and the OOM killer.

Pages are counted by class, not kept one by one. An allocation is a subtraction while free memory stays above the low
mark; below it kswapd wakes up, and below ``min`` the task that wants memory has to reclaim some itself. After 16
rounds without progress, or where there is not enough to reclaim, the OOM killer is asked, and ``ksim.linux.oom``
decides whether a process dies or the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ksim.linux.badness import OOM_REAPER_DELAY_S
from ksim.linux.watermarks import (
    MAX_RECLAIM_RETRIES,
    PAGE_BYTES,
    SWAP_CLUSTER_MAX,
    SWAP_READAHEAD_PAGES,
    dirty_limits,
    watermarks,
)
from ksim.micro.clock import LATER, Clock, Due
from ksim.micro.task import Process, Task
from ksim.units import to_ns

if TYPE_CHECKING:
    from ksim.micro.blkdev import BlockDevice, Request
    from ksim.micro.filesystem import File

BATCH = SWAP_CLUSTER_MAX.value
PAGE_TABLE = 512  # pages that one page of page tables maps


@dataclass
class Costs:
    """Kernel time in ns: of a minor fault (0.1 to 1 us natively), of one page that reclaim looks at (ASSUMED)."""

    minor_fault: int = 500
    reclaim_page: int = 250


@dataclass
class Memory:
    """How many pages hold what; the classes always add up to ``total``.

    ``kernel``: image, page structs and slab, never reclaimed here. ``private``: pages of the cache that carry the file
    system's buffers, as written ones do. ``dirty`` includes what is being written back. ``reading``: pages of the
    cache that wait for the disk, locked, and belong to no file here yet.
    """

    total: int
    reserved: int
    kernel: int
    free: int = 0
    cache: int = 0
    reading: int = 0
    anon: int = 0
    tables: int = 0
    dirty: int = 0
    private: int = 0
    swap_total: int = 0
    swap_used: int = 0

    def check(self) -> int:
        """What is missing from the sum of all classes: 0, or pages were lost."""
        held = self.cache + self.reading + self.anon + self.tables
        return self.total - (self.reserved + self.kernel + self.free + held)


class Pager:
    """The memory manager. ``out_of_memory``: the OOM killer, for the task that asks; false: nobody can be killed."""

    def __init__(
        self,
        clock: Clock,
        memory: Memory,
        *,
        swappiness: int,
        background_ratio: int,
        dirty_ratio: int,
        min_free_bytes: int | None,
        swap_device: BlockDevice | None,
        new_request: Callable[..., Request],
        out_of_memory: Callable[[Task | None], bool],
        draw: Callable[[], float],
        pass_by: Callable[[str, Task], Generator[Any, Any, None]],
        armed: Mapping[str, Any],
    ) -> None:
        self.clock, self.memory = clock, memory
        usable = (memory.total - memory.reserved) * PAGE_BYTES
        marks = watermarks(usable, min_free_bytes=min_free_bytes)
        self.min, self.low, self.high = (b // PAGE_BYTES for b in (marks.min_bytes, marks.low_bytes, marks.high_bytes))
        self.swappiness = swappiness
        self.background_ratio, self.dirty_ratio = background_ratio, dirty_ratio
        self.swap_device, self._new_request = swap_device, new_request
        self._out_of_memory, self._draw = out_of_memory, draw
        self._pass_by, self._armed = pass_by, armed
        self.costs = Costs()
        self.files: list[File] = []
        self.processes: list[Process] = []
        self.kswapd: Task | None = None
        self._starving: list[Task] = []
        self.minor_faults = self.major_faults = self.direct_reclaims = self.oom_kills = self.swapped_out = 0

    # ---------------------------------------------------------------- allocation

    def take(self, pages: int) -> bool:
        """The fast path: free memory stays above the minimum. Wakes kswapd below the low mark."""
        memory = self.memory
        left = memory.free - pages
        if left < self.low:
            if self.kswapd is not None:
                self.kswapd.wake()
            if left < self.min:
                return False
        memory.free = left
        return True

    def allocate(self, task: Task, pages: int) -> Generator[Any, Any, bool]:
        """Pages for ``task``, reclaiming what it takes. False: it was killed meanwhile and gets none."""
        if self.take(pages):
            return True
        self.direct_reclaims += 1
        fruitless = 0
        while not task.is_killed:
            goal = max(BATCH, pages)
            if "shrink_node" in self._armed:
                yield from self._pass_by("shrink_node", task)
            yield task.cpu.kernel(task, goal * self.costs.reclaim_page)
            freed = self.shrink(goal)
            if self.memory.free - pages >= self.min:
                self.memory.free -= pages
                return True
            progress = freed or self.swap_out(goal)
            fruitless = 0 if progress else fruitless + 1
            if (fruitless > MAX_RECLAIM_RETRIES.value or self._is_hopeless(pages)) and not self._swapping:
                if not self._out_of_memory(task):
                    yield task.sleep("D")
                fruitless = 0
            if not freed:
                self._starving.append(task)
                timer = self.clock.after(CONGESTION_NS, task.wake)
                yield task.sleep("D", "memory")
                timer.cancel()  # or it would wake the task out of another sleep
                if task in self._starving:
                    self._starving.remove(task)
                task.waits_for = None
        return False

    def _is_hopeless(self, pages: int) -> bool:
        """should_reclaim_retry(): not even all that can be reclaimed would do."""
        memory = self.memory
        available = memory.free + memory.cache
        if self.swap_device is not None and memory.swap_used < memory.swap_total:
            available += memory.anon
        return available - pages < self.min

    def give_back(self, pages: int) -> None:
        """Pages are free again; those who starve try once more."""
        self.memory.free += pages
        if self._starving and self.memory.free > self.min:
            starving, self._starving = self._starving, []
            for task in starving:
                task.wake()

    def touch(self, task: Task, pages: int) -> Generator[Any, Any, bool]:
        """First use of ``pages`` anonymous pages: a minor fault each. Under pressure a batch at a time."""
        process = task.process
        while pages > 0:
            some = min(pages, max(BATCH, self.memory.free - self.high))
            pages -= some
            if not self.populate(process, some):
                tables = self._more_tables(process, some)
                if not (yield from self.allocate(task, some + tables)):
                    return False
                self.minor_faults += some
                self._map(process, some, tables)
            yield task.cpu.kernel(task, some * self.costs.minor_fault)
        return True

    def populate(self, process: Process, pages: int) -> bool:
        """The fast path of ``touch``, all but its time. False: memory is short, nothing was done."""
        tables = (process.anon + process.swapped + pages) // PAGE_TABLE - process.tables  # as in _more_tables()
        if tables < 0:
            tables = 0
        memory = self.memory
        left = memory.free - pages - tables
        if left >= self.low:
            memory.free = left
        elif not self.take(pages + tables):
            return False
        self.minor_faults += pages
        memory.anon += pages
        process.anon += pages
        if tables:
            memory.tables += tables
            process.tables += tables
        return True

    def _map(self, process: Process, pages: int, tables: int) -> None:
        self.memory.anon += pages
        self.memory.tables += tables
        process.anon += pages
        process.tables += tables

    def _more_tables(self, process: Process, pages: int) -> int:
        """Pages of page tables that so many more pages of memory need."""
        return max(0, (process.anon + process.swapped + pages) // PAGE_TABLE - process.tables)

    def revisit(self, task: Task, pages: int) -> Generator[Any, Any, bool]:
        """Use of pages that the process has had before: those in swap are read again, a cluster at a time."""
        process = task.process
        missing = process.swapped / (process.anon + process.swapped or 1)
        for _ in range(pages):
            if missing == 0.0 or self._draw() >= missing or process.swapped == 0:
                continue
            cluster = min(SWAP_READAHEAD_PAGES.value, process.swapped)
            if not self.take(cluster) and not (yield from self.allocate(task, cluster)):
                return False
            if cluster > process.swapped:  # another thread was there first
                self.give_back(cluster - process.swapped)
                cluster = process.swapped
                if not cluster:
                    continue
            self.major_faults += 1
            process.swapped -= cluster
            process.anon += cluster
            self.memory.swap_used -= cluster
            self.memory.anon += cluster
            assert self.swap_device is not None
            request = self._new_request("read", cluster, partial(_wakes, task))
            self.swap_device.submit(request)
            task.is_killable = True
            while not (request.is_over or task.is_killed):
                yield task.sleep("D", request)
            task.waits_for, task.is_killable = None, False
            if task.is_killed:
                return False
        return True

    def release(self, process: Process) -> None:
        """exit_mm(): all memory of a process is free."""
        tables, process.tables = process.tables, 0
        pages, process.anon = process.anon, 0
        self.memory.anon -= pages
        self.memory.tables -= tables
        self.memory.swap_used -= process.swapped
        process.swapped = 0
        self.give_back(pages + tables)

    # ---------------------------------------------------------------- reclaim

    def shrink(self, goal: int) -> int:
        """Drops clean pages of the cache, from the largest files first; anonymous memory needs ``swap_out``."""
        goal -= min(goal, goal * self._anon_share() // 200)
        freed = 0
        for file in sorted(self.files, key=_clean, reverse=True):
            if freed >= goal:
                break
            freed += self._drop(file, min(goal - freed, _clean(file)))
        if freed:
            self.give_back(freed)
        return freed

    def _drop(self, file: File, pages: int) -> int:
        if pages <= 0:
            return 0
        memory = self.memory
        clean_private = max(0, memory.private - memory.dirty)
        clean = max(1, memory.cache - memory.dirty)
        memory.private -= min(clean_private, pages * clean_private // clean)
        memory.cache -= pages
        file.cached -= pages
        return pages

    def _anon_share(self) -> int:
        """Of 200 pages that reclaim looks at, how many are anonymous: vm.swappiness, if there is swap."""
        if self.swap_device is None or self.memory.swap_used >= self.memory.swap_total:
            return 0
        return self.swappiness

    _swapping = 0

    def swap_out(self, goal: int) -> int:
        """Writes anonymous pages of the largest processes to swap; they are free when the disk is done."""
        room = self.memory.swap_total - self.memory.swap_used
        goal = min(goal, room) if self.swap_device is not None and self.swappiness > 0 else 0
        if goal <= 0:
            return 0
        victim = max(self.processes, key=_anon, default=None)
        if victim is None or victim.anon == 0:
            return 0
        pages = min(goal, victim.anon)
        victim.anon -= pages
        victim.swapped += pages
        self.memory.swap_used += pages
        self.swapped_out += pages
        self._swapping += 1

        def written(request: Request) -> None:
            self._swapping -= 1
            self.memory.anon -= pages
            self.give_back(pages)

        assert self.swap_device is not None
        self.swap_device.submit(self._new_request("write", pages, written))
        return pages

    def run_kswapd(self, task: Task) -> Generator[Any, Any, None]:
        """kswapd: asleep above the low mark; reclaims up to the high one; gives up after 16 fruitless rounds."""
        self.kswapd = task
        while True:
            yield task.sleep("S", "kswapd_wait")
            hopeless = 0
            while self.memory.free < self.high and hopeless < MAX_RECLAIM_RETRIES.value:
                goal = min(KSWAPD_PAGES, self.high - self.memory.free + BATCH)
                if "shrink_node" in self._armed:
                    yield from self._pass_by("shrink_node", task)
                yield task.cpu.kernel(task, goal * self.costs.reclaim_page)
                freed = self.shrink(goal)
                wanted = self.swap_out(goal * self._anon_share() // 200 if freed else goal)
                hopeless = 0 if freed else hopeless + 1
                if not freed or wanted:
                    timer = self.clock.after(CONGESTION_NS, task.wake)
                    yield task.sleep("S", "kswapd_wait")
                    timer.cancel()

    def reap_later(self, process: Process) -> None:
        """The OOM reaper: two seconds after the kill the victim's memory is free, whatever the victim does."""
        self.oom_kills += 1
        self.clock.after(to_ns(OOM_REAPER_DELAY_S.value), lambda: self.release(process))

    # ---------------------------------------------------------------- dirty memory

    def dirty_limits(self) -> tuple[int, int]:
        """Pages from which the flusher works, and from which writers wait."""
        dirtyable = (self.memory.free + self.memory.cache) * PAGE_BYTES
        background, hard = dirty_limits(dirtyable, background_ratio=self.background_ratio, ratio=self.dirty_ratio)
        return background // PAGE_BYTES, hard // PAGE_BYTES


CONGESTION_NS = 100_000_000
"""Reclaim waits for the disk for 100 ms at most (mm/vmscan.c, reclaim_throttle(): HZ/10)."""
KSWAPD_PAGES = 4096
"""Of one round of kswapd here; Linux goes zone by zone in batches of 32."""


def _clean(file: File) -> int:
    return file.cached - file.dirty


def _anon(process: Process) -> int:
    return process.anon


def _wakes(task: Task, request: Request) -> Due:
    return task.rouse() if task.waits_for is request else LATER  # it was killed, and does not wait any more
