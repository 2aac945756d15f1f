"""The order in which phases are shown, and the letter that stands for each in a bar of characters."""

from collections.abc import Iterable

PHASES = {
    "detection": "d",
    "panic": "p",
    "capture boot": "C",
    "target wait": "t",
    "dump": "D",
    "final action": "a",
    "capture failed": "x",
    "kexec": "j",
    "kexec failed": "X",
    "hung": "h",
    "halted": "H",
    "firmware": "F",
    "loader": "l",
    "kernel": "k",
    "initrd": "i",
    "root wait": "w",
    "journal_replay": "r",
    "fsck": "f",
    "reinstall": "R",
    "userspace": "u",
    "application": "A",
    "service restart": "s",
    "repair": "W",
    "pause": "~",
}


def in_order(phases: Iterable[str]) -> list[str]:
    """Known phases in the order of an outage, then others by name."""
    order = {phase: place for place, phase in enumerate(PHASES)}
    return sorted(phases, key=lambda phase: (order.get(phase, len(order)), phase))
