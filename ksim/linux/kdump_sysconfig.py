"""The shell-style files of the other kdumps: /etc/default/kdump-tools of Debian and Ubuntu, /etc/sysconfig/kdump.

Assignments alone are read, nothing is executed. ``from_sysconfig`` puts them into the words of kdump.conf where
both mean the same. Follows kdump-config of Debian's kdump-tools; kdump-read-config.sh, init/load.sh and
dracut/kdump-save of openSUSE/kdump; RHEL's /etc/sysconfig/kdump, which knows only the capture command line.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ksim.errors import LinuxError
from ksim.linux.core_collector import LEVEL_MAX, NotModelled
from ksim.linux.kdump_actions import FALL_BACKS
from ksim.linux.kdump_conf import KdumpConf, from_items

_WORD = re.compile(r"""(?:[^\s'"\\;]|\\.|'[^']*'|"(?:[^"\\]|\\.)*")+""", re.DOTALL)
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)\Z", re.DOTALL)
_MIB = 1 << 20
SUSE_FORMATS = {"lzo": "-l", "compressed": "-c", "snappy": "-p", "zstd": "-z", "ELF": "-E"}
"""KDUMP_DUMPFORMAT -> option of makedumpfile."""
_SUSE = ("KDUMP_SAVEDIR", "KDUMP_DUMPLEVEL", "KDUMP_DUMPFORMAT", "KDUMP_IMMEDIATE_REBOOT", "KDUMP_CONTINUE_ON_ERROR")
_DEBIAN = ("USE_KDUMP", "MAKEDUMP_ARGS", "KDUMP_COREDIR")
_DEBIAN_ARGS = "-c -d 31"
_SUSE_CPUS, _ALL_CPUS = 32, 8192
"""KDUMP_CPUS unless given (kdump 2.0.18); and what stands for 0: a number above what is there limits nothing."""
_LEFT_OUT = {
    "FTP": "an FTP target is not modelled",
    "KDUMP_COMMANDLINE": "the whole command line of the capture kernel; only what is appended is taken over",
    "KDUMP_TRANSFER": "replaces makedumpfile; what that program takes is not known here",
    "MAKEDUMPFILE_COREDUMP_CMD": "SteamOS has a kdump of its own, which is not modelled",
}
"""Variables that would change the outcome, and why they do not here."""


@dataclass(frozen=True, slots=True)
class Sysconfig:
    """What such a file says: the variables, the same as a kdump.conf, what is appended to the capture kernel's
    command line, and remarks on what has no counterpart.

    ``sysctl``: settings that Debian's kdump-tools make when they load the crash kernel. ``keep_free_bytes``: SUSE
    deletes a vmcore on a local disk that leaves less than that.
    """

    variables: Mapping[str, str]
    conf: KdumpConf
    append: str
    warnings: tuple[str, ...]
    sysctl: Mapping[str, str] = field(default_factory=dict)
    keep_free_bytes: int = 0


def parse_sysconfig(text: str) -> dict[str, str]:
    """The variables of a shell-style file, quotes taken off; a later assignment wins.

    Other commands are left alone, and an assignment in front of one is for that command only, as in a shell.
    Raises LinuxError for a quote that is never closed.
    """
    found: dict[str, str] = {}
    for words in _commands(text):
        matches = [_ASSIGNMENT.match(word) for word in words[words[:1] == ["export"] :]]
        if all(matches):
            found |= {match[1]: "".join(shlex.split(match[2])) for match in matches if match}
    return found


def _commands(text: str) -> Iterator[list[str]]:
    """The words of each command, quotes and all; ``#`` begins a comment only where a word could begin."""
    words: list[str] = []
    at = 0
    while at < len(text):
        if text[at] in "\n;":
            yield words
            words, at = [], at + 1
        elif text.startswith("\\\n", at):
            at += 2
        elif text[at].isspace():
            at += 1
        elif text[at] == "#":
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        elif match := _WORD.match(text, at):
            words.append(match[0])
            at = match.end()
        else:
            line = text.count("\n", 0, at) + 1
            raise LinuxError(f"line {line}: a quote is never closed; the shell that reads the file stops there")
    yield words


def from_sysconfig(text: str) -> Sysconfig:
    """The same configuration in the words of kdump.conf. Raises LinuxError as kdump.conf would, and NotModelled."""
    variables = {name: value for name, value in parse_sysconfig(text).items() if value}
    warnings = [f"{name}: {why}" for name, why in _LEFT_OUT.items() if name in variables]
    is_suse = any(name in variables for name in _SUSE)
    items = _target(variables)
    if is_suse:
        items |= _suse_collector(variables, warnings) | _suse_actions(variables, warnings)
    elif any(name in variables for name in _DEBIAN):
        items["core_collector"] = f"makedumpfile {variables.get('MAKEDUMP_ARGS', _DEBIAN_ARGS)}"
    if items.get("core_collector", "").startswith("makedumpfile"):
        items["core_collector"] = _flattened(items["core_collector"], "ssh" in items)
    if "KDUMP_FAIL_CMD" in variables:
        warnings.append(f"KDUMP_FAIL_CMD runs where a dump fails: {variables['KDUMP_FAIL_CMD'][:60]}")
    if variables.get("USE_KDUMP") == "0":
        warnings.append("USE_KDUMP=0: no crash kernel is loaded")
    for name in ("SSH", "NFS", "KDUMP_SAVEDIR", "KDUMP_COREDIR", "KDUMP_COMMANDLINE_APPEND", "KDUMP_CMDLINE_APPEND"):
        if re.search(r"[$`]", variables.get(name, "")):
            warnings.append(f"{name}: the shell would put in the value of a variable, here it stands as it is")
    append = [variables[name] for name in ("KDUMP_COMMANDLINE_APPEND", "KDUMP_CMDLINE_APPEND") if name in variables]
    if "KDUMP_CPUS" in variables:
        append.append(f"nr_cpus={_cpus(variables, warnings)}")
    sysctl = dict(word.split("=", 1) for word in variables.get("KDUMP_SYSCTL", "").split() if "=" in word)
    conf = from_items(items)
    is_local = is_suse and not conf.is_network
    keep = _number(variables, "KDUMP_FREE_DISK_SIZE", FALL_BACKS["suse"].deletes_below_bytes // _MIB, warnings)
    keep_bytes = max(0, keep) * _MIB if is_local else 0
    return Sysconfig(variables, conf, " ".join(append), (*warnings, *conf.warnings), sysctl, keep_bytes)


def _suse_collector(variables: Mapping[str, str], warnings: list[str]) -> dict[str, str]:
    """kdump-save: what is no format becomes zstd, what is no level 0. It streams to any target, with threads."""
    form = variables.get("KDUMP_DUMPFORMAT", "compressed")
    level = _number(variables, "KDUMP_DUMPLEVEL", LEVEL_MAX, warnings)
    if not 0 <= level <= LEVEL_MAX:
        warnings.append(f"KDUMP_DUMPLEVEL={level}: expected 0 to {LEVEL_MAX}; kdump-save takes 0, all of memory")
        level = 0
    if form == "none":
        raise NotModelled("KDUMP_DUMPFORMAT=none: only the kernel log is saved; a capture without dump is not modelled")
    if form == "raw":
        return {"core_collector": "cat"}
    if form not in SUSE_FORMATS:
        known = ", ".join(SUSE_FORMATS)
        warnings.append(f"KDUMP_DUMPFORMAT: '{form}' is none of {known}, none, raw; kdump-save takes makedumpfile -z")
    cpus = 1 if form == "ELF" else _cpus(variables, [])
    threads = f" --num-threads {cpus}" if cpus > 1 else ""
    return {"core_collector": f"makedumpfile {SUSE_FORMATS.get(form, '-z')} -d {level}{threads}"}


def _cpus(variables: Mapping[str, str], warnings: list[str]) -> int:
    """KDUMP_CPUS; 0 is all of them."""
    return _number(variables, "KDUMP_CPUS", _SUSE_CPUS, warnings) or _ALL_CPUS


def _suse_actions(variables: Mapping[str, str], warnings: list[str]) -> dict[str, str]:
    """A shell after an error, or after the dump: both wait for a human at the console."""
    if not _is_true(variables, "KDUMP_IMMEDIATE_REBOOT", warnings):
        warnings.append("KDUMP_IMMEDIATE_REBOOT is off: the capture kernel stays up after the dump, until a human acts")
        return {"final_action": "halt", "failure_action": "halt"}
    if not _is_true(variables, "KDUMP_CONTINUE_ON_ERROR", warnings):
        return {"failure_action": "shell"}
    return {}


def _is_true(variables: Mapping[str, str], name: str, warnings: list[str]) -> bool:
    value = variables.get(name, "true")
    if value not in ("yes", "1", "true", "no", "0", "false"):
        warnings.append(f"{name}={value}: expected true or false; kdump ignores it and takes true")
    return value not in ("no", "0", "false")


def _number(variables: Mapping[str, str], name: str, default: int, warnings: list[str]) -> int:
    value = variables.get(name, str(default))
    if re.fullmatch(r"-?[0-9]{1,9}", value):
        return int(value)
    warnings.append(f"{name}={value}: expected a number; kdump ignores it and takes {default}")
    return default


def _flattened(collector: str, is_stream: bool) -> str:
    """Both kdumps flatten where it is needed, whatever was written down."""
    words = [word for word in collector.split() if word != "-F"]
    return " ".join([words[0], *(["-F"] if is_stream else []), *words[1:]])


def _target(variables: Mapping[str, str]) -> dict[str, str]:
    """KDUMP_SAVEDIR of SUSE is a URL or a directory; Debian has SSH, NFS and a directory, KDUMP_COREDIR."""
    savedir = variables.get("KDUMP_SAVEDIR", "")
    if not savedir:
        if "NFS" in variables:  # mounted on KDUMP_COREDIR: the dump lies at the top of the export
            return {"nfs": variables["NFS"], "path": "/"}
        found = {"path": variables["KDUMP_COREDIR"]} if "KDUMP_COREDIR" in variables else {}
        return found | ({"ssh": variables["SSH"]} if "SSH" in variables else {})
    scheme, mark, rest = savedir.partition("://")
    host, _, directory_name = rest.partition("/")
    if savedir.startswith("/"):
        return {"path": savedir}
    if mark and scheme.lower() == "file":
        return {"path": rest}
    if mark and scheme.lower() == "nfs":
        return {"nfs": f"{host}:/{directory_name}", "path": "/"}
    if mark and scheme.lower() in ("ssh", "sftp", "scp"):
        user, _, machine = host.rpartition("@")
        return {"ssh": f"{user.partition(':')[0] or 'root'}@{machine.partition(':')[0]}", "path": f"/{directory_name}"}
    raise NotModelled(
        f"KDUMP_SAVEDIR: '{savedir}' is not modelled (a directory, file://, nfs://, ssh:// and sftp:// are)"
    )
