"""``ksim escalate``: one event, one state, one decision of the kernel."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from ksim.errors import LinuxError
from ksim.linux.events import EVENTS, event_named
from ksim.linux.taint import parse_taint
from ksim.linux.vocabulary import Context, Lock, Task, TaskKind
from ksim.units import duration_s

if TYPE_CHECKING:
    from ksim.linux.escalation import Decision
    from ksim.model.machine import Machine

_FAMILIES = {
    "oops": "oopses (exceptions in kernel mode)",
    "warning": "warnings",
    "panic": "direct panics",
    "detector": "hangs",
    "nmi": "NMIs",
    "machine_check": "hardware errors",
    "memory": "out of memory",
    "file_system": "file systems",
    "user": "user space",
}


def _epilog() -> str:
    lines = ["\b", "Events:"]
    for family, title in _FAMILIES.items():
        names = [event.name for event in EVENTS.values() if event.family == family]
        lines.append(f"  {title}:")
        lines += [f"    {name:<24}{EVENTS[name].what}" for name in names]
    lines += [
        "",
        "\b",
        "Examples:",
        "  ksim escalate bug",
        "  ksim escalate null_deref --context softirq --distro rhel9 --memory '64 GiB'",
        "  ksim escalate gpf --lock mutex --sysctl kernel.hung_task_panic=1 --release 6.1",
        "  ksim escalate hung_task --taint D --sysctl kernel.hung_task_panic=1",
        "  ksim escalate soft_lockup --file rack-server --lasts '60 s' --json",
    ]
    return "\n".join(lines)


def _choices(kind: Any) -> click.Choice[str]:
    return click.Choice([item.value for item in kind])


@click.command(epilog=_epilog())
@click.argument("event")
@click.option("--context", type=_choices(Context), default="process", show_default=True, help="What the CPU was doing.")
@click.option("--task", type=_choices(TaskKind), default="user", show_default=True, help="The current task.")
@click.option("--threads", type=click.IntRange(1, 100000), default=1, help="Living threads of its process.  [1]")
@click.option("--exiting", is_flag=True, help="The task is already inside do_exit().")
@click.option("--init", type=click.Choice(["systemd", "other"]), default="systemd", help="What pid 1 is.  [systemd]")
@click.option("--comm", default="", metavar="NAME", help="Name of the task, for the console.")
@click.option("--pid", type=click.IntRange(0, 2**22), default=0, help="Its number, for the console.")
@click.option("--lock", "locks", type=_choices(Lock), multiple=True, help="A lock that is held; repeat.")
@click.option("--irqs-off", is_flag=True, help="Interrupts are off.")
@click.option("--preempt-count", type=click.IntRange(0, 255), default=0, help="Beyond that of the spinlocks.  [0]")
@click.option("--oopses", type=click.IntRange(0, 2**31), default=0, help="Oopses before, in this boot.  [0]")
@click.option("--warns", type=click.IntRange(0, 2**31), default=0, help="Warnings before, in this boot.  [0]")
@click.option("--taint", default="", metavar="LETTERS", help="Taint before, such as DW (or the number).")
@click.option("--stalls", type=click.IntRange(0, 10**6), default=0, help="RCU or workqueue stalls before.  [0]")
@click.option("--hung-reports", type=click.IntRange(0, 10**6), default=0, help="Hung-task reports before.  [0]")
@click.option("--hung-tasks", type=click.IntRange(1, 10**6), default=1, help="Hung tasks in one scan.  [1]")
@click.option("--lasts", default="", metavar="DURATION", help="A hang that ends by itself, after this time.")
@click.option("--handled", is_flag=True, help="A die or NMI notifier takes it (kprobes, kgdb, perf).")
@click.option("--writes", default="", metavar="LETTERS", help="For user_taint: the bits that are written.")
@click.option("--exit-code", type=click.IntRange(0, 255), default=1, help="For init_exit.  [1]")
@click.option(
    "--errors", type=click.Choice(["continue", "remount-ro", "panic"]), default="continue",
    help="Mount option errors= of ext4.  [continue]",
)  # fmt: skip
@click.option("--file", "file", metavar="FILE", help="Take the settings of this scenario or base.")
@click.option("--release", default=None, metavar="X.Y", help="Kernel release.  [6.12]")
@click.option("--distro", default=None, metavar="NAME", help="Distribution whose defaults hold.  [upstream]")
@click.option("--hypervisor", type=click.Choice(["none", "kvm", "hyperv"]), default=None, help="Where it runs.  [none]")
@click.option("--memory", default=None, metavar="SIZE", help="RAM, for crashkernel= ranges.  [256 GiB]")
@click.option("--cmdline", default=None, metavar="TEXT", help="Kernel command line.")
@click.option("--sysctl", "sysctls", multiple=True, metavar="KEY=VALUE", help="A sysctl; repeat.")
@click.option(
    "--crash-kernel", type=click.Choice(["auto", "loaded", "none"]), default="auto",
    help="auto: loaded if crashkernel= reserves memory and kexec may load it.  [auto]",
)  # fmt: skip
@click.option("--console", "only_console", is_flag=True, help="Print the console text alone.")
@click.option("--json", "as_json", is_flag=True, help="Print the decision as JSON.")
def escalate(
    event: str,
    file: str | None,
    release: str | None,
    distro: str | None,
    hypervisor: str | None,
    memory: str | None,
    cmdline: str | None,
    sysctls: tuple[str, ...],
    crash_kernel: str,
    only_console: bool,
    as_json: bool,
    **state: Any,
) -> None:
    """What does Linux do about one EVENT? Who dies, what leaks, what the console says, what comes next.

    The decision follows the kernel's own rules in the kernel's own order, for a state and settings of your
    choice; nothing is simulated.
    """
    from ksim.linux.console import Look, report
    from ksim.linux.escalation import as_data
    from ksim.report.decision import show_decision
    from ksim.report.text import Printer
    from ksim.study.results import json_text

    own = {"linux.release": release, "linux.distro": distro, "linux.cmdline": cmdline, "host.memory": memory}
    own |= {"host.hypervisor": hypervisor}
    machine = _machine(file, {key: value for key, value in own.items() if value is not None}, sysctls)
    given = _state(state)
    if crash_kernel != "auto":
        given["crash_kernel_loaded"] = crash_kernel == "loaded"
    decision = machine.decide(event_named(event).name, **given)
    log = list(report(decision, Look(release=machine.scenario.linux.release)))
    if only_console:
        click.echo("\n".join(log))
    elif as_json:
        data = {"schema_version": 1, **as_data(decision), "settings": _settings(machine), "console": log}
        click.echo(json_text(data), nl=False)
    else:
        show_decision(Printer(), decision, _about(machine, decision))
        click.echo("Console:\n" + "\n".join(log))


def _machine(file: str | None, keys: dict[str, str], sysctls: tuple[str, ...]) -> Machine:
    """The machine of a scenario, or a plain one with upstream's settings."""
    from ksim.model.loader import bare, load
    from ksim.model.machine import Machine

    overrides = [f"{key}={_quoted(value)}" for key, value in keys.items()]
    for text in sysctls:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise LinuxError(f"--sysctl {text!r}: expected KEY=VALUE (for example kernel.panic=10)")
        overrides.append(f"linux.sysctl.{name.strip().replace('/', '.')}={_quoted(value.strip())}")
    return Machine(load(file, overrides).scenario if file else bare(overrides))


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _settings(machine: Machine) -> dict[str, Any]:
    """The settings in force, the release, and what is reserved."""
    import dataclasses

    found = dataclasses.asdict(machine.linux)
    found["release"] = machine.scenario.linux.release
    found |= {"distro": machine.scenario.linux.distro, "crashkernel_bytes": machine.reservation.bytes}
    return found | {"crashkernel_why": machine.reservation.why, "crash_kernel_loaded": machine.crash_kernel_loaded}


def _about(machine: Machine, decision: Decision) -> list[str]:
    """Event and settings, in two lines."""
    event, own = decision.strike.event, machine.scenario.linux
    loaded = "loaded" if decision.strike.crash_kernel_loaded else "not loaded"
    return [
        f"{event.name}: {event.what}.",
        f"Linux {own.release}, {own.distro}; crash kernel {loaded} ({machine.reservation.why}).",
    ]


def _state(state: dict[str, Any]) -> dict[str, Any]:
    """The fields of a Strike from the options."""
    task = Task(TaskKind(state["task"]), state["threads"], state["exiting"], state["init"], state["comm"], state["pid"])
    found: dict[str, Any] = {
        "context": Context(state["context"]),
        "task": task,
        "locks": tuple(Lock(name) for name in state["locks"]),
        "is_handled": state["handled"],
        "fs_errors": state["errors"],
    }
    for name in ("irqs_off", "preempt_count", "oopses", "warns", "stalls", "hung_reports", "hung_tasks", "exit_code"):
        found[name] = state[name]
    for name in ("taint", "writes"):
        if state[name]:
            found[name] = parse_taint(state[name])
    if state["lasts"]:
        found["lasts_s"] = duration_s(state["lasts"])
    return found
