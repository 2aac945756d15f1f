"""Strike points: places in the kernel where a fault may hit, named like the kernel's own functions, and when it does.

A point says what the rules of ``ksim.linux`` will ask for: the context of the CPU, and which locks are held there.
What is armed at a point is asked each time that the simulated kernel passes by; a point without a fault costs
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, repeat
from operator import length_hint

from ksim.errors import ScenarioError, nearest
from ksim.linux.vocabulary import Context, Lock


@dataclass(frozen=True, slots=True)
class Point:
    """One place. ``file``: where the function lives in Linux; ``module``: empty for the kernel itself.
    ``preempt_count``: preemption disabled there, beyond what ``locks`` and ``context`` do.

    ``nth``: the pass at which a fault strikes if nobody says; few where the kernel seldom comes by.
    """

    name: str
    what: str
    file: str
    context: Context = Context.PROCESS
    locks: tuple[Lock, ...] = ()
    irqs_off: bool = False
    module: str = ""
    nth: int = 1000
    preempt_count: int = 0

    @property
    def may_sleep(self) -> bool:
        """Whether schedule() is allowed there: not in_atomic(), and not the idle task."""
        is_atomic = self.context is not Context.PROCESS or self.irqs_off or self.preempt_count > 0
        return not is_atomic and not any(lock.spins for lock in self.locks) and self.name != "do_idle"


_POINTS = (
    Point("vfs_read", "a task reads from a file", "fs/read_write.c"),
    Point("vfs_write", "a task writes to a file, its inode locked", "fs/read_write.c", locks=(Lock.RWSEM,)),
    Point("__jbd2_journal_file_buffer", "a buffer joins the transaction, j_list_lock held", "fs/jbd2/transaction.c",
          locks=(Lock.SPINLOCK,), module="jbd2", nth=100),
    Point("folio_add_lru", "a new page joins the batch of its CPU, preemption off", "mm/swap.c", nth=10,
          preempt_count=1),
    Point("ext4_sync_file", "a task waits for its data to be on disk", "fs/ext4/fsync.c", module="ext4", nth=100),
    Point("vfs_rename", "a task renames a file, two directories locked", "fs/namei.c", locks=(Lock.RWSEM, Lock.RWSEM),
          nth=5),
    Point("jbd2_journal_commit_transaction", "jbd2 commits the journal", "fs/jbd2/commit.c",
          locks=(Lock.MUTEX,), module="jbd2", nth=1),
    Point("wb_workfn", "a kworker writes dirty pages back", "fs/fs-writeback.c", nth=1),
    Point("submit_bio", "a request goes to the disk driver, its queue locked", "block/blk-core.c",
          locks=(Lock.SPINLOCK_IRQ,), irqs_off=True, nth=100),
    Point("blk_mq_complete_request", "the disk's interrupt", "block/blk-mq.c", Context.HARDIRQ, irqs_off=True,
          nth=100),
    Point("handle_mm_fault", "a page fault of a user process", "mm/memory.c", locks=(Lock.RWSEM,), nth=100),
    Point("shrink_node", "kswapd or an allocating task reclaims pages", "mm/vmscan.c", nth=1),
    Point("dev_queue_xmit", "a task sends a packet, bottom halves off", "net/core/dev.c", Context.BH_DISABLED,
          locks=(Lock.SPINLOCK_BH,)),
    Point("napi_poll", "received packets are taken from the ring", "net/core/dev.c", Context.SOFTIRQ),
    Point("handle_irq_event", "the network card's interrupt", "kernel/irq/handle.c", Context.HARDIRQ, irqs_off=True),
    Point("do_syscall_64", "any system call", "arch/x86/entry/syscall_64.c"),
    Point("do_idle", "an idle CPU", "kernel/sched/idle.c"),
    Point("pid1", "systemd at work", "fs/eventpoll.c", nth=1),
    Point("worker_thread", "a kworker at work", "kernel/workqueue.c", nth=1),
)  # fmt: skip
POINTS: Mapping[str, Point] = {point.name: point for point in _POINTS}


def point_named(name: str) -> Point:
    """The strike point of that name. Raises ScenarioError with the nearest one."""
    if name not in POINTS:
        raise ScenarioError(
            f"unknown strike point '{name[:60]}'{nearest(name[:60], POINTS)} (known: {', '.join(POINTS)})"
        )
    return POINTS[name]


NEVER = 1 << 62


class Trigger:
    """When something strikes: with probability ``p`` at each pass, or once, at pass number ``nth``.

    ``draw`` gives a uniform number; the gap to the next strike is drawn at once (geometric). ``due``, called at each
    pass, says whether it strikes there: no more than a step of an iterator.
    Raises ScenarioError for no probability, or a pass before the first.
    """

    def __init__(self, draw: Callable[[], float], *, p: float = 0.0, nth: int | None = None) -> None:
        if not 0.0 <= p <= 1.0:
            raise ScenarioError(f"a probability lies from 0 to 1, not {p}")
        if nth is not None and nth < 1:
            raise ScenarioError(f"passes are counted from 1, not {nth}")
        self._draw, self._p = draw, p
        self.strikes = self._until_strike = 0
        self._calm = repeat(False, 0)
        self._waits(nth if nth is not None else self._gap())
        self.due: Callable[[], bool] = chain.from_iterable(self._passes()).__next__

    @property
    def passes(self) -> int:
        """How many there were."""
        return self._until_strike - length_hint(self._calm)

    def _passes(self) -> Iterator[Iterable[bool]]:
        while True:
            yield self._calm
            self.strikes += 1
            self._until_strike += 1
            self._waits(self._gap())
            yield (True,)

    def _waits(self, gap: int) -> None:
        self._until_strike += gap - 1
        self._calm = repeat(False, gap - 1)

    def _gap(self) -> int:
        if self._p <= 0.0:
            return NEVER
        if self._p >= 1.0:
            return 1
        return min(math.floor(math.log1p(-self._draw()) / math.log1p(-self._p)) + 1, NEVER)
