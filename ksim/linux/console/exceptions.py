"""Oopses and warnings, line by line. Follows arch/x86/mm/fault.c, arch/x86/kernel/{dumpstack,traps}.c, lib/bug.c,
kernel/panic.c, kernel/sched/core.c, mm/kasan/report.c, lib/ubsan.c."""

from __future__ import annotations

from ksim.linux.console.look import (
    CUT_HERE,
    END_TRACE,
    OOPS_PREFIX_SINCE,
    UBSAN_MARKERS_SINCE,
    WARNING_REORDERED_SINCE,
    Look,
    call_trace,
    cpu_lines,
    flags,
    modules,
    registers,
    summary,
)
from ksim.linux.rules import Strike
from ksim.linux.vocabulary import Context

_NULL, _WILD = "0000000000000008", "ffffb1c8deadbee8"
_LIST = "list_del corruption. prev->next should be ffff9b2d04c21818, but was dead000000000100. (prev=ffff9b2d0a1f3c40)"
_HEADERS = {
    "null_deref": "Oops: 0002",
    "page_fault": "Oops: 0000",
    "gpf": "general protection fault, probably for non-canonical address 0xdead000000000100: 0000",
    "divide_error": "divide error: 0000",
    "bug": "invalid opcode: 0000",
    "list_corruption": "invalid opcode: 0000",
    "stack_guard": "stack guard page: 0000",
    "double_fault": "double fault: 0000",
}
_INTERRUPTS = {Context.HARDIRQ: "IRQ", Context.SOFTIRQ: "IRQ", Context.NMI: "NMI"}


def interrupt_of(strike: Strike) -> str:
    """The stack on which the strike found the CPU: IRQ, NMI, or the task's own (empty)."""
    return _INTERRUPTS.get(strike.where, "")


def oops(strike: Strike, look: Look) -> list[str]:
    """The body of an oops, up to the point at which oops_end() decides."""
    name = strike.event.name
    is_fault = name in ("null_deref", "page_fault")
    address = _NULL if name == "null_deref" else _WILD
    code = "<0f> 0b 48 89" if name in ("bug", "list_corruption") else "<89> 10 48 8b"
    header = f"{_HEADERS[name]} [#{strike.oopses + 1}] {flags(look)}"
    prefix = "Oops: " if look.since >= OOPS_PREFIX_SINCE else ""
    return [
        *_before(name, look, address),
        f"{prefix}{header}",
        *cpu_lines(strike, look, strike.taint),
        *registers(look, code, address if is_fault else "00007f5c3a2b1000"),
        *call_trace(look, interrupt_of(strike)),
        modules(look),
        *([f"CR2: {address}"] if is_fault else []),
    ]


def oops_summary(strike: Strike, look: Look) -> list[str]:
    """What oops_end() prints behind the end trace, in case the body scrolled away."""
    code = "<0f> 0b 48 89" if strike.event.name in ("bug", "list_corruption") else "<89> 10 48 8b"
    return summary(look, code)


def _before(name: str, look: Look, address: str) -> list[str]:
    match name:
        case "null_deref":
            first = f"BUG: kernel NULL pointer dereference, address: {address}"
            return [first, *_page_fault("write", "0x0002"), "PGD 0 P4D 0"]
        case "page_fault":
            first = f"BUG: unable to handle page fault for address: {address}"
            return [first, *_page_fault("read", "0x0000"), "PGD 100000067 P4D 100000067 PUD 0"]
        case "bug":
            return [CUT_HERE, f"kernel BUG at {look.file}!"]
        case "list_corruption":
            return [_LIST, CUT_HERE, "kernel BUG at lib/list_debug.c:62!"]
        case "stack_guard":
            stack = "(stack is ffffb1c8c0bb4000..ffffb1c8c0bb8000)"
            return [f"BUG: TASK stack guard page was hit at ffffb1c8c0bb3ff8 {stack}"]
        case "double_fault":
            return ["PANIC: double fault, error_code: 0x0"]
    return []


def _page_fault(access: str, code: str) -> list[str]:
    return [f"#PF: supervisor {access} access in kernel mode", f"#PF: error_code({code}) - not-present page"]


def warning(strike: Strike, look: Look, *, is_cut: bool) -> list[str]:
    """A warning: whole, or cut off where check_panic_on_warn() ends it."""
    name = strike.event.name
    machine = [*cpu_lines(strike, look, strike.taint), *call_trace(look)]
    if name == "scheduling_while_atomic":  # asks for the panic before it prints the stack; no end marker
        task = f"{strike.task.comm}/{strike.task.pid}/0x{max(2, strike.total_preempt_count):08x}"
        return [f"BUG: scheduling while atomic: {task}", modules(look), *([] if is_cut else machine)]
    if name == "ubsan":
        has_markers = look.since >= UBSAN_MARKERS_SINCE
        first, last = (CUT_HERE, "---[ end trace ]---") if has_markers else ("=" * 80, "=" * 80)
        where = f"UBSAN: array-index-out-of-bounds in {look.file}:9"
        return [first, where, "index 8 is out of range for type 'u8 [8]'", *machine, last]
    if name == "kasan":
        line = "=" * 66
        read = f"Read of size 8 at addr ffff9b2d04c21818 by task {strike.task.comm}/{strike.task.pid}"
        return [line, f"BUG: KASAN: slab-use-after-free in {look.site}", read, "", *machine, line]
    is_list = name == "list_corruption"
    body = _warn(strike, look, "lib/list_debug.c:62", _LIST) if is_list else _warn(strike, look, look.file, "")
    return body if is_cut else [*body, END_TRACE]


def _warn(strike: Strike, look: Look, file: str, text: str) -> list[str]:
    comm, pid = strike.task.comm, strike.task.pid
    if look.since >= WARNING_REORDERED_SINCE:
        head = f"WARNING: {file} at {look.site}, CPU#{look.cpu}: {comm}/{pid}"
    else:
        head = f"WARNING: CPU: {look.cpu} PID: {pid} at {file} {look.site}"
    return [
        CUT_HERE,
        *([text] if text else []),
        head,
        modules(look),
        *cpu_lines(strike, look, strike.taint),
        *registers(look, "<0f> 0b 48 89"),
        *call_trace(look, interrupt_of(strike)),
    ]
