"""/etc/kdump.conf: every directive, which combinations kdump refuses, and what its actions do to the machine.

Follows kdumpctl (parse_config, check_config), mkdumprd (verify_core_collector), kdump.sh and kdump.conf(5) of
rhkdump/kdump-utils. What kdump refuses raises LinuxError: then kdump.service fails to start, no crash kernel is
loaded, and a panic ends as kernel.panic says. What it only grumbles about stands in ``warnings``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ksim.errors import LinuxError, nearest
from ksim.linux.core_collector import Collector, parse_core_collector
from ksim.source import Param, Source
from ksim.units import duration_s

TargetKind = Literal["root", "raw", "nfs", "ssh", "ext2", "ext3", "ext4", "minix", "btrfs", "xfs", "virtiofs"]
TARGETS: tuple[TargetKind, ...] = ("raw", "nfs", "ssh", "ext2", "ext3", "ext4", "minix", "btrfs", "xfs", "virtiofs")
"""Directives that name a target; without any of them the dump goes to ``path`` on the running system's root."""
SWITCHES = ("force_rebuild", "force_no_rebuild")
OTHERS = (
    "path", "sshkey", "core_collector", "failure_action", "default", "final_action", "kdump_pre", "kdump_post",
    "kdump_emergency", "extra_bins", "extra_modules", "dracut_args", "auto_reset_crashkernel", "fence_kdump_args",
    "fence_kdump_nodes",
)  # fmt: skip
DEPRECATED = ("net", "options", "link_delay", "disk_timeout", "debug_mem_level", "blacklist")
DIRECTIVES = (*TARGETS, *OTHERS, *SWITCHES)
_CONF = Source("rhkdump/kdump-utils", "kdumpctl, parse_config()")
_NO_KDUMP = "kdump.service does not start, so no crash kernel is loaded"
NETWORK_WAIT = Param(
    "600 s", "s", "600 s", "600 s", Source("rhkdump/kdump-utils kdump.sh", "waits ten minutes for a route"),
    "how long the capture kernel waits for a network target",
)  # fmt: skip
NETWORK_WAIT_S = duration_s(str(NETWORK_WAIT.value))


@dataclass(frozen=True, slots=True)
class Action:
    """What a failure_action or final_action does: ``ends`` says where the machine is after ``wait_s``.

    ``reset``: through the firmware. ``halted``: power on or off, until someone outside acts. ``shell``: waits for a
    human at the console, then final_action. ``dump``: a second dump, into the root file system, then final_action.
    """

    name: str
    ends: Literal["reset", "halted", "shell", "dump"]
    wait_s: float
    is_final: bool
    does: str
    source: Source


_KDUMP_SH = Source("rhkdump/kdump-utils", "kdump.sh and kdump.conf(5)")
ACTIONS: Mapping[str, Action] = {
    action.name: action
    for action in (
        Action("reboot", "reset", 0.0, True, "systemctl reboot -f: a reset through the firmware", _KDUMP_SH),
        Action("halt", "halted", 0.0, True, "stops, power on: down until a human or a BMC acts", _KDUMP_SH),
        Action("poweroff", "halted", 0.0, True, "powers off: down until somebody switches it on", _KDUMP_SH),
        Action("shell", "shell", 0.0, False, "a shell on the console waits for ever; then final_action", _KDUMP_SH),
        Action(
            "dump_to_rootfs", "dump", 90.0, False, "mounts the root file system and dumps there, then final_action",
            Source("rhkdump/kdump-utils", "kdump.sh, dump_to_rootfs(): waits up to 90 s for /sysroot"),
        ),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class FallBack:
    """What a distribution does when the dump fails: ``copies_all``: cp /proc/vmcore, the whole memory, is tried."""

    copies_all: bool
    deletes_below_bytes: int
    then: str
    source: Source


FALL_BACKS: Mapping[str, FallBack] = {
    "rhel": FallBack(False, 0, "failure_action", _KDUMP_SH),
    "debian": FallBack(True, 0, "KDUMP_FAIL_CMD, or reboot -f", Source("Debian kdump-tools", "kdump-config savecore")),
    "suse": FallBack(
        False, 64 << 20, "goes on (KDUMP_CONTINUE_ON_ERROR) and reboots (KDUMP_IMMEDIATE_REBOOT)",
        Source("openSUSE/kdump", "KDUMP_FREE_DISK_SIZE=64: a dump that leaves less is deleted"),
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class KdumpConf:
    """One configuration that kdump accepts. ``values`` holds every directive that was given, as text."""

    values: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def target_kind(self) -> TargetKind:
        return next((kind for kind in TARGETS if kind in self.values), "root")

    @property
    def target(self) -> str:
        """The device, host or export; empty for the root file system."""
        return self.values.get(self.target_kind, "")

    @property
    def is_network(self) -> bool:
        return self.target_kind in ("nfs", "ssh")

    @property
    def failure_action(self) -> str:
        return self.values.get("failure_action") or self.values.get("default") or "reboot"

    @property
    def final_action(self) -> str:
        return self.values.get("final_action", "reboot")

    @property
    def path(self) -> str:
        """Directory of the dump; a raw target has none."""
        return "" if self.target_kind == "raw" else self.values.get("path", "/var/crash")

    @property
    def core_collector(self) -> str:
        return self.values.get("core_collector") or default_collector(self.target_kind)

    @property
    def collector(self) -> Collector:
        return parse_core_collector(self.core_collector)


def default_collector(kind: TargetKind) -> str:
    """``makedumpfile -l --message-level 7 -d 31``, as a flattened stream to raw and ssh targets."""
    return f"makedumpfile {'-F ' if kind in ('raw', 'ssh') else ''}-l --message-level 7 -d 31"


def parse_kdump_conf(text: str, origin: str = "kdump.conf") -> KdumpConf:
    """Reads a whole file. Raises LinuxError naming ``origin``, line and directive for what kdump refuses."""
    return _checked(list(_lines(text, origin)))


def from_items(items: Mapping[str, str]) -> KdumpConf:
    """The same from directives and values, as a scenario's [kdump] has them."""
    return _checked([(key, value, f"{key}: ") for key, value in items.items()])


Item = tuple[str, str, str]
"""(directive, value, "where: ")."""


def _lines(text: str, origin: str) -> Iterator[Item]:
    """kdump_read_conf(): a comment begins at any ``#``, blanks around words fall away."""
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split(None, 1)
        if words:
            yield words[0], words[1].strip() if len(words) > 1 else "", f"{origin}:{number}: {words[0]}: "


def _checked(items: list[Item]) -> KdumpConf:
    values: dict[str, str] = {}
    warnings: list[str] = []
    target = ""
    for key, value, where in items:
        if key in DEPRECATED:
            raise LinuxError(
                f"{where}kdump refuses this old directive (see kdump.conf(5) for what replaced it); {_NO_KDUMP}"
            )
        if key not in DIRECTIVES:
            raise LinuxError(f"{where}unknown directive{nearest(key, DIRECTIVES)}; {_NO_KDUMP}")
        if not value:
            raise LinuxError(f"{where}expected a value; {_NO_KDUMP}")
        if key in TARGETS:
            if target:
                raise LinuxError(
                    f"{where}kdump takes only one dump target, and '{target}' is there already; {_NO_KDUMP}"
                )
            target = key
        if key in values:
            raise LinuxError(f"{where}given twice; {_NO_KDUMP}")
        _check_value(key, value, where)
        values[key] = value
    if "default" in values:
        if "failure_action" in values:
            raise LinuxError(f"failure_action and its old name 'default' together; {_NO_KDUMP}")
        warnings.append("'default' is the old name of failure_action; kdump warns and takes it")
    if values.get("force_rebuild") == values.get("force_no_rebuild") == "1":
        raise LinuxError(f"force_rebuild and force_no_rebuild are both 1; {_NO_KDUMP}")
    found = KdumpConf(values, tuple(warnings))
    _check_collector(found)
    if found.target_kind == "raw" and "path" in values:
        warnings.append("path is ignored: a raw target has no directories")
    return KdumpConf(values, tuple(warnings))


def _check_value(key: str, value: str, where: str) -> None:
    actions = {
        "failure_action": list(ACTIONS),
        "default": list(ACTIONS),
        "final_action": [name for name, action in ACTIONS.items() if action.is_final],
        "auto_reset_crashkernel": ["yes", "no"],
        **{name: ["0", "1"] for name in SWITCHES},
    }
    if key in actions and value not in actions[key]:
        expected = ", ".join(actions[key])
        raise LinuxError(f"{where}'{value}' is none of {expected}{nearest(value, actions[key])}; {_NO_KDUMP}")
    if key == "ssh" and not re.fullmatch(r"[^@\s]+@[^@\s]+", value):
        raise LinuxError(f"{where}expected USER@HOST, got '{value}'; {_NO_KDUMP}")
    if key == "nfs" and ":" not in value:
        raise LinuxError(f"{where}expected HOST:/EXPORT, got '{value}'; {_NO_KDUMP}")
    if key == "path" and not value.startswith("/"):
        raise LinuxError(f"{where}expected an absolute directory, got '{value}'; {_NO_KDUMP}")


def _check_collector(conf: KdumpConf) -> None:
    """mkdumprd: a stream to raw or ssh has to be flattened."""
    text = conf.values.get("core_collector")
    if text is None:
        return
    try:
        collector = parse_core_collector(text)
    except LinuxError as error:
        raise LinuxError(f"core_collector: {str(error).removeprefix('core_collector ')}") from None
    is_makedumpfile = "makedumpfile" in text.split()[0]
    if conf.target_kind in ("raw", "ssh") and is_makedumpfile and not collector.flattened:
        raise LinuxError(
            f"core_collector: the dump target '{conf.target_kind}' needs makedumpfile -F; mkdumprd refuses to build "
            f"the initramfs, and {_NO_KDUMP}"
        )


IDLE = frozenset(
    {
        "path", "sshkey", "kdump_pre", "kdump_post", "kdump_emergency", "extra_bins", "extra_modules", "dracut_args",
        "force_rebuild", "force_no_rebuild", "auto_reset_crashkernel", "fence_kdump_args",
    }
)  # fmt: skip
"""Directives that kdump obeys and that have no part in when the host is back, as far as anybody measured."""
