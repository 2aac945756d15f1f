"""Named workloads: what runs on the host, how often its clients call, and what it keeps in memory.

All numbers are ASSUMED: round figures of what such hosts do, there to be replaced by the user's own. Times are means
of exponential laws.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ksim.linux.watermarks import PAGE_BYTES
from ksim.micro.filesystem import File
from ksim.micro.task import Task

if TYPE_CHECKING:
    from ksim.micro.machine import Boot

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
Body = Callable[["Boot", Task], Generator[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Stored:
    """A file: its size, how much of it is in memory when the story begins (a share of it and of RAM at most), its
    skew."""

    name: str
    size: int
    cached: float
    of_ram: float
    skew: float


@dataclass(frozen=True, slots=True)
class Workload:
    """``processes`` of ``threads`` threads each (0: children of ``make``), ``rss`` bytes (or that share of RAM, if
    below 1) per process.

    ``calls_per_s`` of clients from outside; 0 where the programs keep themselves busy. ``user_us``: CPU time of one
    step in user space. ``text``: bytes of the program and its libraries, mapped by all of its processes.
    """

    name: str
    what: str
    comm: str
    body: Body
    calls_per_s: float
    processes: int
    threads: int
    rss: float
    user_us: float
    text: int
    files: tuple[Stored, ...]


def _file(boot: Boot, name: str) -> File:
    return boot.by_name[name]


def text_of(comm: str) -> str:
    """The name of the file that holds a program and its libraries."""
    return f"/usr/bin/{comm}"


def _text(boot: Boot, task: Task) -> File:
    return boot.by_name[text_of(task.process.comm)]


def serve_web(boot: Boot, task: Task) -> Generator[Any, Any, None]:
    """A worker of a web server: two reads and a reply for each call, and a line in the log."""
    sys, user_ns = boot.sys, boot.user_ns
    process, text = task.process, _text(boot, task)
    content, log = _file(boot, "content"), _file(boot, "access.log")
    while True:
        call = yield sys.recv(task)
        yield sys.work(task, user_ns())
        if process.swapped or text.hit < 1.0:
            yield sys.revisit(task, 4)
        ok = yield sys.read(task, content, 16 * KIB)
        ok = (yield sys.read(task, content, 16 * KIB)) and ok
        boot.answered(ok)
        yield sys.send(task, call, 24 * KIB)
        yield sys.write(task, log, 200)


def serve_database(boot: Boot, task: Task) -> Generator[Any, Any, None]:
    """A backend of a database: four reads, every third call a change that is on disk before the reply."""
    sys, user_ns = boot.sys, boot.user_ns
    process, text = task.process, _text(boot, task)
    data, wal = _file(boot, "data"), _file(boot, "wal")
    while True:
        call = yield sys.recv(task)
        yield sys.work(task, user_ns())
        if process.swapped or text.hit < 1.0:
            yield sys.revisit(task, 8)
        ok = True
        for _ in range(4):
            ok = (yield sys.read(task, data, 8 * KIB)) and ok
        if call.number % 3 == 0:
            ok = (yield sys.write(task, data, 8 * KIB)) and ok
            ok = (yield sys.write(task, wal, 8 * KIB)) and ok
            ok = (yield sys.fsync(task, wal)) and ok
        boot.answered(ok)
        yield sys.send(task, call, KIB)


def serve_files(boot: Boot, task: Task) -> Generator[Any, Any, None]:
    """A thread of a file server: 64 KiB read or written at each call, now and then two files renamed at once."""
    sys, user_ns = boot.sys, boot.user_ns
    process, text = task.process, _text(boot, task)
    share, there = _file(boot, "share"), _file(boot, "archive")
    while True:
        call = yield sys.recv(task)
        yield sys.work(task, user_ns())
        if process.swapped or text.hit < 1.0:
            yield sys.revisit(task, 4)
        if call.number % 50 < 2:
            source, target = (share, there) if call.number % 2 else (there, share)
            yield sys.rename(task, source, target)
            size = KIB
        elif call.number % 2:
            boot.answered((yield sys.read(task, share, 64 * KIB)))
            size = 64 * KIB
        else:
            boot.answered((yield sys.write(task, share, 64 * KIB)))
            size = KIB
        yield sys.send(task, call, size)


def make(boot: Boot, task: Task) -> Generator[Any, Any, None]:
    """make -j: starts twice as many compilers as there are CPUs, and the next one for each that has ended."""
    sys, farm = boot.sys, WORKLOADS[boot.micro.workload]
    pages = round(farm.rss / PAGE_BYTES)
    for _ in range(2 * len(boot.scheduler.cpus)):
        yield sys.fork(task, farm.comm, farm.body, pages)
    while True:
        yield sys.wait(task)
        yield sys.fork(task, farm.comm, farm.body, pages)


def build(boot: Boot, task: Task) -> Generator[Any, Any, None]:
    """A compiler: reads headers, grows, works, writes an object file, and ends."""
    sys, user_ns = boot.sys, boot.user_ns
    process, text = task.process, _text(boot, task)
    headers, objects = _file(boot, "headers"), _file(boot, "objects")
    for _ in range(20):
        yield sys.read(task, headers, 16 * KIB)
        if process.swapped or text.hit < 1.0:
            yield sys.revisit(task, 4)
        yield sys.grow(task, 512, user_ns())
    yield sys.write(task, objects, 200 * KIB)
    boot.jobs += 1


def daemon(boot: Boot, task: Task) -> Generator[Any, Any, None]:
    """Something that wakes up once a second, looks around, and writes a line now and then."""
    sys, user_ns = boot.sys, boot.user_ns
    process, text, log = task.process, _text(boot, task), _file(boot, "syslog")
    turns = 0
    while True:
        yield sys.nanosleep(task, 1_000_000_000)
        if process.swapped or text.hit < 1.0:
            yield sys.revisit(task, 4)
        yield sys.work(task, user_ns())
        yield sys.plain(task)
        turns += 1
        if turns % 10 == 0:
            yield sys.write(task, log, 200)


def leaky(boot: Boot, task: Task) -> Generator[Any, Any, None]:
    """A program with a memory leak of ``micro.memory.leak``."""
    pages = max(1, round(boot.micro.memory.leak * MIB / 4096 / 10))
    while True:
        yield boot.sys.nanosleep(task, 100_000_000)
        yield boot.sys.touch(task, pages)


def backup(boot: Boot, task: Task) -> Generator[Any, Any, None]:
    """The nightly backup at nice 19: reads the largest file from one end to the other, at ``micro.backup``, and packs
    it."""
    sys, largest = boot.sys, max(boot.files.files, key=_pages)
    period_ns = round(BACKUP_STEP / (boot.micro.backup * MIB) * 1e9)
    due_ns = task.now_ns
    while True:
        yield sys.scan(task, largest, BACKUP_STEP)
        yield sys.work(task, PACK_NS)
        due_ns = max(due_ns + period_ns, task.now_ns)
        if due_ns > task.now_ns:
            yield sys.nanosleep(task, due_ns - task.now_ns)


def _pages(file: File) -> int:
    return file.pages


BACKUP_STEP = 128 * KIB
PACK_NS = 650_000
"""Of one step: a fast compressor at 200 MB/s. ASSUMED."""
WORKLOADS: Mapping[str, Workload] = {
    workload.name: workload
    for workload in (
        Workload(
            "web-server", "static and dynamic pages, mostly from memory", "nginx", serve_web, 2000.0, 32, 1,
            48 * MIB, 150.0, 12 * MIB,
            (Stored("content", 60 * GIB, 0.6, 0.4, 0.15), Stored("access.log", GIB, 0.5, 0.02, 0.02)),
        ),
        Workload(
            "database", "transactions with a write-ahead log", "postgres", serve_database, 1000.0, 1, 64, 0.25,
            250.0, 24 * MIB,
            (Stored("data", 300 * GIB, 0.4, 0.35, 0.2), Stored("wal", GIB, 1.0, 0.02, 0.0)),
        ),
        Workload(
            "file-server", "large reads and writes", "nfsd", serve_files, 800.0, 1, 32, 64 * MIB, 40.0, 8 * MIB,
            (Stored("share", 2048 * GIB, 0.5, 0.6, 0.3), Stored("archive", 100 * GIB, 0.1, 0.02, 1.0)),
        ),
        Workload(
            "build-farm", "compilers, twice as many as CPUs", "cc1", build, 0.0, 0, 1, 16 * MIB, 5000.0, 32 * MIB,
            (Stored("headers", 4 * GIB, 1.0, 0.1, 0.0), Stored("objects", 40 * GIB, 0.1, 0.05, 1.0)),
        ),
        Workload(
            "idle", "a dozen daemons and nobody calls", "daemon", daemon, 0.0, 12, 1, 30 * MIB, 80.0, 20 * MIB,
            (Stored("syslog", GIB, 0.5, 0.02, 0.0), Stored("root", 8 * GIB, 1.0, 0.05, 1.0)),
        ),
    )
}  # fmt: skip
