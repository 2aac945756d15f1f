"""kexec: two image slots that have nothing to do with each other, and what each command does with them.

``kexec -p`` loads the crash slot beforehand; only a panic of the kernel itself enters it. ``kexec -e`` is a planned
restart into the normal slot and never touches the crash slot. Follows kernel/kexec.c, kernel/kexec_core.c,
kernel/reboot.c of Linux, kexec(8), and systemctl(1) of systemd 262.
"""

from __future__ import annotations

import enum
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ksim.errors import LinuxError, nearest
from ksim.source import Source


class Way(enum.Enum):
    """How a machine gets from one kernel to the next."""

    NONE = "none"
    PLANNED_KEXEC = "planned_kexec"
    BARE_KEXEC = "bare_kexec"
    CRASH_KEXEC = "crash_kexec"
    REBOOT = "reboot"
    EMERGENCY_RESTART = "emergency_restart"
    SOFT_REBOOT = "soft_reboot"
    HANG = "hang"


@dataclass(frozen=True, slots=True)
class Passage:
    """What one way does and what it skips. ``log`` is its last line on the console."""

    firmware: bool
    loader: bool
    new_kernel: bool
    stops_services: bool
    unmounts: bool
    syncs: bool
    device_shutdown: bool
    memory_kept: bool
    log: str
    source: Source


_CORE = Source("Linux", "kernel/kexec_core.c, kernel_kexec()")
_REBOOT = Source("Linux", "kernel/reboot.c, kernel_restart()")
PASSAGES: Mapping[Way, Passage] = {
    Way.NONE: Passage(False, False, False, False, False, False, False, True, "", _CORE),
    Way.PLANNED_KEXEC: Passage(
        False, False, True, True, True, True, True, False, "kexec_core: Starting new kernel", _CORE
    ),
    Way.BARE_KEXEC: Passage(
        False, False, True, False, False, True, True, False, "kexec_core: Starting new kernel", _CORE
    ),
    Way.CRASH_KEXEC: Passage(
        False, False, True, False, False, False, False, True, "",
        Source("Linux", "kernel/crash_core.c, __crash_kexec(); arch/x86/kernel/crash.c"),
    ),
    Way.REBOOT: Passage(True, True, True, True, True, True, True, False, "reboot: Restarting system", _REBOOT),
    Way.EMERGENCY_RESTART: Passage(
        True, True, True, False, False, False, False, False, "", Source("Linux", "kernel/reboot.c, emergency_restart()")
    ),
    Way.SOFT_REBOOT: Passage(
        False, False, False, True, True, True, False, True, "", Source("systemctl(1)", "soft-reboot")
    ),
    Way.HANG: Passage(
        False, False, False, False, False, False, False, True, "", Source("Linux", "kernel/panic.c, panic()")
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Slots:
    """What kexec finds: the kernels loaded in each slot, and what forbids loading.

    ``reserved_bytes``: of crashkernel=. ``load_disabled``: kernel.kexec_load_disabled=1. ``locked_down``: Secure Boot
    or lockdown, under which only kexec_file_load(2) (``-s``) works. ``boot_entry``: there is a Boot Loader
    Specification entry that systemctl kexec can load by itself.
    """

    normal: str = ""
    crash: str = ""
    reserved_bytes: int = 0
    load_disabled: bool = False
    locked_down: bool = False
    boot_entry: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What a command did: the slots after it, the way that the machine goes, and its complaint (empty if none)."""

    slots: Slots
    way: Way
    error: str = ""

    @property
    def passage(self) -> Passage:
        return PASSAGES[self.way]


_OPTIONS = {
    "-l": "load", "--load": "load", "-p": "load-panic", "--load-panic": "load-panic", "-e": "exec", "--exec": "exec",
    "-f": "force", "--force": "force", "-u": "unload", "--unload": "unload", "-S": "status", "--status": "status",
    "-s": "file", "--kexec-file-syscall": "file", "-c": "old", "--kexec-syscall": "old",
    "-a": "auto", "--kexec-syscall-auto": "auto",
}  # fmt: skip
_TAKES_VALUE = ("--initrd", "--ramdisk", "--append", "--command-line", "--reuse-cmdline", "--dtb", "--type", "-t")


def run(command: str, slots: Slots, *, skip_auto_kexec: bool = False) -> Result:
    """What ``command`` does: kexec with its options, ``systemctl kexec|reboot|soft-reboot [--force]``, ``reboot [-f]``.

    ``skip_auto_kexec``: SYSTEMCTL_SKIP_AUTO_KEXEC=1. Raises LinuxError for a command that is none of these.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise LinuxError(f"kexec command {command!r}: {error}") from None
    name, *rest = words or [""]
    if name == "kexec":
        return _kexec(rest, slots)
    if name == "systemctl" and rest:
        return _systemctl(rest, slots, skip_auto_kexec)
    if name == "reboot":
        way = Way.EMERGENCY_RESTART if rest.count("-f") > 1 else Way.REBOOT
        return Result(Slots(reserved_bytes=slots.reserved_bytes), way)
    known = ("kexec", "systemctl", "reboot")
    raise LinuxError(f"not a command of kexec: {command!r}{nearest(name, known)} (known: {', '.join(known)})")


def panic(slots: Slots, *, panic_timeout_s: int) -> Result:
    """What a panic does with the slots: the crash image if there is one, else kernel.panic. User space never runs."""
    empty = Slots(reserved_bytes=slots.reserved_bytes)
    if slots.crash:
        return Result(empty, Way.CRASH_KEXEC)
    return Result(empty, Way.EMERGENCY_RESTART) if panic_timeout_s else Result(slots, Way.HANG)


def _kexec(words: list[str], slots: Slots) -> Result:
    modes, kernel = _parse(words)
    if "unload" in modes:
        left = replace(slots, crash="") if "load-panic" in modes else replace(slots, normal="")
        return Result(left, Way.NONE)
    if "status" in modes:
        loaded = slots.normal if "load" in modes else slots.crash
        return Result(slots, Way.NONE, "" if loaded else "not loaded")
    if "exec" in modes and not kernel:
        if not slots.normal:
            return Result(slots, Way.NONE, "Nothing has been loaded!")
        return Result(Slots(reserved_bytes=slots.reserved_bytes), Way.BARE_KEXEC)
    if not kernel:
        return Result(slots, Way.NONE, "No kernel specified")
    error = _load_error(modes, slots)
    if error:
        return Result(slots, Way.NONE, error)
    if "load-panic" in modes:
        return Result(replace(slots, crash=kernel), Way.NONE)
    loaded_slots = replace(slots, normal=kernel)
    if "load" in modes and "exec" not in modes:
        return Result(loaded_slots, Way.NONE)
    # a kernel without a mode is loaded and then shut down into, in good order; -f and -e jump at once
    way = Way.BARE_KEXEC if modes & {"force", "exec"} else Way.PLANNED_KEXEC
    return Result(Slots(reserved_bytes=slots.reserved_bytes), way)


def _parse(words: list[str]) -> tuple[set[str], str]:
    modes: set[str] = set()
    kernel = ""
    waiting = list(reversed(words))
    while waiting:
        word = waiting.pop()
        option, equals, _ = word.partition("=")
        if option in _TAKES_VALUE:
            if not equals and option != "--reuse-cmdline" and waiting:
                waiting.pop()
        elif word in _OPTIONS:
            modes.add(_OPTIONS[word])
        elif word.startswith("-"):
            raise LinuxError(f"kexec: unrecognized option '{word}'{nearest(word, [*_OPTIONS, *_TAKES_VALUE])}")
        else:
            kernel = word
    return modes, kernel


def _load_error(modes: set[str], slots: Slots) -> str:
    checks: tuple[tuple[Callable[[], bool], str], ...] = (
        (lambda: slots.load_disabled, "kexec_load failed: Operation not permitted"),
        (lambda: slots.locked_down and "old" in modes, "kexec_load failed: Operation not permitted (lockdown: use -s)"),
        (
            lambda: "load-panic" in modes and not slots.reserved_bytes,
            "Memory for crashkernel is not reserved",
        ),
    )
    return next((text for holds, text in checks if holds()), "")


def _systemctl(words: list[str], slots: Slots, skip_auto_kexec: bool) -> Result:
    verbs = [word for word in words if not word.startswith("-")]
    force = any(word in ("--force", "-f") for word in words)
    empty = Slots(reserved_bytes=slots.reserved_bytes)
    match verbs:
        case ["reboot"]:
            if slots.normal and not skip_auto_kexec and not force:
                return Result(empty, Way.PLANNED_KEXEC)
            return Result(empty, Way.REBOOT)
        case ["kexec"]:
            if slots.normal or (slots.boot_entry and not slots.load_disabled):
                return Result(empty, Way.PLANNED_KEXEC)
            if force:
                return Result(empty, Way.REBOOT)
            return Result(slots, Way.NONE, "No kexec kernel loaded and autodetection failed.")
        case ["soft-reboot"]:
            return Result(slots, Way.SOFT_REBOOT)
    known = ("kexec", "reboot", "soft-reboot")
    raise LinuxError(f"systemctl {' '.join(verbs)}: not a way to another kernel (known: {', '.join(known)})")
