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
from ksim.linux.core_collector import STREAM_TARGETS, Collector, NotModelled, parse_core_collector
from ksim.linux.kdump_actions import ACTIONS as ACTIONS
from ksim.linux.kdump_actions import FALL_BACKS as FALL_BACKS
from ksim.linux.kdump_actions import Action as Action
from ksim.linux.kdump_actions import FallBack as FallBack
from ksim.source import Param, Source
from ksim.units import duration_s

TargetKind = Literal["root", "raw", "nfs", "ssh", "ext2", "ext3", "ext4", "minix", "btrfs", "xfs", "virtiofs", "mount"]
TARGETS: tuple[TargetKind, ...] = ("raw", "nfs", "ssh", "ext2", "ext3", "ext4", "minix", "btrfs", "xfs", "virtiofs")
"""Directives that name a target; without any of them the dump goes to ``path`` on the running system's root, or to
what ``dracut_args --mount "DEVICE DIRECTORY TYPE OPTIONS"`` names ("mount": a type that is no directive)."""
SWITCHES = ("force_rebuild", "force_no_rebuild")
OTHERS = (
    "path", "sshkey", "core_collector", "failure_action", "default", "final_action", "kdump_pre", "kdump_post",
    "kdump_emergency", "extra_bins", "extra_modules", "dracut_args", "auto_reset_crashkernel", "fence_kdump_args",
    "fence_kdump_nodes",
)  # fmt: skip
DEPRECATED = ("net", "options", "link_delay", "disk_timeout", "debug_mem_level", "blacklist")
DIRECTIVES = (*TARGETS, *OTHERS, *SWITCHES)
_NO_KDUMP = "kdump.service does not start, so no crash kernel is loaded"
_TEMPLATE = re.compile(r"\{\{|\{%|<%")
NETWORK_WAIT = Param(
    "600 s", "s", "600 s", "600 s", Source("rhkdump/kdump-utils kdump.sh", "waits ten minutes for a route"),
    "how long the capture kernel waits for a network target",
)  # fmt: skip
NETWORK_WAIT_S = duration_s(str(NETWORK_WAIT.value))


@dataclass(frozen=True, slots=True)
class KdumpConf:
    """One configuration that kdump accepts. ``values`` holds every directive that was given, as text."""

    values: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def target_kind(self) -> TargetKind:
        given = next((kind for kind in TARGETS if kind in self.values), None)
        return given or _mount(self.values.get("dracut_args", ""))[0]

    @property
    def target(self) -> str:
        """The device, host or export; empty for the root file system."""
        return self.values.get(self.target_kind) or _mount(self.values.get("dracut_args", ""))[1]

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
    return f"makedumpfile {'-F ' if kind in STREAM_TARGETS else ''}-l --message-level 7 -d 31"


def parse_kdump_conf(text: str, origin: str = "kdump.conf") -> KdumpConf:
    """Reads a whole file. Raises LinuxError naming ``origin``, line and directive for what kdump refuses."""
    return _checked(list(_lines(text, origin)))


def from_items(items: Mapping[str, str]) -> KdumpConf:
    """The same from directives and values, as a scenario's [kdump] has them."""
    return _checked([(key, value, "") for key, value in items.items()])


Item = tuple[str, str, str]
"""(directive, value, "file:line: " or "")."""


def _lines(text: str, origin: str) -> Iterator[Item]:
    """kdump_read_conf(): a comment is a line, or begins at any ``#`` of a value; blanks around words fall away."""
    for number, line in enumerate(text.split("\n"), 1):
        if re.match(r"\s*(#|$)", line):
            continue
        key, *rest = re.split(r"[ \t]+", line.strip(" \t"), maxsplit=1)
        value, hash_mark, _ = rest[0].partition("#") if rest else ("", "", "")
        yield key, value.rstrip() if hash_mark else value, f"{origin}:{number}: "


def _checked(items: list[Item]) -> KdumpConf:
    values: dict[str, str] = {}
    warnings: list[str] = []
    target = ""
    for key, raw, place in items:
        where = f"{place}{key}: "
        if mark := _TEMPLATE.search(f"{key} {raw}"):
            raise LinuxError(f"{where}'{mark[0]}': a template that no tool has filled in yet; {_NO_KDUMP}")
        if key in DEPRECATED:
            raise LinuxError(
                f"{where}kdump refuses this old directive (see kdump.conf(5) for what replaced it); {_NO_KDUMP}"
            )
        if key not in DIRECTIVES:
            raise LinuxError(f"{where}unknown directive{nearest(key, DIRECTIVES)}; {_NO_KDUMP}")
        value = raw[1:-1] if len(raw) > 1 and raw[0] == raw[-1] == '"' else raw
        if value != raw:
            warnings.append(f"{where}kdump takes the quotes off; before November 2025 they were part of the value")
        if not value:
            raise LinuxError(f"{where}expected a value; {_NO_KDUMP}")
        if key in TARGETS or (key == "dracut_args" and "--mount" in value):
            if target:
                raise LinuxError(
                    f"{where}kdump takes only one dump target, and '{target}' is there already; {_NO_KDUMP}"
                )
            target = key
        if key in values:
            raise LinuxError(f"{where}given twice; {_NO_KDUMP}")
        _check_value(key, value, where)
        warnings += _grumbles(key, value, where)
        values[key] = value
        if "default" in values and "failure_action" in values:
            raise LinuxError(f"{place}failure_action and its old name 'default' together; {_NO_KDUMP}")
        if values.get("force_rebuild") == values.get("force_no_rebuild") == "1":
            raise LinuxError(f"{place}force_rebuild and force_no_rebuild are both 1; {_NO_KDUMP}")
    places = {key: place for key, _, place in items}
    found = KdumpConf(values)
    warnings += _check_collector(found, places.get("core_collector", ""))
    if found.target_kind == "raw" and "path" in values:
        warnings.append(f"{places['path']}path: ignored, a raw target has no directories")
    return KdumpConf(values, tuple(warnings))


def _check_value(key: str, value: str, where: str) -> None:
    actions = {
        "failure_action": list(ACTIONS),
        "default": list(ACTIONS),
        "final_action": [name for name, action in ACTIONS.items() if action.is_final],
        **{name: ["0", "1"] for name in SWITCHES},
    }
    if value.endswith("\r"):
        raise LinuxError(f"{where}kdump takes the Windows line end for a part of the value; {_NO_KDUMP}")
    if key in actions and value not in actions[key]:
        expected = ", ".join(actions[key])
        raise LinuxError(f"{where}'{value}' is none of {expected}{nearest(value, actions[key])}; {_NO_KDUMP}")
    if key == "ssh" and not re.fullmatch(r"[^@\s]+@[^@\s]+", value):
        raise LinuxError(f"{where}expected USER@HOST, got '{value}'; {_NO_KDUMP}")
    if key == "nfs" and ":" not in value:
        raise LinuxError(f"{where}expected HOST:/EXPORT, got '{value}'; {_NO_KDUMP}")
    if key == "dracut_args" and "--mount" in value and (value.count("--mount") > 1 or not _mount(value)[1]):
        raise LinuxError(f"{where}expected one --mount \"DEVICE DIRECTORY TYPE OPTIONS\", got '{value}'; {_NO_KDUMP}")


def _grumbles(key: str, value: str, where: str) -> list[str]:
    """What kdump takes in its own way, a sentence each."""
    if key == "default":
        return [f"{where}the old name of failure_action; kdump warns and takes it"]
    if key == "path" and not value.startswith("/"):
        return [f"{where}'{value}' is no absolute directory; kdump looks for it from the root of the dump target on"]
    if key == "auto_reset_crashkernel" and value not in ("yes", "no"):
        return [f"{where}kdump takes '{value}' for yes: everything but no is"]
    return []


def _mount(dracut_args: str) -> tuple[TargetKind, str]:
    """get_dracut_args_fstype(), get_dracut_args_target(): what a ``--mount`` in dracut_args makes the dump target."""
    match = re.fullmatch(r".*--mount .(.*)", dracut_args, re.DOTALL)
    words = match[1].split(" ") if match else []
    if len(words) < 3 or not words[0] or not words[2]:
        return "root", ""
    kind = "nfs" if words[2] == "nfs4" else words[2]
    return next((known for known in TARGETS if known == kind and known not in STREAM_TARGETS), "mount"), words[0]


def _check_collector(conf: KdumpConf, place: str) -> list[str]:
    """mkdumprd, verify_core_collector(): only a command that is plainly ``makedumpfile`` is looked at."""
    text = conf.values.get("core_collector")
    if text is None:
        return []
    where = f"{place}core_collector: "
    command, _, options = text.partition(" ")
    is_stream, is_checked = conf.target_kind in STREAM_TARGETS, command == "makedumpfile"
    if is_checked and is_stream and "-F" not in options:
        raise LinuxError(
            f"{where}the dump target '{conf.target_kind}' needs makedumpfile -F; mkdumprd refuses to build "
            f"the initramfs, and {_NO_KDUMP}"
        )
    try:
        collector = parse_core_collector(text)
    except NotModelled as error:
        raise NotModelled(f"{where}{str(error).removeprefix('core_collector ')}") from None
    except LinuxError as error:
        end = f"so {_NO_KDUMP}" if is_checked else "and kdump finds out when it dumps: there is never a vmcore"
        raise LinuxError(f"{where}{str(error).removeprefix('core_collector ')}, {end}") from None
    if is_checked and collector.flattened and not is_stream:
        raise LinuxError(
            f"{where}makedumpfile -F is for raw and ssh targets; with a file to write it refuses, mkdumprd builds no "
            f"initramfs, and {_NO_KDUMP}"
        )
    if conf.target_kind == "raw" and collector.program != "makedumpfile":
        return [f"{where}kdump warns that a raw dump not written by makedumpfile has to be recovered by hand"]
    return []
