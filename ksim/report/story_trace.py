"""One crash as a trace for the Perfetto UI: CPUs, tasks, disk and network queues, memory, and the way back."""

from __future__ import annotations

from ksim.linux.console import report
from ksim.linux.watermarks import PAGE_BYTES
from ksim.micro.recorder import Recorder
from ksim.micro.task import Task
from ksim.report.perfetto import LATEST_NS, TraceBuilder
from ksim.study.story import Story, look
from ksim.units import to_ns

CPUS, TASKS, DISK, NIC, MEMORY, RECOVERY, CONSOLE = range(1, 8)
_STATES = {"S": "sleeping", "D": "uninterruptible", "R": "runnable"}


def trace(story: Story) -> TraceBuilder:
    """The last second of the boot and the recovery after it. The story must have been recorded."""
    recorder, end_ns = story.recorder, story.ending.at_ns
    assert recorder is not None
    out = TraceBuilder()
    _cpus(out, story, recorder, end_ns)
    _tasks(out, recorder, end_ns)
    _disk(out, story, recorder, end_ns)
    _counters(out, recorder)
    _recovery(out, story)
    return out


def _cpus(out: TraceBuilder, story: Story, recorder: Recorder, end_ns: int) -> None:
    out.process(CPUS, "CPUs", 0)
    for number in range(story.scenario.host.cpus):
        out.thread(CPUS, number + 1, f"CPU {number}", number)
    for work in recorder.works:
        if work.start_ns < end_ns:
            name = "context switch" if work.mode == "switch" else f"{work.task} {work.mode}"
            out.slice(
                CPUS, work.cpu + 1, name, start_ns=work.start_ns, end_ns=min(work.end_ns, end_ns), category=work.mode
            )
    out.process(CONSOLE, "console", 6)
    out.thread(CONSOLE, 1, "kernel log")
    for entry in story.boot.console:
        if entry.at_ns >= recorder.from_ns:
            lines = entry.lines if entry.decision is None else report(entry.decision, look(story, entry))
            text = next((line for line in lines if not line.startswith("---")), "decision")
            out.instant(CONSOLE, 1, text, at_ns=entry.at_ns, cpu=entry.cpu)


def _tasks(out: TraceBuilder, recorder: Recorder, end_ns: int) -> None:
    """Work and sleep of each task, one after the other; what is between sleep and work is the wait for a CPU."""
    out.process(TASKS, "Tasks", 1)
    spans: dict[Task, list[tuple[int, int, str, str]]] = {}
    for work in recorder.works:
        spans.setdefault(work.task, []).append((work.start_ns, work.end_ns, "running", work.mode))
    open_at = dict(recorder.before)
    for change in recorder.changes:
        before = open_at.get(change.task)
        if before is not None:
            spans.setdefault(change.task, []).append((before.at_ns, change.at_ns, _STATES[before.state], before.why))
        open_at[change.task] = change
    for task, change in open_at.items():
        if change.state != "R":
            spans.setdefault(task, []).append((change.at_ns, end_ns, _STATES[change.state], change.why))
    for task, found in sorted(spans.items(), key=lambda item: item[0].tid):
        out.thread(TASKS, task.tid, repr(task), task.tid)
        free_ns = 0
        for start, end, state, why in sorted(found, key=lambda span: span[0]):
            start, end = max(start, free_ns, recorder.from_ns), min(end, end_ns)
            if end > start:
                out.slice(TASKS, task.tid, state, start_ns=start, end_ns=end, category=state, why=why)
                free_ns = end


def _disk(out: TraceBuilder, story: Story, recorder: Recorder, end_ns: int) -> None:
    out.process(DISK, f"disk {story.boot.disk.name}", 2)
    for number, request in enumerate(recorder.requests):
        began = request.began_ns
        if not began or began >= end_ns or request.due_ns < recorder.from_ns:
            continue
        end = min(request.due_ns, end_ns)
        what = {"bytes": request.pages * PAGE_BYTES, "failed": request.failed}
        out.async_slice(DISK, "disk", request.op, str(number), start_ns=request.issued_ns, end_ns=end, **what)


def _counters(out: TraceBuilder, recorder: Recorder) -> None:
    out.process(NIC, "network card", 3)
    out.process(MEMORY, "memory", 4)
    for at in recorder.samples:
        out.counter(CPUS, "run queues", at_ns=at.at_ns, tasks=at.runnable)
        out.counter(DISK, "commands in flight", at_ns=at.at_ns, commands=at.disk)
        out.counter(NIC, "calls in flight", at_ns=at.at_ns, calls=at.calls)
        out.counter(NIC, "RX ring", at_ns=at.at_ns, packets=at.ring)
        for name, pages in (("free", at.free), ("cache", at.cache), ("dirty", at.dirty), ("anonymous", at.anon)):
            out.counter(MEMORY, f"{name} memory", at_ns=at.at_ns, bytes=pages * PAGE_BYTES)


def _recovery(out: TraceBuilder, story: Story) -> None:
    out.process(RECOVERY, "recovery", 5)
    out.thread(RECOVERY, 1, "the way back")
    for stage in story.stages:
        start, end = to_ns(stage.start_s), to_ns(stage.end_s)
        if start < end <= LATEST_NS:
            out.slice(RECOVERY, 1, stage.phase, start_ns=start, end_ns=end, category="recovery")
