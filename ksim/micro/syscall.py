"""The system call interface: what user programs may ask of the kernel, and what it costs them.

A program yields what a call returns: the event at its end. A call that needs nothing but the CPU is one event; one
that may sleep, or meets an armed strike point, goes through several steps before the program sees its result. Costs
are nanoseconds of CPU time.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from ksim.linux.sched import SYSCALL
from ksim.linux.watermarks import PAGE_BYTES
from ksim.micro.blkdev import Request
from ksim.micro.clock import Due
from ksim.micro.filesystem import File
from ksim.micro.netdev import Call
from ksim.micro.task import Task

if TYPE_CHECKING:
    from ksim.micro.machine import Boot
    from ksim.micro.programs import Body

COPY_PAGE_NS = 400
"""Of 4 KiB to or from user space: about 10 GB/s. ASSUMED, as the two below: one core of today."""
SEND_NS = 3_000
"""tcp_sendmsg() and the way down to the driver."""
LOOKUP_NS = 1_500
"""One name in one directory."""
FORK_NS = 400_000
"""vfork() and execve() of a program with its libraries. ASSUMED."""
WAIT = "do_wait"
"""What a parent without ended children waits for."""


class Syscalls:
    """The calls of one boot; each returns the event at its end, for ``yield``. ``count``: how many there were."""

    def __init__(self, boot: Boot) -> None:
        self._boot = boot
        self._armed = boot.armed
        self._draw = boot.draw("page cache")
        self._cost_ns: int = SYSCALL.value
        self._tick_ns = boot.scheduler.tick_ns
        self._files, self._pager, self._nic, self._socket = boot.files, boot.pager, boot.nic, boot.socket
        self.count = 0

    def plain(self, task: Task) -> Due:
        """A call that only looks something up, such as getpid()."""
        self.count += 1
        if "do_syscall_64" in self._armed:
            return task.enter(self._meets("do_syscall_64", task))
        return task.cpu.kernel(task, self._cost_ns)

    def read(self, task: Task, file: File, size: int) -> Due:
        """``size`` bytes of a file, from memory or from the disk. Returns false for EIO."""
        self.count += 1
        draw, pages = self._draw, -(-size // PAGE_BYTES)
        cost_ns = self._cost_ns + pages * COPY_PAGE_NS
        is_cached = draw() < file.hit
        if self._armed:
            return task.enter(self._reads(task, file, pages, cost_ns, is_cached))
        if is_cached:
            task.result = True
        else:
            task.then(self._misses, (task, file, pages))
        return task.cpu.kernel(task, cost_ns)

    def scan(self, task: Task, file: File, size: int) -> Due:
        """``size`` bytes of a file that is read from one end to the other: no page is likelier than another."""
        self.count += 1
        pages = -(-size // PAGE_BYTES)
        is_cached = self._draw() * file.pages < file.cached
        return task.enter(self._reads(task, file, pages, self._cost_ns + pages * COPY_PAGE_NS, is_cached))

    def write(self, task: Task, file: File, size: int) -> Due:
        """``size`` bytes into the page cache, the inode locked; waits where too much is dirty.

        Returns false for EROFS.
        """
        self.count += 1
        pages = -(-size // PAGE_BYTES)
        if self._armed or self._files.is_read_only or not file.lock.try_take(task):
            return task.enter(self._writes(task, file, pages))
        task.then(self._wrote, (task, file, pages))
        return task.cpu.kernel(task, self._cost_ns + pages * COPY_PAGE_NS + self._files.list_lock.take())

    def fsync(self, task: Task, file: File) -> Due:
        """All that was written to the file is on disk. Returns false for EIO: it is not."""
        self.count += 1
        return task.enter(self._syncs(task, file))

    def rename(self, task: Task, source: File, target: File) -> Due:
        """Moves a name from one directory to another: both locked, always in the same order, whoever asks.

        Does nothing for EROFS.
        """
        self.count += 1
        return task.enter(self._renames(task, source, target))

    def recv(self, task: Task) -> Due:
        """Returns the next call of a client, after a sleep if there is none yet."""
        self.count += 1
        calls = self._socket.calls
        if calls:
            task.result = task.serves = calls.popleft()
        else:
            task.then(self._accepts, task)
        return task.cpu.kernel(task, self._cost_ns)

    def send(self, task: Task, call: Call, size: int) -> Due:
        """The reply to a client; waits while the ring of the card is full."""
        self.count += 1
        nic = self._nic
        cost_ns = self._cost_ns + SEND_NS + size // PAGE_BYTES * COPY_PAGE_NS + nic.queue_lock.take()
        if self._armed or len(nic.sending) >= nic.rules.tx_ring:
            return task.enter(self._sends(task, call, size, cost_ns))
        nic.send(call, size, cost_ns)
        task.serves = None
        return task.cpu.kernel(task, cost_ns)

    def fork(self, task: Task, comm: str, body: Body, pages: int) -> Due:
        """A child that runs another program, with ``pages`` of anonymous memory."""
        self.count += 1
        return task.enter(self._forks(task, comm, body, pages))

    def wait(self, task: Task) -> Due:
        """wait4(): reaps a child that has ended, after a sleep if there is none yet."""
        self.count += 1
        return task.enter(self._waits(task))

    def nanosleep(self, task: Task, ns: int) -> Due:
        """Sleeps for so long, unless it is killed."""
        self.count += 1
        return task.enter(self._sleeps(task, ns))

    def touch(self, task: Task, pages: int) -> Due:
        """First use of anonymous memory: a minor fault for each page."""
        if self._armed or not self._pager.populate(task.process, pages):
            return task.enter(self._faults(task, pages))
        return task.cpu.kernel(task, pages * self._pager.costs.minor_fault)

    def revisit(self, task: Task, pages: int) -> Due:
        """Use of memory that may be in swap, and of the program itself: a major fault for what is not in memory.

        SIGBUS where the program cannot be read.
        """
        return task.enter(self._revisits(task, pages))

    def work(self, task: Task, ns: int) -> Due:
        """``ns`` in user space; at each tick somebody else may run."""
        tick_ns = self._tick_ns
        if ns <= tick_ns:
            return task.cpu.user(task, ns)
        task.then(self._works, (task, ns - tick_ns))
        return task.cpu.user(task, tick_ns)

    def grow(self, task: Task, pages: int, ns: int) -> Due:
        """The same, with the first use of ``pages`` of anonymous memory: their faults are a part of the first tick."""
        pager, tick_ns = self._pager, self._tick_ns
        cost_ns = pages * pager.costs.minor_fault
        if self._armed or cost_ns >= tick_ns or not pager.populate(task.process, pages):
            return task.enter(self._grows(task, pages, ns))
        room_ns = tick_ns - cost_ns
        if ns > room_ns:
            task.then(self._works, (task, ns - room_ns))
            ns = room_ns
        return task.cpu.faulting(task, ns, cost_ns)

    # ---------------------------------------------------------------- calls of several steps

    def _meets(self, point: str, task: Task) -> Generator[Any, Any, None]:
        yield from self._boot.pass_by(point, task)
        yield task.cpu.kernel(task, self._cost_ns)

    def _reads(self, task: Task, file: File, pages: int, cost_ns: int, is_cached: bool) -> Generator[Any, Any, bool]:
        for point in ("do_syscall_64", "vfs_read"):
            if point in self._armed:
                yield from self._boot.pass_by(point, task)
        yield task.cpu.kernel(task, cost_ns)
        if is_cached:
            return True
        return (yield from self._boot.files.miss(task, file, pages))

    def _misses(self, what: tuple[Task, File, int]) -> Any:
        """The pages are not in memory, but there is room for them, as a rule."""
        task, file, pages = what
        request = self._files.fetch(task, file, pages)
        if request is None:
            return task.goes_on(self._files.miss(task, file, pages))
        task.next(self._fetches, (task, request))
        return task.sleep("D", request)

    def _fetches(self, what: tuple[Task, Request]) -> Due | None:
        task, request = what
        if not (request.is_over or task.is_killed):
            return task.sleep("D", request)
        task.waits_for, task.is_killable = None, False
        task.result = request.is_over and not request.failed
        return None

    def _writes(self, task: Task, file: File, pages: int) -> Generator[Any, Any, bool]:
        files = self._files
        if files.is_read_only:
            yield task.cpu.kernel(task, self._cost_ns)
            files.refuses(task)
            return False
        yield from file.lock.take(task)
        for point in ("vfs_write", "__jbd2_journal_file_buffer"):
            if point in self._armed:
                yield from self._boot.pass_by(point, task)
        yield task.cpu.kernel(task, self._cost_ns + pages * COPY_PAGE_NS + files.list_lock.take())
        return (yield from self._dirties(task, file, pages, files.missing(file, pages)))

    def _wrote(self, what: tuple[Task, File, int]) -> Any:
        """The end of a write that found the lock free: nothing to wait for, as a rule."""
        task, file, pages = what
        files = self._files
        new = files.missing(file, pages)
        if new or self._pager.memory.dirty + pages > files.calm:
            return task.goes_on(self._dirties(task, file, pages, new))
        files.changed(file, pages)
        file.lock.release(task)
        task.result = True
        return None

    def _dirties(self, task: Task, file: File, pages: int, new: int) -> Generator[Any, Any, bool]:
        files, pager = self._files, self._pager
        if new:
            if "folio_add_lru" in self._armed:
                yield from self._boot.pass_by("folio_add_lru", task)
            if not pager.take(new) and not (yield from pager.allocate(task, new)):
                file.lock.release(task)
                return False
            files.grown(file, new)
        files.changed(file, pages)
        file.lock.release(task)
        if pager.memory.dirty > files.calm:
            yield from files.balance(task)
        return True

    def _syncs(self, task: Task, file: File) -> Generator[Any, Any, bool]:
        if "ext4_sync_file" in self._armed:
            yield from self._boot.pass_by("ext4_sync_file", task)
        yield task.cpu.kernel(task, self._cost_ns)
        return (yield from self._boot.files.sync(task, file))

    def _renames(self, task: Task, source: File, target: File) -> Generator[Any, Any, None]:
        if self._files.is_read_only:
            yield task.cpu.kernel(task, self._cost_ns)
            self._files.refuses(task)
            return
        first, second = sorted((source, target), key=_name)
        if self._boot.oops.wrong_order():
            first, second = second, first
        yield from first.lock.take(task)
        yield task.cpu.kernel(task, LOOKUP_NS)
        if self._draw() >= first.hit:  # the directory's block
            yield from self._boot.files.miss(task, first, 1, is_metadata=True)
        yield from second.lock.take(task)
        if "vfs_rename" in self._armed:
            yield from self._boot.pass_by("vfs_rename", task)
        yield task.cpu.kernel(task, LOOKUP_NS)
        self._boot.files.has_updates = True
        second.lock.release(task)
        first.lock.release(task)

    def _accepts(self, task: Task) -> Due | None:
        socket = self._socket
        if socket.calls:
            task.result = task.serves = socket.calls.popleft()
            if socket.calls:
                socket.wake_one()
            return None
        if task.is_killed:
            task.result = None
            return None
        socket.idle.append(task)
        return task.sleep("S", "accept")

    def _sends(self, task: Task, call: Call, size: int, cost_ns: int) -> Generator[Any, Any, None]:
        nic = self._boot.nic
        for point in ("do_syscall_64", "dev_queue_xmit"):
            if point in self._armed:
                yield from self._boot.pass_by(point, task)
        if nic.has_room():  # as in send(): an armed point changes nothing before it strikes
            nic.send(call, size, cost_ns)
            task.serves = None
            yield task.cpu.kernel(task, cost_ns)
            return
        yield task.cpu.kernel(task, cost_ns)
        while not nic.has_room():
            if task.is_killed:
                return  # and the call is abandoned when it exits
            nic.wait_for_room(task)
            yield task.sleep("S", "sk_stream_wait_memory")
        nic.send(call, size)
        task.serves = None

    def _forks(self, task: Task, comm: str, body: Body, pages: int) -> Generator[Any, Any, None]:
        yield task.cpu.kernel(task, FORK_NS)
        self._boot.fork(task.process, comm, body, pages)

    def _waits(self, task: Task) -> Generator[Any, Any, None]:
        zombies = task.process.zombies
        yield task.cpu.kernel(task, self._cost_ns)
        while not zombies and not task.is_killed:
            yield task.sleep("S", WAIT)
        task.waits_for = None
        if zombies:
            self._boot.reap(zombies.pop(0))

    def _sleeps(self, task: Task, ns: int) -> Generator[Any, Any, None]:
        yield task.cpu.kernel(task, self._cost_ns)
        timer = self._boot.clock.after(ns, task.wake)
        yield task.sleep("S", "hrtimer_nanosleep")
        timer.cancel()

    def _faults(self, task: Task, pages: int) -> Generator[Any, Any, bool]:
        for point in ("handle_mm_fault", "folio_add_lru"):
            if point in self._armed:
                yield from self._boot.pass_by(point, task)
        if self._pager.populate(task.process, pages):  # as in touch(): an armed point changes nothing
            yield task.cpu.kernel(task, pages * self._pager.costs.minor_fault)
            return True
        return (yield from self._pager.touch(task, pages))

    def _revisits(self, task: Task, pages: int) -> Generator[Any, Any, None]:
        text, pager = task.process.mapped, self._pager
        for _ in range(pages):
            if text is None or self._draw() < text.hit:
                continue
            pager.major_faults += 1
            if not (yield from self._files.miss(task, text, 1)):
                for thread in task.process.threads:
                    thread.kill()
                return
        yield from pager.revisit(task, pages)

    def _grows(self, task: Task, pages: int, ns: int) -> Generator[Any, Any, None]:
        yield from self._faults(task, pages)
        while ns > 0 and not task.is_killed:
            some = ns if ns < self._tick_ns else self._tick_ns
            ns -= some
            yield task.cpu.user(task, some)

    def _works(self, what: tuple[Task, int]) -> Due | None:
        """A tick is over, and ``ns`` are left."""
        task, ns = what
        if task.is_killed:
            return None
        if ns <= self._tick_ns:
            task.last()
            return task.cpu.user(task, ns)
        task.result = (task, ns - self._tick_ns)
        return task.cpu.user(task, self._tick_ns)


def _name(file: File) -> str:
    return file.name
