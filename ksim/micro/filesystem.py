"""Files on a block device: the page cache, writeback, the journal, and what an I/O error does to them.

A file is a set of pages of which some are in memory. A read of a page that is not waits for the disk (state D); a write
dirties pages and returns; the flusher writes them after 30 s, earlier where there are too many, and ``fsync`` at
once. A journal (jbd2) commits every 5 s or when somebody waits for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import Any, Literal

from ksim.linux.block import after_eio
from ksim.linux.console import devices
from ksim.linux.vocabulary import Lock as Kind
from ksim.linux.watermarks import DIRTY_EXPIRE_S, DIRTY_WRITEBACK_S, PAGE_BYTES, READAHEAD_BYTES
from ksim.micro.blkdev import BlockDevice, Request
from ksim.micro.clock import LATER, Clock, Deadline, Due
from ksim.micro.locks import Lock, Spinlock
from ksim.micro.pager import Pager
from ksim.micro.task import Task
from ksim.units import to_ns

JOURNAL_COMMIT_S = 5
"""JBD2_DEFAULT_MAX_COMMIT_AGE, include/linux/jbd2.h."""
READAHEAD = int(READAHEAD_BYTES.value) // PAGE_BYTES
COMMIT = "jbd2_log_wait_commit"
"""What a task waits for in fsync(), when its data are on disk already."""
BALANCE = "balance_dirty_pages"
"""What a writer waits for above the hard limit of dirty memory."""
WRITE_PAGES = 256  # of one request: 1 MiB
_EXPIRE_NS, _WRITEBACK_NS = to_ns(DIRTY_EXPIRE_S.value), to_ns(DIRTY_WRITEBACK_S.value)
_COMMIT_NS = to_ns(JOURNAL_COMMIT_S)


class File:
    """A file, or many files that are used alike. Pages: ``pages`` in all, ``cached`` in memory, ``dirty`` of these.

    ``skew``: how uneven the use is; a read finds its page in memory with probability (cached / pages) ** skew.
    ``written``, ``durable``, ``acked``: pages written so far, of these on disk, and of these promised by fsync.
    ``lost``: pages that the disk did not take; they are clean afterwards, and the next fsync says so, once (``told``).
    ``written`` = ``durable`` + ``lost`` + ``dirty`` at all times.
    """

    def __init__(self, name: str, pages: int, skew: float = 1.0) -> None:
        self.name, self.pages, self.skew = name, pages, skew
        self._cached = self.dirty = self.flying = 0
        self.hit = 1.0 if pages == 0 else 0.0**skew
        self.batches: deque[list[int]] = deque()
        self.written = self.durable = self.acked = self.lost = self.told = 0
        self.lock = Lock(f"inode of {name}", Kind.RWSEM)

    @property
    def cached(self) -> int:
        """Pages in memory; ``hit`` follows: P(a page that somebody reads is there)."""
        return self._cached

    @cached.setter
    def cached(self, pages: int) -> None:
        self._cached = pages
        self.hit = (pages / self.pages) ** self.skew if pages < self.pages else 1.0


class FileSystem:
    """ext4 or XFS on one disk. ``on_error``: called with the event of ``ksim.linux.events`` when the disk lets it down,
    and with the task that finds out; ``log`` takes lines of the console.

    ``is_aborted``: the journal is, and nobody has wanted to change anything since.
    ``calm``: dirty pages below which no writer has to look at the limits.
    """

    def __init__(
        self,
        clock: Clock,
        kind: Literal["ext4", "xfs"],
        disk: BlockDevice,
        pager: Pager,
        *,
        new_request: Callable[..., Request],
        on_error: Callable[[str, Task], None],
        log: Callable[[list[str]], None],
        draw: Callable[[], float],
        pass_by: Callable[[str, Task], Generator[Any, Any, None]],
        armed: Mapping[str, Any],
    ) -> None:
        self.clock, self.kind, self.disk, self.pager = clock, kind, disk, pager
        self._new_request, self._on_error, self._draw = new_request, on_error, draw
        self._pass_by, self._armed, self._log = pass_by, armed, log
        self.files: list[File] = []
        self.is_read_only = self.is_aborted = False
        self.journal = Lock("j_checkpoint_mutex", Kind.MUTEX)
        self.list_lock = Spinlock("j_list_lock", clock, LIST_LOCK_NS)
        self.running_tid, self.committed_tid, self.failed_tid = 1, 0, 0
        self.has_updates = False
        self._committed: list[Task] = []
        self._throttled: list[Task] = []
        self.jbd2: Task | None = None
        self.flusher: Task | None = None
        self.cache_misses = self.eio = 0
        self.calm = pager.memory.total * min(2, pager.background_ratio) // 400

    def add(self, file: File, cached: int = 0) -> File:
        """A new file, of which ``cached`` pages are in memory already."""
        self.files.append(file)
        self.pager.files.append(file)
        file.cached = cached
        self.pager.memory.cache += cached
        self.pager.memory.free -= cached
        return file

    # ---------------------------------------------------------------- what system calls need

    def miss(self, task: Task, file: File, pages: int, *, is_metadata: bool = False) -> Generator[Any, Any, bool]:
        """Reads pages that are not in memory, with readahead. False: EIO, or the task was killed.

        SIGKILL ends the wait for data (filemap_update_page()), not that for a block of ``is_metadata``
        (wait_on_buffer()); the disk goes on with it in any case.
        """
        self.cache_misses += 1
        wanted = _readahead(file, pages)
        if not self.pager.take(wanted) and not (yield from self.pager.allocate(task, wanted)):
            return False
        self.pager.memory.reading += wanted
        for point in ("folio_add_lru", "submit_bio"):
            if point in self._armed:
                yield from self._pass_by(point, task)
        request = self._new_request("read", wanted, partial(self._arrived, task, file))
        self.disk.submit(request)
        task.is_killable = not is_metadata
        while not (request.is_over or (task.is_killable and task.is_killed)):
            yield task.sleep("D", request)
        task.waits_for, task.is_killable = None, False
        return request.is_over and not request.failed

    def fetch(self, task: Task, file: File, pages: int) -> Request | None:
        """The same up to the sleep. None: memory is short or a fault waits, and nothing was done."""
        pager, wanted = self.pager, _readahead(file, pages)
        memory = pager.memory
        left = memory.free - wanted
        if left < pager.low or self._armed:
            return None
        memory.free = left
        memory.reading += wanted
        self.cache_misses += 1
        task.is_killable = True
        new_request = self._new_request
        request = new_request("read", wanted, partial(self._arrived, task, file))
        self.disk.submit(request)
        return request

    def _arrived(self, task: Task, file: File, request: Request) -> Due:
        pages, memory = request.pages, self.pager.memory
        memory.reading -= pages
        if request.failed:
            self.eio += 1
            self.pager.give_back(pages)
        elif pages <= file.pages - file._cached:
            file.cached = file._cached + pages
            memory.cache += pages
        else:
            self.grown(file, pages)
        return task.rouse() if task.waits_for is request else LATER  # it was killed, and does not wait any more

    def missing(self, file: File, pages: int) -> int:
        """How many pages of memory a write of ``pages`` needs: none where the file is in memory already."""
        draw, hit = self._draw, file.hit
        if hit >= 1.0 or draw() < hit:
            return 0
        return min(pages, file.pages - file.cached)

    def changed(self, file: File, pages: int) -> None:
        """``pages`` of the file are dirty now; pages that were dirty before stay so."""
        self.has_updates = True
        clean = file._cached - file.dirty
        if pages > clean:
            pages = clean
            if pages <= 0:
                return
        file.dirty += pages
        file.written += pages
        memory = self.pager.memory
        memory.dirty += pages
        memory.private = private = memory.private + pages
        if private > memory.cache:
            memory.private = memory.cache
        now, batches = self.clock._now, file.batches
        if batches:
            batch = batches[-1]
            if now - batch[0] < BATCH_NS:
                batch[1] += pages
                return
        batches.append([now, pages])

    def grown(self, file: File, pages: int) -> None:
        """New pages are in the cache, unless somebody else was there first."""
        room = file.pages - file._cached
        grown = pages if pages < room else room
        file.cached = file._cached + grown
        self.pager.memory.cache += grown
        if grown < pages:
            self.pager.give_back(pages - grown)

    def balance(self, task: Task) -> Generator[Any, Any, None]:
        """balance_dirty_pages(): above the background limit the flusher wakes up, above the hard one writers wait."""
        background, hard = self.pager.dirty_limits()
        flusher = self.flusher
        if self.pager.memory.dirty > background and flusher is not None and flusher.state == "S":
            flusher.wake()
        task.is_killable = True
        while self.pager.memory.dirty > hard and not self.is_read_only and not task.is_killed:
            self._throttled.append(task)
            yield task.sleep("D", BALANCE)
        task.waits_for, task.is_killable = None, False

    def sync(self, task: Task, file: File) -> Generator[Any, Any, bool]:
        """fsync(): all that was written so far is on disk, and the journal says so. False: EIO."""
        goal = file.written
        ok = yield from self._write(task, file, file.dirty - file.flying)
        while ok and file.durable + file.lost < goal and not self.is_read_only:  # others are writing it
            self._throttled.append(task)
            yield task.sleep("D", "writeback")
        task.waits_for = None
        is_told, file.told = file.told == file.lost, file.lost
        if not ok or not is_told or self.is_read_only:
            return False
        tid = self.running_tid if self.has_updates else self.running_tid - 1  # the latter may be on its way
        while max(self.committed_tid, self.failed_tid) < tid and not self.is_read_only:
            self._committed.append(task)
            if self.jbd2 is not None and self.jbd2.state == "S":
                self.jbd2.wake()
            yield task.sleep("D", COMMIT)
        task.waits_for = None
        if self.is_read_only or self.committed_tid < tid:
            return False
        file.acked = max(file.acked, goal - file.lost)
        return True

    # ---------------------------------------------------------------- writeback

    def _write(self, task: Task, file: File, pages: int) -> Generator[Any, Any, bool]:
        """Writes dirty pages, all requests at once, and waits for the last."""
        left, failed = 0, False

        def done(request: Request) -> Due:
            nonlocal left, failed
            left -= 1
            failed = failed or request.failed
            self._written(file, request.pages, request.failed)
            return LATER if left else task.rouse()

        if pages > 0 and "submit_bio" in self._armed:
            yield from self._pass_by("submit_bio", task)
        while pages > 0:
            some = min(pages, WRITE_PAGES)
            pages -= some
            left += 1
            file.flying += some
            self.disk.submit(self._new_request("write", some, done))
        if left:
            yield task.sleep("D", "writeback")
            task.waits_for = None
        if failed:
            self.eio += 1
        return not failed

    def _written(self, file: File, pages: int, failed: bool) -> None:
        file.flying -= pages
        file.dirty -= pages
        if failed:
            file.lost += pages
        else:
            file.durable += pages
        self.pager.memory.dirty -= pages
        while pages and file.batches:
            oldest = file.batches[0]
            some = min(pages, oldest[1])
            oldest[1] -= some
            pages -= some
            if not oldest[1]:
                file.batches.popleft()
        if self._throttled:
            self._release_throttled()

    def _release_throttled(self) -> None:
        throttled, self._throttled = self._throttled, []
        for task in throttled:
            task.wake()

    def run_flusher(self, task: Task) -> Generator[Any, Any, None]:
        """A kworker that writes back what is older than 30 s, and everything above the background limit."""
        self.flusher = task
        while True:
            timer = self.clock.after(_WRITEBACK_NS, task.wake)
            yield task.sleep("S", "wb_workfn")
            timer.cancel()
            background, _ = self.pager.dirty_limits()
            for file in self.files:
                while True:
                    old = file.batches and file.batches[0][0] <= self.clock.now - _EXPIRE_NS
                    pages = min(file.dirty - file.flying, FLUSH_PAGES)
                    if pages <= 0 or not (old or self.pager.memory.dirty > background):
                        break
                    if "wb_workfn" in self._armed:
                        yield from self._pass_by("wb_workfn", task)
                    yield task.cpu.kernel(task, pages * WRITEBACK_PAGE_NS)
                    yield from self._write(task, file, pages)

    # ---------------------------------------------------------------- the journal

    def run_jbd2(self, task: Task) -> Generator[Any, Any, None]:
        """jbd2 (XFS: its log worker): commits the running transaction every 5 s, or when somebody waits."""
        self.jbd2 = task
        deadline = Deadline(self.clock, task.wake)
        while True:
            if not self._committed:
                deadline.set(_COMMIT_NS)
                yield task.sleep("S", "kjournald2")
                deadline.cancel()
            if not self.has_updates or self.is_read_only:
                self._release_waiters()
                continue
            self.has_updates = False
            tid, self.running_tid = self.running_tid, self.running_tid + 1
            if not self.journal.try_take(task):
                yield from self.journal.take(task)
            for point in ("jbd2_journal_commit_transaction", "__jbd2_journal_file_buffer"):
                if point in self._armed:
                    yield from self._pass_by(point, task)
            yield task.cpu.kernel(task, COMMIT_NS + self.list_lock.take())
            for op, pages in (("write", JOURNAL_PAGES), ("flush", 0)):
                request = self._new_request(op, pages, task.rouse)
                self.disk.submit(request)
                while not request.is_over:
                    yield task.sleep("D", request)
                task.waits_for = None
                if request.failed:
                    self.eio += 1
                    self.failed_tid = tid  # jbd2_log_wait_commit() of those who wait for it returns -EIO
                    if self.kind == "xfs":
                        self._on_error(after_eio("xfs", "log").event, task)
                    elif not self.is_read_only:
                        self._log([devices.journal_aborted(f"{self.disk.name}-8")])
                        self.is_aborted = True
                        self.shut_down()
                    break
            else:
                self.committed_tid = tid
            self.journal.release(task)
            self._release_waiters()

    def _release_waiters(self) -> None:
        waiting, self._committed = self._committed, []
        for task in waiting:
            task.wake()

    def refuses(self, task: Task) -> None:
        """EROFS. The first who meets an aborted journal tells everybody (ext4_journal_check_start())."""
        if self.is_aborted:
            self.is_aborted = False
            self._on_error(after_eio("ext4", "journal").event, task)

    def shut_down(self) -> None:
        """No more writes: everybody who waits for one gets an error."""
        self.is_read_only = True
        self._release_waiters()
        self._release_throttled()


def _readahead(file: File, pages: int) -> int:
    wanted = file.pages - file._cached
    if wanted > READAHEAD:
        wanted = READAHEAD
    return wanted if wanted > pages else pages


JOURNAL_PAGES = 8
"""Of one commit: descriptor, a few metadata blocks, commit block. ASSUMED."""
COMMIT_NS, WRITEBACK_PAGE_NS = 20_000, 200
"""CPU time of one commit, and of one page that the flusher hands to the disk. ASSUMED."""
LIST_LOCK_NS = 200
"""That a write or a commit holds j_list_lock: a few cache misses. ASSUMED. XFS has its xc_push_lock there."""
BATCH_NS = 100_000_000
"""Pages that became dirty within so long count as equally old."""
FLUSH_PAGES = 1024
"""MIN_WRITEBACK_PAGES, fs/fs-writeback.c: 4 MiB."""
