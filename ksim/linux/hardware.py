"""NMIs, machine checks and poisoned memory: what the hardware reports and what x86-64 Linux makes of it.

Follows arch/x86/kernel/nmi.c, arch/x86/kernel/cpu/mce/core.c, drivers/acpi/apei/ghes.c, mm/memory-failure.c.
A fatal machine check always panics; the "tolerant" level is gone since 5.17.
"""

from __future__ import annotations

from collections.abc import Mapping

from ksim.linux.rules import End, Row, always
from ksim.linux.taint import Taint
from ksim.source import Source

_NMI = Source("Linux", "arch/x86/kernel/nmi.c, default_do_nmi()")
_UNKNOWN = Source("Linux", "arch/x86/kernel/nmi.c, unknown_nmi_error()")
_MCE = Source("Linux", "arch/x86/kernel/cpu/mce/core.c, do_machine_check()")
_POISON = Source("Linux", "mm/memory-failure.c, memory_failure()")
_DAZED = "Dazed and confused, but trying to continue"
_ADDRESS = "0x3a7f21"  # a page frame number for the text
_HANDLED = Row(
    "claimed",
    "does a handler (perf, kgdb, a watchdog driver) claim this NMI?",
    lambda s: s.is_handled,
    "the handler's business",
    _NMI,
    End.GOES_ON,
)
_NMI_GOES_ON = Row(
    "dazed", "is the kernel still here?", always, "a message, nothing else", _UNKNOWN, End.GOES_ON, prints=_DAZED
)
NMI_ROWS: Mapping[str, tuple[Row, ...]] = {
    "unknown_nmi": (
        _HANDLED,
        Row(
            "unknown_nmi_panic",
            "is kernel.unknown_nmi_panic or kernel.panic_on_unrecovered_nmi set?",
            lambda s: bool(s.settings.unknown_nmi_panic or s.settings.panic_on_unrecovered_nmi),
            "panic",
            _UNKNOWN,
            End.PANIC,
            "NMI: Not continuing",
        ),
        _NMI_GOES_ON,
    ),
    "serr_nmi": (
        _HANDLED,
        Row(
            "panic_on_unrecovered_nmi",
            "is kernel.panic_on_unrecovered_nmi set?",
            lambda s: s.settings.panic_on_unrecovered_nmi != 0,
            "panic",
            Source("Linux", "arch/x86/kernel/nmi.c, pci_serr_error()"),
            End.PANIC,
            "NMI: Not continuing",
        ),
        _NMI_GOES_ON,
    ),
    "iock_nmi": (
        _HANDLED,
        Row(
            "panic_on_io_nmi",
            "is kernel.panic_on_io_nmi set?",
            lambda s: s.settings.panic_on_io_nmi != 0,
            "panic",
            Source("Linux", "arch/x86/kernel/nmi.c, io_check_error()"),
            End.PANIC,
            "NMI IOCK error: Not continuing",
        ),
        Row(
            "iock_goes_on",
            "is the kernel still here?",
            always,
            "registers are printed, the line is enabled again after 2 s",
            Source("Linux", "arch/x86/kernel/nmi.c, io_check_error()"),
            End.GOES_ON,
        ),
    ),
}

_NO_RECOVERY = Row(
    "no_recovery",
    "is vm.memory_failure_recovery 0?",
    lambda s: s.settings.memory_failure_recovery == 0,
    "panic",
    _POISON,
    End.PANIC,
    f"Memory failure on page {_ADDRESS.removeprefix('0x')}",
)
_SIGBUS_NOW = Row(
    "sigbus",
    "is the kernel still here?",
    always,
    "the page is poisoned and unmapped, the task that touched it gets SIGBUS",
    _POISON,
    End.KILLED,
    prints=lambda s: (
        f"Memory failure: {_ADDRESS}: Sending SIGBUS to {s.task.comm}:{s.task.pid} due to hardware memory corruption"
    ),
    kills=lambda s: f"the process {s.task.comm}[{s.task.pid}], by SIGBUS",
)


def _taint_m(source: Source) -> Row:
    return Row(
        "taint_machine_check",
        "is the error uncorrected?",
        always,
        "taint M",
        source,
        taints=lambda s: Taint.MACHINE_CHECK,
    )


_GHES = Source("Linux", "drivers/acpi/apei/ghes.c, __ghes_panic()")
_TAINT_M = _taint_m(_MCE)


def _fatal(why: str, source: Source) -> Row:
    return Row("fatal", "is the kernel still here?", always, why, source, End.PANIC, lambda s: s.event.message)


MACHINE_CHECK_ROWS: Mapping[str, tuple[Row, ...]] = {
    "mce_corrected": (
        Row(
            "corrected",
            "is the error corrected?",
            always,
            "logged (CMCI or poll); nothing else",
            _MCE,
            End.GOES_ON,
            prints="mce: [Hardware Error]: Machine check events logged",
        ),
    ),
    "mce_user": (_TAINT_M, _NO_RECOVERY, _SIGBUS_NOW),
    "mce_copy": (
        _TAINT_M,
        Row(
            "fixup",
            "does the exception table have a fixup?",
            always,
            "the copy fails, the user task gets SIGBUS",
            _MCE,
            End.KILLED,
            kills=lambda s: f"the process {s.task.comm}[{s.task.pid}], by SIGBUS",
        ),
    ),
    # do_machine_check() taints what survives it: mce_panic() comes before
    "mce_fatal": (_fatal("panic, whatever the settings", _MCE),),
    "mce_timeout": (_fatal("panic, whatever the settings", _MCE),),
    # taint since 6.17, and in the long-term releases from 5.15 on
    "ghes_fatal": (_taint_m(_GHES), _fatal("panic, whatever the settings", _GHES)),
    "poison_clean": (
        _NO_RECOVERY,
        Row(
            "dropped",
            "is the page clean page cache?",
            always,
            "the page is dropped and read again; nobody notices",
            _POISON,
            End.GOES_ON,
            prints=f"Memory failure: {_ADDRESS}: recovery action for clean LRU page: Recovered",
        ),
    ),
    "poison_user": (
        _NO_RECOVERY,
        Row(
            "early_kill",
            "is vm.memory_failure_early_kill set?",
            lambda s: s.settings.memory_failure_early_kill != 0,
            "every process that maps the page gets SIGBUS at once",
            _POISON,
            End.KILLED,
            prints=lambda s: (
                f"Memory failure: {_ADDRESS}: Sending SIGBUS to {s.task.comm}:{s.task.pid} due to hardware memory "
                f"corruption"
            ),
            kills="every process that maps the page, by SIGBUS",
        ),
        Row(
            "late_kill",
            "is the kernel still here?",
            always,
            "the page is unmapped; whoever touches it next gets SIGBUS",
            _POISON,
            End.GOES_ON,
            prints=f"Memory failure: {_ADDRESS}: recovery action for dirty LRU page: Recovered",
        ),
    ),
    "poison_kernel": (
        _NO_RECOVERY,
        Row(
            "panic_on_unrecoverable",
            "is vm.panic_on_unrecoverable_memory_failure set (7.x)?",
            lambda s: s.settings.panic_on_unrecoverable_memory_failure != 0,
            "panic",
            _POISON,
            End.PANIC,
            f"Memory failure: {_ADDRESS}: unrecoverable page",
        ),
        Row(
            "ignored",
            "is the page the kernel's own?",
            always,
            "nothing can be done: ignored, a crash may follow when the page is used",
            _POISON,
            End.GOES_ON,
            prints=f"Memory failure: {_ADDRESS}: recovery action for reserved kernel page: Ignored",
        ),
    ),
}
