"""How a boot is put together from its scenario: hardware, kernel threads, and the programs of its workload."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from ksim.chance.distributions import Exponential
from ksim.errors import ScenarioError
from ksim.linux import netdev
from ksim.linux.sched import CONTEXT_SWITCH, HZ
from ksim.linux.vocabulary import TaskKind
from ksim.linux.watermarks import PAGE_BYTES
from ksim.micro import programs
from ksim.micro.blkdev import BlockDevice, Ladder
from ksim.micro.clock import Due
from ksim.micro.cpu import Scheduler
from ksim.micro.filesystem import File, FileSystem
from ksim.micro.netdev import NetDevice, Socket
from ksim.micro.pager import PAGE_TABLE, Memory, Pager
from ksim.micro.programs import Workload
from ksim.micro.strike import Trigger
from ksim.micro.syscall import Syscalls
from ksim.micro.task import Process, Task
from ksim.units import to_ns

if TYPE_CHECKING:
    from ksim.micro.machine import Boot

RESTART_NS = 100_000_000
"""DefaultRestartSec of systemd: 100 ms."""
KERNEL_SHARE, SLAB_SHARE = 0.0167, 0.01
"""Of RAM: page structs and kernel image (64 bytes a page, and what booted), and slab; the latter is ASSUMED."""
MAKE_PAGES = 2048
"""Of make and its tree of targets. ASSUMED."""
STOP = 100
"""The stop class runs before SCHED_FIFO's 99."""
BACKLOG = 4096
"""net.core.somaxconn, since Linux 5.4."""


def hardware(boot: Boot) -> None:
    """CPUs, memory, disk, file system, network card."""
    scenario, micro, settings = boot.scenario, boot.micro, boot.linux.linux
    boot.scheduler = Scheduler(
        boot.clock,
        scenario.host.cpus,
        release=boot.linux.release,
        hz=HZ.value,
        switch_ns=CONTEXT_SWITCH.value,
        cpu_class=None if boot.recorder is None else boot.recorder.cpu,
    )
    boot.disk = _disk(boot)
    total = scenario.host.memory // PAGE_BYTES
    kernel = round(total * (KERNEL_SHARE + SLAB_SHARE))
    reserved = boot.linux.reservation.given_up_bytes // PAGE_BYTES
    swap = micro.memory.swap // PAGE_BYTES
    boot.pager = Pager(
        boot.clock,
        Memory(total, reserved, kernel, free=total - kernel - reserved, swap_total=swap),
        swappiness=settings.swappiness,
        background_ratio=settings.dirty_background_ratio,
        dirty_ratio=settings.dirty_ratio,
        min_free_bytes=settings.min_free_kbytes * 1024 or None,
        swap_device=boot.disk if swap else None,
        new_request=boot.request,
        out_of_memory=boot.out_of_memory,
        draw=boot.draw("swap"),
        pass_by=boot.pass_by,
        armed=boot.armed,
    )
    boot.files = FileSystem(
        boot.clock,
        micro.disk.file_system,
        boot.disk,
        boot.pager,
        new_request=boot.request,
        on_error=boot.file_system_error,
        log=boot.log,
        draw=boot.draw("file system"),
        pass_by=boot.pass_by,
        armed=boot.armed,
    )
    boot.socket = Socket(BACKLOG)
    boot.nic = NetDevice(
        boot.clock,
        "eth0",
        micro.nic.driver,
        netdev.driver(micro.nic.driver),
        byte_ns=1e9 / scenario.host.network,
        hang=Trigger(boot.draw("nic hang"), p=micro.nic.hang),
        drop=Trigger(boot.draw("nic drop"), p=micro.nic.drop),
        flap=Trigger(boot.draw("nic flap"), p=micro.nic.flap),
        reset_ns=boot.draw_ns("nic reset", micro.nic.reset),
        carrier_ns=boot.draw_ns("nic carrier", micro.nic.carrier),
        cpus=boot.scheduler.cpus,
        socket=boot.socket,
        log=boot.log,
        on_irq=boot.passes_irq,
        armed=boot.armed,
        release=boot.linux.release,
        warns=boot.tx_timeout_warns,
    )
    boot.sys = Syscalls(boot)
    if boot.recorder is not None:
        boot.recorder.watch(boot)


def _disk(boot: Boot) -> BlockDevice:
    disk, uniform = boot.micro.disk, boot.draw
    abort, reset = uniform("disk abort"), uniform("disk reset")
    ladder = Ladder(
        Trigger(uniform("disk lost"), p=disk.lost),
        Trigger(uniform("disk medium"), p=disk.medium),
        lambda: abort() < disk.abort_works,
        lambda: reset() < disk.reset_works,
        Trigger(uniform("disk write error"), p=disk.write_error),
        Trigger(uniform("disk flush error"), p=disk.flush_error),
    )
    return BlockDevice(
        boot.clock,
        "nvme0n1" if disk.kind == "nvme" else "sda",
        disk.kind,
        channels=disk.channels,
        service_ns={
            "read": boot.draw_ns("disk read", disk.read),
            "write": boot.draw_ns("disk write", disk.write),
            "flush": boot.draw_ns("disk flush", disk.flush),
        },
        page_ns={
            "read": round(PAGE_BYTES / disk.bandwidth * 1e9),
            "write": round(PAGE_BYTES / boot.scenario.host.disk_write * 1e9),
            "flush": 0,
        },
        ladder=ladder,
        log=boot.log,
        on_irq=lambda: boot.passes_irq("blk_mq_complete_request", boot.scheduler.cpus[0]),
        armed=boot.armed,
        release=boot.linux.release,
        timeout_s=disk.timeout,
    )


# ---------------------------------------------------------------- programs


def user_space(boot: Boot) -> None:
    """PID 1, the kernel's own threads, the workload, and its clients."""
    init = Process(1, "systemd", TaskKind.INIT, oom_score_adj=-1000, restarts=False)
    boot.spawn("systemd", _systemd, init)
    kernel: list[tuple[str, Any, TaskKind]] = [
        ("kthreadd", _sleeps, TaskKind.KTHREAD),
        ("kswapd0", lambda boot, task: boot.pager.run_kswapd(task), TaskKind.KTHREAD),
        ("khungtaskd", lambda boot, task: boot.watchdog.run_khungtaskd(task), TaskKind.KTHREAD),
        (f"jbd2/{boot.disk.name}-8", lambda boot, task: boot.files.run_jbd2(task), TaskKind.KTHREAD),
        ("kworker/u8:1-flush", lambda boot, task: boot.files.run_flusher(task), TaskKind.KWORKER),
    ]
    for comm, body, kind in kernel:
        _kthread(boot, comm, body, kind)
    _kthread(boot, "kworker/0:1", _kworker, TaskKind.KWORKER, on=0)
    _stoppers(boot)
    for cpu in boot.scheduler.cpus:
        _kthread(boot, f"ksoftirqd/{cpu.number}", _ksoftirqd, on=cpu.number)
    _workload(boot, programs.WORKLOADS[boot.micro.workload])
    if boot.micro.memory.leak > 0.0:
        _program(boot, "leaky", programs.leaky, 1, 0).restarts = False
    if boot.micro.backup > 0.0:
        _program(boot, "tar", programs.backup, 1, 0, nice=19).restarts = False


def _kthread(boot: Boot, comm: str, body: Any, kind: TaskKind = TaskKind.KTHREAD, **how: int) -> Task:
    return boot.spawn(comm, body, Process(boot.next_pid, comm, kind, restarts=False), **how)


def _workload(boot: Boot, workload: Workload) -> None:
    memory, micro = boot.pager.memory, boot.micro
    boot.user_ns = boot.draw_ns("user", Exponential(workload.user_us * 1e-6))
    processes = workload.processes or 2 * len(boot.scheduler.cpus)
    rss = workload.rss * boot.scenario.host.memory if workload.rss < 1.0 else workload.rss
    pages = round(rss / PAGE_BYTES)
    text = workload.text // PAGE_BYTES
    needed = text + processes * (pages + pages // PAGE_TABLE) + boot.pager.high + memory.kernel + memory.reserved
    if needed > memory.total:
        raise ScenarioError(
            f"micro.workload: {workload.name} needs {needed * PAGE_BYTES / 2**30:.3g} GiB with the kernel and its "
            f"reserves, host.memory is {memory.total * PAGE_BYTES / 2**30:.3g} GiB"
        )
    room = memory.total - needed
    name = programs.text_of(workload.comm)
    boot.by_name[name] = boot.files.add(File(name, text), text)
    for stored in workload.files:
        size = round(stored.size / PAGE_BYTES)
        cached = min(round(size * stored.cached), round(memory.total * stored.of_ram), room)
        room -= cached
        boot.by_name[stored.name] = boot.files.add(File(stored.name, size, stored.skew), cached)
    if not workload.processes:
        _program(boot, "make", programs.make, 1, MAKE_PAGES)
    for _ in range(workload.processes):
        _program(boot, workload.comm, workload.body, workload.threads, pages)
    if workload.calls_per_s * micro.load > 0.0:
        _clients(boot, workload.calls_per_s * micro.load)


def _program(boot: Boot, comm: str, body: programs.Body, threads: int, pages: int, nice: int = 0) -> Process:
    process = Process(boot.next_pid, comm, nice=nice)
    process.program, process.size = body, (threads, pages)
    _start(boot, process)
    return process


def _start(boot: Boot, process: Process) -> None:
    threads, pages = process.size
    memory = boot.pager.memory
    pages = max(0, min(pages, memory.free - boot.pager.high))
    process.anon, process.tables = pages, pages // PAGE_TABLE
    process.mapped = boot.by_name.get(programs.text_of(process.comm))
    memory.anon += pages
    memory.tables += process.tables
    memory.free -= pages + process.tables
    boot.pager.processes.append(process)
    for _ in range(threads):
        boot.spawn(process.comm, process.program, process, nice=process.nice)


def fork(boot: Boot, parent: Process, comm: str, body: programs.Body, pages: int) -> None:
    """A child that runs another program, as Boot.fork() says."""
    child = Process(boot.next_pid, comm, restarts=False, nice=parent.nice, parent=parent)
    parent.children.append(child)
    child.program, child.size = body, (1, pages)
    _start(boot, child)


def restart(boot: Boot, dead: Process) -> None:
    """systemd starts a service again (Restart=always)."""
    process = Process(boot.next_pid, dead.comm, oom_score_adj=dead.oom_score_adj, nice=dead.nice)
    process.program, process.size = dead.program, dead.size
    boot.restarts += 1
    _start(boot, process)


def leak(boot: Boot) -> None:
    """The fault memory_leak: a program that takes memory as fast as it can."""

    def body(boot: Boot, task: Task) -> Generator[Any, Any, None]:
        while True:
            yield boot.sys.touch(task, LEAK_PAGES)

    _program(boot, "leaky", body, 1, 0).restarts = False


LEAK_PAGES = 4096
"""Of one touch."""


def _clients(boot: Boot, per_s: float) -> None:
    """Poisson arrivals from outside: a callback, no process, for nobody inside waits for them."""
    gap_ns = boot.draw_ns("clients", Exponential(1.0 / per_s))
    clock, eid, call = boot.clock, boot.clock._eid, boot.nic.call

    def arrives() -> Due:
        call()
        return clock._now + gap_ns(), next(eid), arrives

    clock.put((gap_ns(), next(eid), arrives))


# ---------------------------------------------------------------- kernel threads and PID 1


def _systemd(boot: Boot, task: Task) -> Generator[Any, Any, None]:
    while True:
        yield boot.sys.nanosleep(task, 1_000_000_000)
        if "pid1" in boot.armed:
            yield from boot.pass_by("pid1", task)
        yield boot.sys.work(task, 50_000)
        if boot.oops.init_frozen:
            yield task.sleep("S", "freeze")


def _sleeps(boot: Boot, task: Task) -> Generator[Any, Any, None]:
    while True:
        yield task.sleep("S", "kthreadd")


def _kworker(boot: Boot, task: Task) -> Generator[Any, Any, None]:
    """vmstat and the like, once a second."""
    while True:
        boot.clock.after(1_000_000_000, task.wake)
        yield task.sleep("S", "worker_thread")
        if "worker_thread" in boot.armed:
            yield from boot.pass_by("worker_thread", task)
        yield task.cpu.kernel(task, 5_000)


def _stoppers(boot: Boot) -> None:
    """migration/N: every 2/5 of kernel.watchdog_thresh the soft lockup detector wants to see each of them run.

    What they do is a time stamp: the context switch is all that it costs.
    """
    numbers = range(len(boot.scheduler.cpus))
    stoppers = [_kthread(boot, f"migration/{number}", _stopper, on=number, rt=STOP) for number in numbers]
    settings = boot.linux.linux
    period_ns = to_ns(0.4 * settings.watchdog_thresh) if settings.soft_watchdog else 0

    def beats() -> None:
        for task in stoppers:
            task.wake()
        boot.clock.after(period_ns, beats)

    if period_ns:
        boot.clock.after(period_ns, beats)


def _stopper(boot: Boot, task: Task) -> Generator[Any, Any, None]:
    while True:
        yield task.sleep("S", "cpu_stopper_thread")


def _ksoftirqd(boot: Boot, task: Task) -> Generator[Any, Any, None]:
    """Takes over polling where softirqs would take too much of a CPU at once."""
    home = boot.scheduler.cpus[int(task.comm.rpartition("/")[2])]
    boot.nic.helpers[home.number] = task
    while True:
        yield task.sleep("S", "smpboot_thread_fn")
        while work_ns := boot.nic.poll_once():
            yield task.cpu.kernel(task, work_ns)
