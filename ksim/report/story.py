"""One crash for people: what the host was doing, what struck, who noticed, what was lost, and the way back."""

from __future__ import annotations

from typing import Any

from ksim.linux.console import report
from ksim.micro.programs import WORKLOADS
from ksim.model.schema_micro import Micro
from ksim.report.decision import consequences
from ksim.report.phases import PHASES
from ksim.report.text import Printer
from ksim.study.story import Story, look
from ksim.units import show_duration, to_s

BAR = 50
SHOWN = 12
_KINDS = {
    "survived": "The kernel was still at work when the story ended.",
    "panicked": "The kernel panicked.",
    "hung": "Something stands still for ever, and the kernel did not panic.",
}


def show_story(printer: Printer, story: Story) -> None:
    """The timeline on a terminal."""
    for line in (*_head(story), *story.boot.oops.never_struck()):
        printer.line(line)
    printer.line()
    _console_summary(printer, story)
    _consequences(printer, story)
    _lost(printer, story)
    _way_back(printer, story)


def _head(story: Story) -> list[str]:
    host, micro, ending = story.scenario.host, story.scenario.micro or Micro(), story.ending
    workload = WORKLOADS[micro.workload]
    asked = ", ".join(f"{a.fault.name}@{a.point}:{a.nth} ({a.fault.what})" for a in story.faults)
    return [
        f"{story.scenario.name}: {host.cpus} CPUs, {host.memory / 2**30:.4g} GiB, "
        f"Linux {story.scenario.linux.release}, {micro.workload} ({workload.what})",
        f"seed {story.scenario.seed}, replication {story.boot.replication}; fault: {asked or 'none asked for'}",
        "",
        f"{to_s(ending.at_ns):.6f} s after the start: {_KINDS[ending.kind]}"
        + ("" if ending.serves or ending.kind != "survived" else " It has nothing left to serve with.")
        + (" Not a line about it is on the console." if ending.silent else ""),
    ]


def _console_summary(printer: Printer, story: Story) -> None:
    """First line of everything on the console, with its time."""
    rows = []
    for entry in story.boot.console:
        if entry.decision is not None:
            lines = report(entry.decision, look(story, entry))
            text = next((line for line in lines if not line.startswith("---")), "")
            text = text or f"({entry.decision.strike.event.what}: Linux prints nothing)"
        else:
            text = entry.lines[0]
        rows.append([f"{to_s(entry.at_ns):.6f}", f"CPU {entry.cpu}", text])
    if not rows:
        printer.line("The console is empty.")
        printer.line()
        return
    left_out = len(rows) - SHOWN
    if left_out > 0:
        rows = [*rows[: SHOWN // 2], ["...", "", f"{left_out} more"], *rows[-SHOWN // 2 :]]
    printer.table("On the console (first lines; --console prints it all)", ["s", "", "line"], rows, justify="left")
    printer.line()


def _consequences(printer: Printer, story: Story) -> None:
    decision, ending = story.ending.decision, story.ending
    if decision is not None:
        strike = decision.strike
        held = ", ".join(lock.value for lock in strike.locks) or "no locks"
        printer.line(
            f"{strike.event.name}: {strike.event.what}; context {strike.where.value}, task {strike.task.comm} "
            f"[{strike.task.pid}], {held}. Decided by the row '{decision.rule}' ({decision.source})."
        )
        for name, text in consequences(decision):
            if name != "not asked":
                printer.line(f"  {name:<14}{text}")
    for text in (*ending.stuck[:SHOWN], *ending.damage):
        printer.line(f"  {'for good':<14}{text}")
    if len(ending.stuck) > SHOWN:
        printer.line(f"  {'':<14}and {len(ending.stuck) - SHOWN} more")
    if story.detected_s > 0.0:
        printer.line(f"  {'detected':<14}{show_duration(story.detected_s)} after the fault")
    printer.line()


def lost(story: Story) -> dict[str, float]:
    """What the crash threw away, by name with unit; calls that came during the way back included."""
    impact, boot = story.ending.impact, story.boot
    per_s = boot.nic.issued / impact.at_s
    return {
        "dirty_mib": impact.dirty_bytes / 2**20,
        "io_in_flight": impact.io_in_flight,
        "calls_in_flight": impact.calls_in_flight,
        "calls_lost_before": boot.nic.lost,
        "calls_failed": boot.failed_calls,
        "calls_missed": per_s * story.downtime_s,
    }


def _lost(printer: Printer, story: Story) -> None:
    ending = story.ending
    boot, found = story.boot, lost(story)
    calls = boot.nic
    printer.line(
        f"Until then: {calls.completed} of {calls.issued} calls answered, {boot.sys.count} system calls, "
        f"{boot.disk.completed} disk commands, {boot.clock.steps} events."
    )
    if ending.kind == "survived":
        printer.line(
            f"Lost: {found['calls_lost_before']:.0f} calls given up, {found['calls_failed']:.0f} answered by an error."
        )
        return
    printer.line(
        f"Lost: {found['dirty_mib']:.4g} MiB of dirty pages, {found['io_in_flight']:.0f} commands and "
        f"{found['calls_in_flight']:.0f} calls in flight, {found['calls_lost_before']:.0f} calls given up before, "
        f"about {found['calls_missed']:.0f} calls while the host was away."
    )
    printer.line()


def _way_back(printer: Printer, story: Story) -> None:
    if not story.stages:
        return
    start, total = story.stages[0].start_s, story.downtime_s
    rows = []
    for stage in story.stages:
        lasts = stage.end_s - stage.start_s
        left = round(BAR * (stage.start_s - start) / total) if total else 0
        wide = max(1, round(BAR * lasts / total)) if total else 1
        letter = PHASES.get(stage.phase, "=")
        note = "vmcore saved" if stage.event == "vmcore" else ""
        rows.append(
            [stage.phase, show_duration(stage.start_s - start), show_duration(lasts), " " * left + letter * wide, note]
        )
    printer.table("The way back", ["phase", "at", "lasts", "", ""], rows, justify="left")
    printer.line(f"The service answers again after {show_duration(total)}.")


def as_data(story: Story) -> dict[str, Any]:
    """The same for JSON: no NaN, units in the keys."""
    ending = story.ending
    decision = ending.decision
    return {
        "ending": ending.kind,
        "at_s": to_s(ending.at_ns),
        "event": decision.strike.event.name if decision else None,
        "rule": decision.rule if decision else None,
        "context": decision.strike.where.value if decision else None,
        "task": decision.strike.task.comm if decision else None,
        "locks": [lock.value for lock in decision.strike.locks] if decision else [],
        "detected_s": story.detected_s,
        "stuck": list(ending.stuck),
        "damage": list(ending.damage),
        "silent": ending.silent,
        "never_struck": story.boot.oops.never_struck(),
        "impact": ending.impact.as_data(),
        "lost": lost(story),
        "downtime_s": story.downtime_s,
        "stages": [stage._asdict() for stage in story.stages],
        "system_calls": story.boot.sys.count,
        "events": story.boot.clock.steps,
    }
