"""Runs a sweep: what is missing in the store is computed, each finished cell is kept at once.

Killed at any moment, it goes on where it stopped, and its tables have the bytes of an undisturbed run.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any

from ksim.errors import KsimError
from ksim.study.compare import Row
from ksim.study.pool import Progress
from ksim.study.results import versions
from ksim.study.sweep.cells import Cell, Failed, rows_of
from ksim.study.sweep.executors import executor_of, shard, work
from ksim.study.sweep.matters import check_factors
from ksim.study.sweep.plan import Plan
from ksim.study.sweep.store import STORE, Store, StoreError, check_is_of, create, opened


@dataclass(frozen=True, slots=True)
class Where:
    """How a sweep is run; nothing of it changes a result. ``budget_s``: no new work after so many seconds."""

    executor: str = "local"
    workers: int | None = None
    shard: str = ""
    budget_s: float | None = None


@dataclass
class State:
    """How far a sweep is: cells in the store, of how many; what failed by place; the widest interval so far."""

    points: int
    done: int
    computed: int = 0
    failed: dict[int, str] = field(default_factory=dict)
    widest: float | None = None

    @property
    def is_whole(self) -> bool:
        return self.done == self.points

    @property
    def is_over(self) -> bool:
        """Whether nothing is left that could still be computed."""
        return self.done + len(self.failed) == self.points


Report = Callable[[State], None]


def sweep(
    plan: Plan,
    directory: Path,
    where: Where | None = None,
    *,
    command: str = "",
    report: Report | None = None,
    must_matter: bool = True,
) -> State:
    """Computes the cells of a plan that are not in ``directory`` yet (of a shard: its own).

    ``must_matter``: factors that change nothing are refused.

    Raises ScenarioError for a plan that makes no sense, StoreError for a store that is not its own, KsimError where
    the workers cannot be had. Interrupted, it leaves what is done.
    """
    where = where or Where()
    path = directory / store_name(where.shard)
    wanted = shard(where.shard, len(plan.points)) if where.shard else range(len(plan.points))
    with locked(directory):
        if not path.exists():
            if must_matter:
                check_factors(plan)
            create(path, about(plan, command)).close()
        with opened(path) as store:
            check_is_of(store, plan)
            there = store.places()
        state = State(len(wanted), len(there & set(wanted)))
        missing = [place for place in wanted if place not in there]
        if missing:
            with opened(path, to_write=True) as store:
                _run(plan, store, missing, where, state, report)
    return state


def rows_of_plan(plan: Plan, workers: int | None = 1, progress: Progress | None = None) -> list[Row]:
    """All rows of a plan, parameters first, in the order of the design; nothing is stored.

    Raises KsimError for a point that cannot be computed.
    """
    done: dict[int, Cell] = {}
    executor = executor_of("local", workers, len(plan.points))
    was_ended = False
    try:
        for found in work(executor, map(plan.task, range(len(plan.points)))):
            for cell in found.cells:
                if isinstance(cell, Failed):
                    raise KsimError(f"{plan.name}: {plan.named(cell.place)}: {cell.reason}")
                done[cell.place] = cell
            if progress is not None:
                progress(len(done), len(plan.points))
        was_ended = True
    finally:
        executor.close(at_once=not was_ended)
    return [plan.parameters(place) | row for place, cell in sorted(done.items()) for row in rows_of(cell)]


def store_name(shard: str) -> str:
    """The file of a sweep, or of a shard ``i/n`` of it."""
    return f"sweep.{shard.replace('/', 'of')}.sqlite" if shard else STORE


def about(plan: Plan, command: str) -> dict[str, Any]:
    """What a store says of itself: the address of the plan, and all that went into it."""
    return {
        "digest": plan.digest,
        "columns": plan.columns,
        "points": len(plan.points),
        "study": plan.name,
        "command": command,
        "versions": versions(),
        "how": plan.how.shown(),
        "design": {"kind": plan.design.kind, "points": plan.design.points, "seed": plan.design.seed},
        "hosts": {host.name: host.text.load(host.settings).scenario.resolved() for host in plan.hosts},
        "assumed": {
            host.name: {
                key: {"value": param.value, "low": param.low, "high": param.high, "why": param.source.title}
                for key, param in sorted(host.text.load(host.settings).assumed().items())
            }
            for host in plan.hosts
        },
    }


def _run(plan: Plan, store: Store, missing: Sequence[int], where: Where, state: State, report: Report | None) -> None:
    groups: dict[int, list[int]] = {}
    for place in missing:
        groups.setdefault(plan.twins[place], []).append(place)
    leaders = {places[0]: places for places in groups.values()}  # a twin is never computed a second time
    executor = executor_of(where.executor, where.workers, len(leaders))
    was_ended = False
    try:
        tasks = (plan.task(place) for place in _within(leaders, where.budget_s))
        for found in work(executor, tasks):
            _keep(plan, store, found.cells, leaders, state)
            if report is not None:
                report(state)
        was_ended = True
    finally:
        executor.close(at_once=not was_ended)


def _within(places: Iterable[int], budget_s: float | None) -> Iterator[int]:
    """The places, until the time is over. What has begun is finished: a cell is whole or not there."""
    end = None if budget_s is None else monotonic() + budget_s
    for place in places:
        if end is not None and monotonic() >= end:
            return
        yield place


def _keep(
    plan: Plan, store: Store, found: Sequence[Cell | Failed], leaders: Mapping[int, Sequence[int]], state: State
) -> None:
    own = [cell for cell in found if isinstance(cell, Cell)]
    cells = [replace(cell, place=place) for cell in own for place in leaders[cell.place]]
    store.add((cell, plan.parameters(cell.place)) for cell in cells)
    state.done += len(cells)
    state.computed += len(cells)
    state.failed |= {place: one.reason for one in found if isinstance(one, Failed) for place in leaders[one.place]}
    for cell in own:
        for row in rows_of(cell):
            if row["half_width"] and row["estimate"] and row["method"] != "exact" and not row["baseline"]:
                state.widest = max(state.widest or 0.0, row["half_width"] / abs(row["estimate"]))


def merge(target: Path, shards: Sequence[Path]) -> tuple[int, int]:
    """Copies the cells of several stores of one study into ``target``; (cells there, of how many).

    Raises StoreError where they are of different studies or versions, or disagree about a cell.
    """
    first: Mapping[str, Any] | None = None
    stores = [opened(path) for path in shards]
    try:
        for store in stores:
            first = first or store.about
            for key, what in (("digest", "of another study"), ("versions", "made by another ksim")):
                own, other = (_identity(key, value[key]) for value in (store.about, first))
                if own != other:
                    raise StoreError(f"{store.path} is {what} than {stores[0].path}: they cannot be merged")
        with locked(target.parent):
            if not target.exists():
                create(target, stores[0].about).close()
            with opened(target, to_write=True) as into:
                if into.about["digest"] != stores[0].about["digest"]:
                    raise StoreError(f"{target} belongs to another study than {stores[0].path}")
                there = {cell.place: cell for cell, _ in into.cells()}
                for store in stores:
                    _copy(store, into, there)
                return len(there), into.points
    finally:
        for store in stores:
            store.close()


def _identity(key: str, value: Any) -> Any:
    return (value["ksim"], value["model"]) if key == "versions" else value


def _copy(store: Store, into: Store, there: dict[int, Cell]) -> None:
    new = []
    for cell, parameters in store.cells():
        known = there.setdefault(cell.place, cell)
        if known is cell:
            new.append((cell, parameters))
        elif known != cell:
            raise StoreError(f"{store.path} and {into.path} have different results for cell {cell.place + 1}")
    into.add(new)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """One writer at a time. Raises StoreError where another one is at work."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(directory, os.O_RDONLY)
    except OSError as error:
        raise StoreError(f"{directory}: {error.strerror or error}") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"{directory}: another ksim is at work there") from None
        except OSError:
            pass  # a file system without locks: two writers would still store the same cells
        yield
    finally:
        os.close(handle)
