"""Pieces of work on several cores: a bounded number in flight, Ctrl-C leaves no process behind.

A *piece* is (first, count): that many replications. They may finish in any order; whoever needs one puts them in order.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import forkserver
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

from ksim.errors import KsimError

J = TypeVar("J", contravariant=True)
R = TypeVar("R", covariant=True)
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
Piece = tuple[int, int]
Progress = Callable[[int, int], None]
"""Called with (done, of)."""


class Worker(Protocol[R]):
    """Does pieces of one job, and keeps what it needs for all of them."""

    def run(self, first: int, count: int) -> R: ...


class Hires(Protocol[J, R]):
    """Makes the worker of a job; a class that is one will do. It and the job are sent to other processes."""

    def __call__(self, job: J, /) -> Worker[R]: ...


def pieces_of(total: int, size: int, first: int = 0) -> list[Piece]:
    """``total`` replications from ``first`` on in pieces of ``size``; the last one takes what is left."""
    return [(first + begun, min(size, total - begun)) for begun in range(0, total, size)]


def work_in_threads(job: T, hires: Hires[T, R], pieces: Iterable[Piece], workers: int) -> Iterator[tuple[Piece, R]]:
    """The same in threads of this process, for workers that release the GIL. Each does one piece at a time."""
    if workers == 1:
        worker = hires(job)
        yield from ((piece, worker.run(*piece)) for piece in pieces)
        return
    hired: SimpleQueue[Worker[R]] = SimpleQueue()
    for _ in range(workers):
        hired.put(hires(job))

    def run(piece: Piece) -> R:
        worker = hired.get()
        try:
            return worker.run(*piece)
        finally:
            hired.put(worker)

    pool = ThreadPoolExecutor(workers)
    try:
        yield from _as_done(lambda piece: pool.submit(run, piece), pieces, workers, {})
    finally:
        pool.shutdown(cancel_futures=True)


def work_on(job: T, hires: Hires[T, R], pieces: Sequence[Piece], workers: int) -> Iterator[tuple[Piece, R]]:
    """Each piece with its result, in the order in which they are done.

    More than one worker means new processes, which import the caller's main module: a script needs the usual
    ``if __name__ == "__main__":``. Raises KsimError if a worker dies.
    """
    if workers > 1:
        yield from _parallel(job, hires, pieces, workers)
        return
    worker = hires(job)
    for piece in pieces:
        yield piece, worker.run(*piece)


_worker: Worker[Any] | None = None


def _start(hires: Hires[Any, Any], job: Any) -> None:
    global _worker
    at_birth()
    _worker = hires(job)


def at_birth() -> None:
    """What every worker process begins with."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that is killed cannot end its workers, so they watch it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run(piece: Piece) -> Any:
    assert _worker is not None
    return _worker.run(*piece)


def _as_done(
    submit: Callable[[Piece], Future[R]], pieces: Iterable[Piece], workers: int, running: dict[Future[R], Piece]
) -> Iterator[tuple[Piece, R]]:
    """Each piece with its result; ``running`` holds those in flight, few of them, so that memory does not grow."""
    waiting = iter(pieces)
    while True:
        for piece in islice(waiting, 3 * workers - len(running)):
            running[submit(piece)] = piece
        if not running:
            return
        finished, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in finished:
            yield running.pop(future), future.result()


def _parallel(job: T, hires: Hires[T, R], pieces: Sequence[Piece], workers: int) -> Iterator[tuple[Piece, R]]:
    pool = processes(workers, _start, (hires, job))
    running: dict[Future[R], Piece] = {}
    try:
        yield from _as_done(lambda piece: submit(pool, _run, piece), pieces, workers, running)
    except BrokenProcessPool:
        raise KsimError(
            "a worker process died (killed, out of memory, or a script without a __main__ guard); try one worker"
        ) from None
    finally:
        end(pool, at_once=bool(running))


def processes(workers: int, initializer: Callable[..., None], arguments: tuple[Any, ...] = ()) -> ProcessPoolExecutor:
    """A pool of processes that begin with ``initializer``, which has to call ``at_birth``."""
    kinds = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in kinds else None)
    if "forkserver" in kinds:
        context.set_forkserver_preload(["__main__", initializer.__module__])  # imported once, and not by each worker
        with _deaf_to_ctrl_c():
            forkserver.ensure_running()
    return ProcessPoolExecutor(workers, mp_context=context, initializer=initializer, initargs=arguments)


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """What is started here ignores Ctrl-C from its first moment on, and not only when it is ready."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def submit(pool: ProcessPoolExecutor, function: Callable[[A], B], argument: A) -> Future[B]:
    """Hands work over. That may start a process, which Ctrl-C in the middle of it would leave to itself."""
    with _ctrl_c_later():
        return pool.submit(function, argument)


@contextmanager
def _ctrl_c_later() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt


def end(pool: ProcessPoolExecutor, *, at_once: bool) -> None:
    """Ends a pool when its work is done, or ``at_once``, in the middle of it."""
    workers = list((pool._processes or {}).values())
    pool.shutdown(wait=not at_once, cancel_futures=True)
    if at_once:
        for process in workers:
            process.terminate()
