"""Whom the OOM killer chooses: the badness of processes, and the shortcuts before it is asked.

Whether a process or the machine dies is decided by ``ksim.linux.oom``. Pages and seconds; global (not memory cgroup)
OOM. Follows mm/oom_kill.c: oom_badness(), oom_evaluate_task(), select_bad_process(), out_of_memory().
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ksim.errors import LinuxError
from ksim.source import Param, Source

OOM_SCORE_ADJ_MIN = -1000
"""Immune (include/uapi/linux/oom.h)."""
OOM_SCORE_ADJ_MAX = 1000
_REAPER = Source("Linux", "mm/oom_kill.c, queue_oom_reaper(), oom_reap_task()")
OOM_REAPER_DELAY_S = Param(2.0, "s", "0 s", "2 s", _REAPER, "from the kill to the first try of the reaper")
OOM_REAPER_RETRY_S = Param(0.1, "s", "0.1 s", "0.1 s", _REAPER, "between two tries, while the mmap lock is held")
OOM_REAPER_TRIES = Param(10, "1", "10", "10", _REAPER, "then the victim is given up and another one may be chosen")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A process as the OOM killer sees it: what it holds, in pages, and why it may be passed over.

    ``is_dying``: the whole process is exiting or has a fatal signal (task_will_free_mem). ``is_victim``: killed by the
    OOM killer before, and its memory not free yet. ``is_reaped``: the reaper has been through its memory or has given
    it up (MMF_OOM_SKIP). ``in_vfork``: its memory is its parent's. ``is_oom_origin``: it calls itself to account, as
    swapoff does.
    """

    pid: int
    comm: str = ""
    rss_pages: int = 0
    swap_pages: int = 0
    pgtable_pages: int = 0
    oom_score_adj: int = 0
    is_init: bool = False
    is_kthread: bool = False
    is_dying: bool = False
    is_victim: bool = False
    is_reaped: bool = False
    in_vfork: bool = False
    is_oom_origin: bool = False

    @property
    def is_unkillable(self) -> bool:
        """The kernel's oom_unkillable_task(): init and kernel threads."""
        return self.is_init or self.is_kthread


def badness(*, rss_pages: int, swap_pages: int, pgtable_pages: int, oom_score_adj: int, total_pages: int) -> int | None:
    """Points in pages, the higher the worse; None for oom_score_adj -1000. Points can be negative.

    ``total_pages``: RAM and swap; one step of oom_score_adj weighs a thousandth of it, rounded down as the kernel does.
    Raises LinuxError for negative pages and for an adjustment outside -1000 to 1000.
    """
    if min(rss_pages, swap_pages, pgtable_pages, total_pages) < 0:
        raise LinuxError("a process cannot hold a negative number of pages")
    if not OOM_SCORE_ADJ_MIN <= oom_score_adj <= OOM_SCORE_ADJ_MAX:
        raise LinuxError(f"oom_score_adj is {OOM_SCORE_ADJ_MIN} to {OOM_SCORE_ADJ_MAX}, not {oom_score_adj}")
    if oom_score_adj == OOM_SCORE_ADJ_MIN:
        return None
    return rss_pages + swap_pages + pgtable_pages + oom_score_adj * (total_pages // 1000)


def pending_victim(candidates: Iterable[Candidate]) -> int | None:
    """The pid of an earlier victim that still holds its memory: while there is one, nobody else is killed."""
    return next((c.pid for c in candidates if c.is_victim and not c.is_reaped and not c.is_unkillable), None)


def oom_victim(
    candidates: Iterable[Candidate],
    total_pages: int,
    *,
    allocating: int | None,
    oom_kill_allocating_task: bool = False,
) -> int | None:
    """The pid that gets SIGKILL; None if no task can be killed, which is the panic "System is deadlocked on memory".

    ``allocating``: the pid that asked for memory, None for a kernel thread that is not in the list. It is chosen
    without a look at others if it is dying anyway, and under vm.oom_kill_allocating_task. Where an earlier victim
    still holds its memory (``pending_victim``), its pid comes back: the killer waits for it, and killing it twice
    changes nothing. Of equals the later in the list is chosen. Raises LinuxError for an unknown ``allocating``.
    """
    tasks = tuple(candidates)
    current = next((task for task in tasks if task.pid == allocating), None)
    if allocating is not None and current is None:
        raise LinuxError(f"the allocating task {allocating} is not among the candidates")
    if current is not None:
        if current.is_dying and not current.is_unkillable and not current.is_reaped:
            return current.pid
        immune = current.is_unkillable or current.oom_score_adj == OOM_SCORE_ADJ_MIN
        if oom_kill_allocating_task and not immune:
            return current.pid
    pending = pending_victim(tasks)
    return _worst(tasks, total_pages) if pending is None else pending


def _worst(tasks: tuple[Candidate, ...], total_pages: int) -> int | None:
    found: tuple[bool, int] | None = None
    pid = None
    for task in tasks:
        if task.is_unkillable or (task.is_victim and task.is_reaped):
            continue
        points = badness(
            rss_pages=task.rss_pages,
            swap_pages=task.swap_pages,
            pgtable_pages=task.pgtable_pages,
            oom_score_adj=task.oom_score_adj,
            total_pages=total_pages,
        )
        if task.is_oom_origin:
            key = (True, 0)
        elif points is None or task.is_reaped or task.in_vfork:
            continue
        else:
            key = (False, points)
        if found is None or key >= found:
            found, pid = key, task.pid
    return pid
