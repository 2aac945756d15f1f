"""Where cells are computed: in this process, on its cores, or on a cluster that is there already.

All speak in ``concurrent.futures.Future``. A worker that dies takes no cell with it: what was under way is computed
again, and a task that kills its worker twice is named.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, ProcessPoolExecutor, wait
from itertools import islice
from time import monotonic
from typing import Protocol

from ksim.errors import KsimError, nearest
from ksim.study.pool import at_birth, end, processes, submit
from ksim.study.sweep.cells import VERSIONS, Done, Failed, compute
from ksim.study.sweep.plan import Task

FEW = 4
"""Fewer cells than this are computed before worker processes have even started."""
CHUNK_S = 0.2
"""Work that is handed over at a time: much more than it costs to hand it over."""
MOST = 64
IN_FLIGHT = 3
"""Chunks for each worker that are handed over in advance."""


class Executor(Protocol):
    """Runs ``compute`` elsewhere."""

    workers: int

    def submit(self, tasks: Sequence[Task]) -> Future[Done]: ...

    def mend(self) -> None:
        """After a worker died: ready for work again."""

    def close(self, *, at_once: bool) -> None: ...


class Here:
    """In this process, one after the other."""

    workers = 1

    def submit(self, tasks: Sequence[Task]) -> Future[Done]:
        future: Future[Done] = Future()
        future.set_result(compute(tasks))
        return future

    def mend(self) -> None:
        pass

    def close(self, *, at_once: bool) -> None:
        pass


def _at_birth() -> None:
    """Here, so that a worker is born with all that cells need."""
    at_birth()


class Local:
    """Processes on this machine."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool = self._new()

    def _new(self) -> ProcessPoolExecutor:
        return processes(self.workers, _at_birth)

    def submit(self, tasks: Sequence[Task]) -> Future[Done]:
        return submit(self._pool, compute, tasks)

    def mend(self) -> None:
        end(self._pool, at_once=True)
        self._pool = self._new()

    def close(self, *, at_once: bool) -> None:
        end(self._pool, at_once=at_once)


class Dask:
    """The workers of a Dask cluster, which need ksim in the same version."""

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client
        except ImportError:
            raise KsimError("--executor dask://... needs the package distributed: the extra 'dask'") from None
        try:
            self._client = Client(address, timeout=10, set_as_default=False)
        except (OSError, ValueError) as error:
            raise KsimError(f"no Dask scheduler answers at {address}: {error}") from None
        self._executor = self._client.get_executor(pure=False)
        self.workers = max(1, sum(self._client.nthreads().values()))

    def submit(self, tasks: Sequence[Task]) -> Future[Done]:
        future: Future[Done] = self._executor.submit(compute, tasks)
        return future

    def mend(self) -> None:
        pass  # the scheduler has its own ways

    def close(self, *, at_once: bool) -> None:
        self._executor.shutdown(wait=not at_once)
        self._client.close()


class Ray:
    """The workers of a Ray cluster, which need ksim in the same version."""

    def __init__(self, address: str) -> None:
        try:
            import ray
        except ImportError:
            raise KsimError("--executor ray://... needs the package ray: the extra 'ray'") from None
        try:
            ray.init(address=address, log_to_driver=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise KsimError(f"no Ray cluster answers at {address}: {error}") from None
        self._ray = ray
        self._compute = ray.remote(compute)
        self.workers = max(1, int(ray.cluster_resources().get("CPU", 1)))

    def submit(self, tasks: Sequence[Task]) -> Future[Done]:
        future: Future[Done] = self._compute.remote(tasks).future()
        return future

    def mend(self) -> None:
        pass  # Ray restarts its workers

    def close(self, *, at_once: bool) -> None:
        self._ray.shutdown()


CLUSTERS: dict[str, Callable[[str], Executor]] = {
    "dask": lambda address: Dask(f"tcp://{address}"),
    "ray": lambda address: Ray(address if address == "auto" else f"ray://{address}"),
}


def executor_of(name: str, workers: int | None, cells: int) -> Executor:
    """``local``, ``dask://HOST:PORT``, ``ray://HOST:PORT`` (its client port) or ``ray://auto`` (the cluster that this
    machine belongs to). Raises KsimError where nothing answers there."""
    kind, slashes, address = name.partition("://")
    if slashes and kind in CLUSTERS and address:
        if workers is not None:
            raise KsimError(f"--workers is for this machine: the cluster at {address} has its own")
        return CLUSTERS[kind](address)
    if name != "local":
        known = ("local", *(f"{kind}://HOST:PORT" for kind in CLUSTERS))
        raise KsimError(f"unknown executor '{name[:80]}'{nearest(name, known)} (known: {', '.join(known)})")
    if workers is None:
        workers = (os.cpu_count() or 1) if cells >= FEW else 1
    workers = min(workers, max(1, cells))
    return Here() if workers == 1 else Local(workers)


def work(executor: Executor, tasks: Iterable[Task]) -> Iterator[Done]:
    """Computes tasks, a bounded number of them in flight, and gives what is done as it is done.

    Raises KsimError where the workers are of another version, or where the cluster is gone.
    """
    waiting, size = iter(tasks), 1
    running: dict[Future[Done], tuple[list[Task], float]] = {}
    while True:
        while len(running) < IN_FLIGHT * executor.workers and (chunk := list(islice(waiting, size))):
            running[executor.submit(chunk)] = chunk, monotonic()
            if executor.workers == 1:
                break  # Here it is done already: what is done is stored before the next one
        if not running:
            return
        finished, _ = wait(running, return_when=FIRST_COMPLETED)
        lost: list[Task] = []
        for future in finished:
            chunk, began = running.pop(future)
            found = _result(future)
            if found is None:
                lost += chunk
                continue
            size = _size(size, len(chunk), (monotonic() - began) / (IN_FLIGHT if executor.workers > 1 else 1))
            yield found
        if lost:
            lost += [task for chunk, _ in running.values() for task in chunk]
            running.clear()
            executor.mend()
            yield from _one_by_one(executor, lost)


def _size(size: int, done: int, seconds: float) -> int:
    """How many tasks to hand over next, so that they take about CHUNK_S."""
    each = max(seconds / done, 1e-6)
    return max(1, min(MOST, 2 * size, round(CHUNK_S / each)))


def _result(future: Future[Done]) -> Done | None:
    """What a worker sent; None where it died."""
    try:
        found = future.result()
    except BrokenExecutor:
        return None
    except CancelledError:
        raise KsimError("the cluster is gone; what is finished is stored, the same command goes on") from None
    except Exception as error:
        if type(error).__name__ in ("KilledWorker", "WorkerCrashedError"):  # of Dask and Ray, which may not be there
            return None
        raise
    if found.versions != VERSIONS:
        own, other = (f"ksim {version}, model {model}" for version, model in (VERSIONS, found.versions))
        raise KsimError(f"the workers have {other}, and this is {own}: their cells cannot be mixed")
    return found


def _one_by_one(executor: Executor, tasks: Sequence[Task]) -> Iterator[Done]:
    """Tasks that were under way when a worker died, each alone, so that the guilty one is known."""
    for task in tasks:
        found = _result(executor.submit([task]))
        if found is None:
            executor.mend()
            found = Done((Failed(task.place, "its worker process died twice (killed, or out of memory)"),), VERSIONS)
        yield found


def shard(text: str, points: int) -> range:
    """The places of shard ``i/n``. Raises KsimError."""
    i, slash, n = text.partition("/")
    if not (slash and i.isdecimal() and n.isdecimal() and 1 <= int(i) <= int(n) <= 10**6):
        raise KsimError(f"--shard '{text[:40]}': expected i/n with 1 <= i <= n, such as 1/4")
    return range(int(i) - 1, points, int(n))
