"""What a crash finds: the classes of pages in memory, what is lost, and whom the OOM killer would choose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ksim.linux.badness import Candidate
from ksim.linux.badness import oom_victim as choose
from ksim.linux.vocabulary import TaskKind
from ksim.linux.watermarks import PAGE_BYTES
from ksim.model.impact import CrashImpact
from ksim.units import to_s

if TYPE_CHECKING:
    from ksim.micro.machine import Boot
    from ksim.micro.task import Process, Task


def page_classes(boot: Boot) -> dict[str, float]:
    """Shares of dumpable memory (all but the crash kernel's) by makedumpfile's page classes, in sum 1."""
    memory = boot.pager.memory
    zero = round(memory.anon * boot.micro.memory.zero)
    counts = {
        "zero": zero,
        "cache": memory.cache - memory.private + memory.reading,
        "private_cache": memory.private,
        "user": memory.anon - zero,
        "free": memory.free,
        "kernel": memory.kernel + memory.tables,
    }
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()}


def impact(boot: Boot, detect_s: float) -> CrashImpact:
    """The state of the machine as a crash at this moment meets it."""
    now_s = to_s(boot.clock.now) or 1.0
    all_ns = (boot.clock.now or 1) * len(boot.scheduler.cpus)
    cpus = boot.scheduler.cpus
    return CrashImpact(
        at_s=now_s,
        pages=page_classes(boot),
        user=min(1.0, sum(cpu.user_ns for cpu in cpus) / all_ns),
        kernel=min(1.0, sum(cpu.kernel_ns for cpu in cpus) / all_ns),
        irq=min(1.0, sum(cpu.irq_ns for cpu in cpus) / all_ns),
        dirty_bytes=boot.pager.memory.dirty * PAGE_BYTES,
        io_in_flight=boot.disk.in_flight,
        calls_in_flight=boot.nic.in_flight,
        reads_per_s=boot.disk.reads / now_s,
        writes_per_s=(boot.disk.issued - boot.disk.reads) / now_s,
        packets_per_s=boot.nic.packets / now_s,
        sent_per_s=boot.nic.hang.passes / now_s,
        faults_per_s=(boot.pager.minor_faults + boot.pager.major_faults) / now_s,
        detect_s=detect_s,
    )


def oom_victim(boot: Boot, task: Task | None) -> Process | None:
    """The process with the highest badness; None where nobody may be killed."""
    processes = {process.pid: process for process in boot.pager.processes}
    candidates = [
        Candidate(
            process.pid,
            process.comm,
            process.rss,
            process.swapped,
            process.tables,
            process.oom_score_adj,
            is_init=process.kind is TaskKind.INIT,
            is_dying=process.is_dying and process.anon > 0,
            is_victim=process.is_dying and process.anon > 0,
            is_reaped=process.is_dying and process.anon == 0,
        )
        for process in processes.values()
    ]
    memory = boot.pager.memory
    asks = task.process.pid if task is not None and task.process.pid in processes else None
    settings = boot.linux.linux
    pid = choose(
        candidates,
        memory.total + memory.swap_total,
        allocating=asks,
        oom_kill_allocating_task=settings.oom_kill_allocating_task != 0,
    )
    return None if pid is None else processes[pid]
