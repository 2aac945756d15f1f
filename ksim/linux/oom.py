"""Out of memory: a process dies, or the machine, by vm.panic_on_oom. No taint either way.

Follows mm/oom_kill.c (check_panic_on_oom, out_of_memory) and Documentation/admin-guide/sysctl/vm.rst.
"""

from __future__ import annotations

from collections.abc import Mapping

from ksim.linux.rules import End, Row, Strike, always
from ksim.linux.vocabulary import TaskKind
from ksim.source import Source

_CHECK = Source("Linux", "mm/oom_kill.c, check_panic_on_oom()")
_OOM = Source("Linux", "mm/oom_kill.c, out_of_memory()")

_DYING = Row(
    "already_dying",
    "is the task that asked for memory already exiting?",
    lambda s: s.task.kind is TaskKind.USER and s.task.is_exiting,
    "it is the victim: it may use the reserves to finish; no setting is asked",
    _OOM,
    End.KILLED,
    kills=lambda s: f"the process {s.task.comm}[{s.task.pid}], which is exiting anyway",
)
_COMPULSORY = Row(
    "panic_on_oom_2",
    "is vm.panic_on_oom 2?",
    lambda s: s.settings.panic_on_oom == 2,
    "panic, whoever is short of memory",
    _CHECK,
    End.PANIC,
    "Out of memory: compulsory panic_on_oom is enabled",
)
_SYSTEM_WIDE = Row(
    "panic_on_oom_1",
    "is vm.panic_on_oom 1, and the whole machine short of memory?",
    lambda s: s.settings.panic_on_oom == 1 and s.event.name in ("oom", "oom_no_victim"),
    "panic",
    _CHECK,
    End.PANIC,
    "Out of memory: system-wide panic_on_oom is enabled",
)
_ALLOCATING = Row(
    "oom_kill_allocating_task",
    "is vm.oom_kill_allocating_task set, no memory cgroup short, and the task neither init nor a kernel thread?",
    lambda s: s.settings.oom_kill_allocating_task != 0 and s.event.name != "oom_memcg" and s.task.kind is TaskKind.USER,
    "the task that asked for memory gets SIGKILL",
    _OOM,
    End.KILLED,
    kills=lambda s: f"the process {s.task.comm}[{s.task.pid}] that asked for memory, by SIGKILL",
)


def _killed(s: Strike) -> str:
    where = {"oom_memcg": "of the cgroup ", "oom_cpuset": "of the cpuset "}.get(s.event.name, "")
    return f"the process {where}with the highest badness, by SIGKILL"


_HIGHEST = Row(
    "highest_badness",
    "is there a task that may be killed?",
    always,
    "the task with the highest badness gets SIGKILL; no taint",
    Source("Linux", "mm/oom_kill.c, oom_kill_process()"),
    End.KILLED,
    kills=_killed,
)
_DEADLOCKED = Row(
    "no_victim",
    "is nothing left that may be killed?",
    always,
    "panic",
    _OOM,
    End.PANIC,
    "System is deadlocked on memory",
    prints="Out of memory and no killable processes...",
)
OOM_ROWS: Mapping[str, tuple[Row, ...]] = {
    **dict.fromkeys(("oom", "oom_cpuset", "oom_memcg"), (_DYING, _COMPULSORY, _SYSTEM_WIDE, _ALLOCATING, _HIGHEST)),
    "oom_no_victim": (_COMPULSORY, _SYSTEM_WIDE, _DEADLOCKED),
}
