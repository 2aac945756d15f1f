"""One decision of the kernel for people: what happens, why, row by row, and what the console shows."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ksim.linux.escalation import Decision, unasked
from ksim.linux.rules import End, Step
from ksim.linux.taint import letters
from ksim.report.text import Printer

_ENDS = {
    End.JUMP: "The machine goes down: the oops itself jumps into the crash kernel.",
    End.PANIC: "The machine goes down: Kernel panic - not syncing: {message}",
    End.KILLED: "The kernel lives. It kills {killed}.",
    End.PARKED: "The kernel lives, with a task that is dead for ever: {killed}.",
    End.FROZEN: "The kernel lives, without a working init: systemd has frozen.",
    End.STUCK: "Nothing ends it: the hang goes on until something outside acts.",
    End.FILE_SYSTEM: "The kernel lives; the file system takes no more writes.",
    End.GOES_ON: "The kernel goes on; nobody dies.",
}
_NEXT = {
    "capture": "the crash kernel starts{wait}: it saves the vmcore and resets the machine",
    "reboot": "the machine resets{wait}",
    "hang": "it stands still for ever (kernel.panic=0): a hardware watchdog, a BMC or a human has to reset it",
}


def show_decision(printer: Printer, decision: Decision, about: Sequence[str]) -> None:
    """What happens, the consequences, and the reason row by row. ``about``: lines on the settings in force."""
    for line in about:
        printer.line(line)
    printer.line()
    printer.line(_ENDS[decision.end].format(message=decision.message, killed=decision.killed))
    for name, text in consequences(decision):
        printer.line(f"  {name:<14}{text}")
    printer.line()
    after = decision.aftermath
    show_steps(printer, "Why, row by row", decision.steps)
    if after is not None and not decision.early_kdump:
        show_steps(printer, "Then, in panic()", after.steps)


def show_steps(printer: Printer, title: str, steps: Sequence[Step]) -> None:
    body = [[step.rule, "yes" if step.held else "no", step.asks, str(step.source)] for step in steps]
    printer.table(title, ["rule", "", "asks", "source"], body, justify="left")
    last = steps[-1]
    printer.line(f"{last.rule}: {last.says}.")
    printer.line()


def consequences(decision: Decision) -> list[tuple[str, str]]:
    """(name, text) of everything that somebody could observe."""
    found: list[tuple[str, str]] = []
    for leak in decision.leaks:
        found.append(("leaks", f"{leak.lock.value}: {leak.followers}"))
    for name in decision.blind:
        found.append(("blind", f"the {name.replace('_', ' ')} detector, until the next boot"))
    for seen in decision.detections:
        found.append(("detector", _detection(seen.detector, seen.why, seen.latency.low_s, seen.latency.high_s)))
    before, now = letters(decision.strike.taint), letters(decision.taint)
    found.append(("taint", f"{before or 'none'} -> {now or 'none'}" if before != now else now or "none"))
    if decision.oopses or decision.warns:
        found.append(("counters", f"oops_count {decision.oopses}, warn_count {decision.warns}"))
    found.append(
        ("pstore", f"a record of the {' and of the '.join(decision.pstore)}" if decision.pstore else "nothing")
    )
    if decision.aftermath is not None:
        wait = decision.aftermath.wait_s
        text = f" after {wait:g} s" if math.isfinite(wait) and wait > 0.0 else ""
        found.append(("then", _NEXT[decision.aftermath.action].format(wait=text or " at once")))
    for name in unasked(decision.strike):
        found.append(("not asked", f"{name}: Linux does not look at it for this event"))
    return found


def _detection(name: str, why: str, low_s: float, high_s: float) -> str:
    label = name.replace("_", " ")
    if not math.isfinite(low_s):
        return f"{label}: {why}"
    when = f"{low_s:g} s" if low_s == high_s else f"{low_s:g} to {high_s:g} s"
    return f"{label}: {why}, first after {when}"
