"""The shell-style files of the other kdumps: /etc/default/kdump-tools of Debian and Ubuntu, /etc/sysconfig/kdump.

Assignments alone are read, nothing is executed. ``from_sysconfig`` puts them into the words of kdump.conf where
both mean the same. Follows kdump-config of Debian's kdump-tools, openSUSE/kdump(5) and RHEL's /etc/sysconfig/kdump.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from ksim.errors import LinuxError
from ksim.linux.kdump_conf import KdumpConf, from_items

_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)\Z")
SUSE_FORMATS = {"lzo": "-l", "compressed": "-c", "snappy": "-p", "zstd": "-z", "ELF": "-E", "none": ""}
"""KDUMP_DUMPFORMAT -> option of makedumpfile."""


@dataclass(frozen=True, slots=True)
class Sysconfig:
    """What such a file says: the variables, the same as a kdump.conf, what is appended to the capture kernel's
    command line, and remarks on what has no counterpart."""

    variables: Mapping[str, str]
    conf: KdumpConf
    append: str
    warnings: tuple[str, ...]


def parse_sysconfig(text: str) -> dict[str, str]:
    """The variables of a shell-style file, quotes taken off; a later assignment wins, other lines are left alone."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = _ASSIGNMENT.match(line)
        if match is None:
            continue
        try:
            words = shlex.split(match[2], comments=True)
        except ValueError:
            continue  # a quote that goes on over lines: the shell would read on, we do not
        found[match[1]] = words[0] if words else ""
    return found


def from_sysconfig(text: str) -> Sysconfig:
    """The same configuration in the words of kdump.conf. Raises LinuxError as kdump.conf would."""
    variables = parse_sysconfig(text)
    items: dict[str, str] = {}
    warnings: list[str] = []
    options = variables.get("MAKEDUMP_ARGS", "")
    level, form = variables.get("KDUMP_DUMPLEVEL", ""), variables.get("KDUMP_DUMPFORMAT", "")
    if level or form:
        if form and form not in SUSE_FORMATS:
            raise LinuxError(f"KDUMP_DUMPFORMAT: '{form}' is none of {', '.join(SUSE_FORMATS)}")
        options = f"{SUSE_FORMATS.get(form, '-l')} -d {level or '31'}".strip()
    if options:
        items["core_collector"] = f"makedumpfile {options}"
    items |= _target(variables.get("KDUMP_SAVEDIR", ""), variables.get("KDUMP_COREDIR", ""))
    if items.get("ssh") and "core_collector" in items:
        items["core_collector"] = items["core_collector"].replace("makedumpfile", "makedumpfile -F", 1)
    if variables.get("KDUMP_IMMEDIATE_REBOOT") in ("no", "false"):
        items["final_action"] = items["failure_action"] = "halt"
        warnings.append("KDUMP_IMMEDIATE_REBOOT is off: the capture kernel stays up after the dump, until a human acts")
    if variables.get("KDUMP_FAIL_CMD"):
        warnings.append(f"KDUMP_FAIL_CMD runs where a dump fails: {variables['KDUMP_FAIL_CMD'][:60]}")
    if variables.get("USE_KDUMP") == "0":
        warnings.append("USE_KDUMP=0: no crash kernel is loaded")
    words = [variables.get("KDUMP_COMMANDLINE_APPEND", ""), variables.get("KDUMP_CMDLINE_APPEND", "")]
    if variables.get("KDUMP_CPUS", "").isdigit():
        words.append(f"nr_cpus={variables['KDUMP_CPUS']}")
    conf = from_items(items)
    return Sysconfig(variables, conf, " ".join(word for word in words if word), (*warnings, *conf.warnings))


def _target(savedir: str, coredir: str) -> dict[str, str]:
    """KDUMP_SAVEDIR of SUSE is a URL or a directory, KDUMP_COREDIR of Debian a directory."""
    scheme, mark, rest = savedir.partition("://")
    if mark and scheme == "nfs":
        host, slash, export = rest.partition("/")
        return {"nfs": f"{host}:{slash}{export}"}
    if mark and scheme in ("ssh", "sftp"):
        return {"ssh": rest.partition("/")[0]}
    if mark and scheme == "file":
        return {"path": rest or "/var/crash"}
    if mark:
        raise LinuxError(f"KDUMP_SAVEDIR: '{scheme}' targets are not modelled (file, nfs, ssh, sftp are)")
    directory = savedir or coredir
    return {"path": directory} if directory.startswith("/") else {}
