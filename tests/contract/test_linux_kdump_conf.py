"""kdump.conf and its shell-style relatives: every directive, what kdump refuses, and the files of real machines."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksim.errors import LinuxError
from ksim.linux.core_collector import as_kdump_runs_it, parse_core_collector
from ksim.linux.fadump import fadump, stages
from ksim.linux.kdump_conf import ACTIONS, DEPRECATED, DIRECTIVES, FALL_BACKS, TARGETS, from_items, parse_kdump_conf
from ksim.linux.kdump_sysconfig import from_sysconfig, parse_sysconfig

DATA = Path(__file__).parents[1] / "data" / "kdump_conf.jsonl"
ITEMS = [row for row in map(json.loads, DATA.read_text("utf-8").splitlines()) if "SOURCE" not in row]
GOOD = {
    **dict.fromkeys(DIRECTIVES, "x"),
    "nfs": "host:/export", "ssh": "user@host", "path": "/dumps", "core_collector": "makedumpfile -F -l -d 31",
    "failure_action": "halt", "default": "shell", "final_action": "poweroff", "force_rebuild": "1",
    "force_no_rebuild": "1", "auto_reset_crashkernel": "no",
}  # fmt: skip


def test_defaults():
    conf = parse_kdump_conf("# nothing\n\n")
    assert (conf.target_kind, conf.path, conf.failure_action, conf.final_action) == (
        "root",
        "/var/crash",
        "reboot",
        "reboot",
    )
    assert conf.core_collector == "makedumpfile -l --message-level 7 -d 31"
    assert (conf.collector.level, conf.collector.compressor, conf.warnings) == (31, "lzo", ())


@pytest.mark.parametrize("directive", DIRECTIVES)
def test_every_directive_is_read(directive):
    conf = parse_kdump_conf(f"  {directive}   {GOOD[directive]}   # why\n")
    assert conf.values == {directive: GOOD[directive]}
    assert from_items({directive: GOOD[directive]}) == conf


@pytest.mark.parametrize("directive", DEPRECATED)
def test_what_kdump_no_longer_takes(directive):
    with pytest.raises(
        LinuxError, match=rf"kdump.conf:2: {directive}: kdump refuses this old directive.*does not start"
    ):
        parse_kdump_conf(f"path /a\n{directive} x\n")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ext4 /dev/sda1\nnfs host:/x\n", "kdump.conf:2: nfs: kdump takes only one dump target"),
        ("raw /dev/sda1\nraw /dev/sda2\n", "only one dump target"),
        ("path /a\npath /b\n", "kdump.conf:2: path: given twice"),
        ("force_rebuild 1\nforce_no_rebuild 1\n", "force_rebuild and force_no_rebuild are both 1"),
        ("default shell\nfailure_action reboot\n", "failure_action and its old name"),
        ("failure_action restart\n", "'restart' is none of reboot, halt, poweroff, shell, dump_to_rootfs"),
        ("final_action shell\n", "'shell' is none of reboot, halt, poweroff"),
        ("failure_actoin reboot\n", "did you mean 'failure_action'"),
        ("path\n", "expected a value"),
        ("path var/crash\n", "expected an absolute directory"),
        ("ssh host\n", "expected USER@HOST"),
        ("nfs host\n", "expected HOST:/EXPORT"),
        ("ssh a@b\ncore_collector makedumpfile -l -d 31\n", "'ssh' needs makedumpfile -F"),
        ("raw /dev/sda\ncore_collector makedumpfile -l -d 31\n", "'raw' needs makedumpfile -F"),
        ("core_collector makedumpfile -E -c -d 31\n", "-E (ELF) takes no compressor"),
        ("core_collector makedumpfile -d 32\n", "expected a number from 0 to 31"),
    ],
)
def test_what_kdump_refuses(text, reason):
    with pytest.raises(LinuxError) as failure:
        parse_kdump_conf(text)
    assert reason in str(failure.value)
    if "core_collector" not in str(failure.value):
        assert "kdump.service does not start, so no crash kernel is loaded" in str(failure.value)


def test_what_kdump_only_grumbles_about():
    conf = parse_kdump_conf("default shell\nraw /dev/sdb\npath /x\n")
    assert conf.failure_action == "shell"
    assert conf.path == ""
    assert [w.split()[0] for w in conf.warnings] == ["'default'", "path"]


@pytest.mark.parametrize(("kind", "network"), [(kind, kind in ("nfs", "ssh")) for kind in TARGETS])
def test_targets(kind, network):
    conf = from_items({kind: GOOD[kind]})
    assert (conf.target_kind, conf.target, conf.is_network) == (kind, GOOD[kind], network)
    assert conf.collector.flattened == (kind in ("raw", "ssh"))


def test_both_force_flags_alone_are_fine():
    assert from_items({"force_rebuild": "0", "force_no_rebuild": "0"}).values
    assert from_items({"force_rebuild": "1", "force_no_rebuild": "0"}).values


@pytest.mark.parametrize(
    ("action", "ends", "final"),
    [
        ("reboot", "reset", True), ("halt", "halted", True), ("poweroff", "halted", True), ("shell", "shell", False),
        ("dump_to_rootfs", "dump", False),
    ],
)  # fmt: skip
def test_actions(action, ends, final):
    found = ACTIONS[action]
    assert (found.ends, found.is_final) == (ends, final)
    assert found.wait_s == (90.0 if action == "dump_to_rootfs" else 0.0)


def test_other_distributions_fall_back_otherwise():
    assert [name for name, found in FALL_BACKS.items() if found.copies_all] == ["debian"]
    assert FALL_BACKS["suse"].deletes_below_bytes == 64 * 2**20


# ---------------------------------------------------------------- files of real machines

REFUSED = {
    "44a8d339fa70": "net: kdump refuses", "6badd2180406": "auto: unknown directive", "8a8e93b02bea": "nfs4: unknown",
    "8c63b5b091d4": "needs makedumpfile -F", "96d87cd9897a": "only one dump target", "b3f312defa81": "/dev/sda1: unk",
    "d1e99363c2cd": "disk_timeout: kdump refuses",
}  # fmt: skip


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item["id"])
def test_real_files(item):
    """Each is read, or refused for the reason that kdump has; templates are no configuration yet."""
    parse = parse_kdump_conf if item["kind"] == "kdump.conf" else from_sysconfig
    if item["id"] in REFUSED:
        with pytest.raises(LinuxError) as failure:
            parse(item["text"])
        assert REFUSED[item["id"]] in str(failure.value)
    elif item["template"] and "{" in item["text"] + item["text"].replace("<%", "{"):
        with pytest.raises(LinuxError):
            parse(item["text"])
    else:
        assert parse(item["text"]) is not None


def test_there_are_57_files_of_four_kinds():
    assert len(ITEMS) == 57
    assert {item["kind"] for item in ITEMS} == {"kdump.conf", "sysconfig/kdump-tools", "kdump-tools", "steamos-kdump"}


def test_sysconfig_of_debian_and_suse():
    debian = from_sysconfig('USE_KDUMP=1\nMAKEDUMP_ARGS="-c -d 17"\nKDUMP_COREDIR="/srv/crash"\n')
    assert (debian.conf.collector.compressor, debian.conf.collector.level) == ("zlib", 17)
    assert debian.conf.path == "/srv/crash"
    suse = from_sysconfig(
        "KDUMP_DUMPLEVEL=31\nKDUMP_DUMPFORMAT=\"lzo\"\nKDUMP_SAVEDIR='nfs://nas/crash'\nKDUMP_CPUS=4\n"
        'KDUMP_COMMANDLINE_APPEND="panic=5"\nKDUMP_IMMEDIATE_REBOOT="no"\n'
    )
    assert (suse.conf.target_kind, suse.conf.target, suse.conf.collector.level) == ("nfs", "nas:/crash", 31)
    assert suse.append == "panic=5 nr_cpus=4"
    assert suse.conf.final_action == "halt"
    ssh = from_sysconfig("KDUMP_SAVEDIR=ssh://me@nas/crash\nKDUMP_DUMPLEVEL=31\n")
    assert (ssh.conf.target, ssh.conf.collector.flattened) == ("me@nas", True)
    assert "no crash kernel" in from_sysconfig("USE_KDUMP=0\n").warnings[0]
    for wrong in ("KDUMP_DUMPFORMAT=zip\n", "KDUMP_SAVEDIR=ftp://nas/crash\n"):
        with pytest.raises(LinuxError):
            from_sysconfig(wrong)


def test_assignments_are_read_and_nothing_is_executed():
    text = "# A=1\nexport B='2 3' # why\nC=\"$(reboot)\"\nnot an assignment\nB=4\nD=\n"
    assert parse_sysconfig(text) == {"B": "4", "C": "$(reboot)", "D": ""}


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text):
    for parse in (parse_kdump_conf, from_sysconfig):
        with contextlib.suppress(LinuxError):
            assert parse(text).warnings is not None


# ---------------------------------------------------------------- core_collector as kdump runs it, fadump


@pytest.mark.parametrize(
    ("text", "cpus", "threads"),
    [
        ("makedumpfile -l -d 31", 1, 0),
        ("makedumpfile -l -d 31", 4, 4),
        ("makedumpfile -F -l -d 31", 4, 0),
        ("makedumpfile -E -d 31", 4, 0),
        ("makedumpfile -l -d 31 --num-threads 2", 4, 2),
        ("makedumpfile -l -d 31 --num-threads 8", 4, 4),
    ],
)
def test_threads(text, cpus, threads):
    assert as_kdump_runs_it(parse_core_collector(text), cpus).threads == threads


@pytest.mark.parametrize(
    ("line", "architecture", "on", "cma", "warns"),
    [
        ("fadump=on", "ppc64le", True, True, False),
        ("fadump=nocma", "ppc64le", True, False, False),
        ("fadump=off", "ppc64le", False, False, False),
        ("fadump=on", "x86_64", False, False, True),
        ("quiet", "x86_64", False, False, False),
    ],
)
def test_fadump_is_for_power_alone(line, architecture, on, cma, warns):
    found = fadump(line, architecture)
    assert (found.is_on, found.uses_cma, bool(found.warning)) == (on, cma, warns)


def test_fadump_boots_twice_unless_it_goes_on():
    assert stages().count("firmware") == 2
    assert stages(continues_booting=True).count("firmware") == 1
    assert stages()[-1] == stages(continues_booting=True)[-1] == "userspace"
