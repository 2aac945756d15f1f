"""kdump.conf and its shell-style relatives: every directive, what kdump refuses, and the files of real machines."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksim.errors import LinuxError
from ksim.linux.core_collector import NotModelled, as_kdump_runs_it, parse_core_collector
from ksim.linux.fadump import fadump, stages
from ksim.linux.kdump_conf import ACTIONS, DEPRECATED, DIRECTIVES, FALL_BACKS, TARGETS, from_items, parse_kdump_conf
from ksim.linux.kdump_sysconfig import from_sysconfig, parse_sysconfig

DATA = Path(__file__).parents[1] / "data" / "kdump_conf.jsonl"
ITEMS = [row for row in map(json.loads, DATA.read_text("utf-8").splitlines()) if "SOURCE" not in row]
GOOD = {
    **dict.fromkeys(DIRECTIVES, "x"),
    "nfs": "host:/export", "ssh": "user@host", "path": "/dumps", "core_collector": "makedumpfile -l -d 31",
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
    assert conf.values == from_items({directive: GOOD[directive]}).values == {directive: GOOD[directive]}


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
        ("path#x /a\n", "path#x: unknown directive"),
        ("path {{ kdump_path }}\n", "kdump.conf:1: path: '{{': a template"),
        ("failure_action reboot\r\n", "Windows line end"),
        ('xfs /dev/sda1\ndracut_args --mount "nas:/x /mnt nfs4 defaults"\n', "kdump.conf:2: dracut_args: kdump takes"),
        ('dracut_args --mount "a b xfs d" --mount "e f xfs h"\n', "expected one --mount"),
        ('dracut_args --mount="a b xfs d"\n', "expected one --mount"),
        ("ssh host\n", "expected USER@HOST"),
        ("nfs host\n", "expected HOST:/EXPORT"),
        ("ssh a@b\ncore_collector makedumpfile -l -d 31\n", "'ssh' needs makedumpfile -F"),
        ("raw /dev/sda\ncore_collector makedumpfile -l -d 31\n", "'raw' needs makedumpfile -F"),
        ("core_collector makedumpfile -E -c -d 31\n", "-E (ELF) takes no compressor"),
        ("core_collector makedumpfile -d 32\n", "expected a number from 0 to 31"),
        (
            "core_collector makedumpfile -e -d 31\n",
            "kdump.conf:1: core_collector: 'makedumpfile -e -d 31': -e requires",
        ),
        ("core_collector makedumpfile -F -d 31\n", "makedumpfile -F is for raw and ssh targets"),
        ("nfs a:/b\ncore_collector makedumpfile -F -d 31\n", "makedumpfile -F is for raw and ssh targets"),
        ("ssh a@b\ncore_collector makedumpfile -lF -d 31\n", "'ssh' needs makedumpfile -F"),
    ],
)
def test_what_kdump_refuses(text, reason):
    with pytest.raises(LinuxError) as failure:
        parse_kdump_conf(text)
    assert reason in str(failure.value)
    assert str(failure.value).endswith("kdump.service does not start, so no crash kernel is loaded")


@pytest.mark.parametrize("text", ["core_collector cp --sparse=always\n", "core_collector makedumpfile --split\n"])
def test_what_kdump_runs_and_ksim_cannot_is_no_failure_of_kdump(text):
    with pytest.raises(NotModelled) as failure:
        parse_kdump_conf(text)
    assert "not modelled" in str(failure.value)
    assert "kdump.service" not in str(failure.value)


def test_makedumpfile_by_its_path_is_not_looked_at_before_the_crash():
    """mkdumprd, verify_core_collector(): the first word has to be plainly makedumpfile; kdump.sh adds -F by itself."""
    assert parse_kdump_conf("ssh a@b\ncore_collector /usr/sbin/makedumpfile -l -d 31\n").collector.level == 31
    with pytest.raises(LinuxError, match="kdump finds out when it dumps"):
        parse_kdump_conf("core_collector /usr/sbin/makedumpfile -d 32\n")


def test_what_kdump_only_grumbles_about():
    conf = parse_kdump_conf("default shell\nraw /dev/sdb\npath /x\n")
    assert conf.failure_action == "shell"
    assert conf.path == ""
    assert [w.split()[:2] for w in conf.warnings] == [["kdump.conf:1:", "default:"], ["kdump.conf:3:", "path:"]]


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        ("default halt\n", "kdump.conf:1: default: the old name of failure_action"),
        ("path var/crash\n", "kdump.conf:1: path: 'var/crash' is no absolute directory"),
        ("\nauto_reset_crashkernel maybe\n", "kdump.conf:2: auto_reset_crashkernel: kdump takes 'maybe' for yes"),
        ("raw /dev/sdb\npath /x\n", "kdump.conf:2: path: ignored"),
        ("raw /dev/sdb\ncore_collector cat\n", "kdump.conf:2: core_collector: kdump warns that a raw dump"),
        ('core_collector "makedumpfile -c -d 17"\n', "kdump.conf:1: core_collector: kdump takes the quotes off"),
    ],
)
def test_each_remark_says_where_and_what_kdump_does(text, remark):
    (found,) = parse_kdump_conf(text).warnings
    assert found.startswith(remark)


def test_quotes_around_a_value_fall_away():
    """kdump.conf(5) writes its examples in quotes."""
    assert parse_kdump_conf('core_collector "makedumpfile -c -d 17"\n').collector == parse_core_collector(
        "makedumpfile -c -d 17"
    )
    assert parse_kdump_conf('dracut_args --omit "xcat"\n').values == {"dracut_args": '--omit "xcat"'}


@pytest.mark.parametrize(
    ("mount", "kind", "target", "network"),
    [
        ("nas:/dump /mnt nfs4 defaults", "nfs", "nas:/dump", True),
        ("/dev/sda1 /mnt xfs defaults", "xfs", "/dev/sda1", False),
        ("/dev/sda1 /mnt gfs2 defaults", "mount", "/dev/sda1", False),
    ],
)
def test_dracut_args_can_name_the_target(mount, kind, target, network):
    conf = parse_kdump_conf(f'dracut_args --omit-drivers x --mount "{mount}"\n')
    assert (conf.target_kind, conf.target, conf.is_network) == (kind, target, network)
    assert not conf.collector.flattened


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
    "d1e99363c2cd": "disk_timeout: kdump refuses", "24781b12c9a7": "a template", "28955933138f": "a template",
    "43038196e78e": "a template", "bfda9ed59b1d": "a template", "f20a91f1cd3e": "a template",
    "fda50c5444ba": "Windows line end",
}  # fmt: skip


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item["id"])
def test_real_files(item):
    """Each is read, or refused for the reason that kdump has; a template that is not filled in is one."""
    parse = parse_kdump_conf if item["kind"] == "kdump.conf" else from_sysconfig
    if item["id"] in REFUSED:
        with pytest.raises(LinuxError) as failure:
            parse(item["text"])
        assert REFUSED[item["id"]] in str(failure.value)
    else:
        found = parse(item["text"])
        given = {line.split()[0] for line in item["text"].splitlines() if line.strip()}
        assert given == set(found.values) if item["kind"] == "kdump.conf" else found.variables


def test_there_are_57_files_of_four_kinds():
    assert len(ITEMS) == 57
    assert {item["kind"] for item in ITEMS} == {"kdump.conf", "sysconfig/kdump-tools", "kdump-tools", "steamos-kdump"}


READ = {
    "0cc47faddffd": ("zlib", 31, "/var/crash", "nr_cpus=32"),
    "338eb475ced9": ("lzo", 31, "/var/crash", "irqpoll nr_cpus=1 reset_devices"),
    "1a764519ae09": ("lzo", 31, "/var/crash", "irqpoll maxcpus=1 reset_devices"),
    "3a16db5afd9b": ("zlib", 31, "/var/crash", ""),
}


@pytest.mark.parametrize("name", READ)
def test_real_sysconfig_means(name):
    """A complete SUSE file, two of Debian (whose makedumpfile has -c unless told otherwise), one of RHEL."""
    (item,) = [item for item in ITEMS if item["id"] == name]
    found = from_sysconfig(item["text"])
    collector = found.conf.collector
    assert (collector.compressor, collector.level, found.conf.path, found.append) == READ[name]


def suse(**given):
    return from_sysconfig("".join(f"KDUMP_{name}={value!r}\n" for name, value in {"SAVEDIR": "/v", **given}.items()))


def test_sysconfig_of_debian():
    found = from_sysconfig('USE_KDUMP=1\nMAKEDUMP_ARGS="-F -c -d 17"\nKDUMP_COREDIR="/srv/crash"\n')
    assert (found.conf.collector.compressor, found.conf.collector.level) == ("zlib", 17)
    assert (found.conf.path, found.conf.target_kind, found.keep_free_bytes) == ("/srv/crash", "root", 0)
    ssh = from_sysconfig('USE_KDUMP=1\nSSH="me@nas"\n').conf
    assert (ssh.target_kind, ssh.target, ssh.collector.flattened) == ("ssh", "me@nas", True)
    nfs = from_sysconfig('USE_KDUMP=1\nNFS="nas:/dump"\nKDUMP_COREDIR=/srv\n').conf
    assert (nfs.target_kind, nfs.target, nfs.path) == ("nfs", "nas:/dump", "/")
    assert from_sysconfig('KDUMP_SYSCTL="kernel.panic_on_oops=1 kernel.panic=5"\n').sysctl == {
        "kernel.panic_on_oops": "1",
        "kernel.panic": "5",
    }
    assert "no crash kernel" in from_sysconfig("USE_KDUMP=0\n").warnings[0]
    assert "echo b" in from_sysconfig("KDUMP_FAIL_CMD='echo b'\n").warnings[0]


@pytest.mark.parametrize(
    ("savedir", "kind", "target", "path"),
    [
        ("/srv/crash", "root", "", "/srv/crash"),
        ("file:///srv/crash", "root", "", "/srv/crash"),
        ("nfs://nas/export/crash", "nfs", "nas:/export/crash", "/"),
        ("ssh://me@nas/srv/dump", "ssh", "me@nas", "/srv/dump"),
        ("ssh://me:secret@nas:22/srv", "ssh", "me@nas", "/srv"),
        ("sftp://nas/srv", "ssh", "root@nas", "/srv"),
    ],
)
def test_targets_of_suse(savedir, kind, target, path):
    conf = suse(SAVEDIR=savedir).conf
    assert (conf.target_kind, conf.target, conf.path) == (kind, target, path)


@pytest.mark.parametrize(
    ("form", "compressor"),
    [("compressed", "zlib"), ("lzo", "lzo"), ("snappy", "snappy"), ("zstd", "zstd"), ("ELF", "none"), ("zip", "zstd")],
)
def test_formats_of_suse(form, compressor):
    found = suse(DUMPFORMAT=form)
    assert (found.conf.collector.compressor, found.conf.collector.level) == (compressor, 31)
    assert found.conf.collector.elf == (form == "ELF")
    assert found.conf.collector.threads == (0 if form == "ELF" else 32)
    assert bool(found.warnings) == (form == "zip")


def test_other_settings_of_suse():
    raw = suse(DUMPFORMAT="raw").conf.collector
    assert (raw.program, raw.level) == ("cat", 0)
    assert suse(DUMPLEVEL="17").conf.collector.level == 17
    assert suse(DUMPLEVEL="99").conf.collector.level == 0
    assert suse(DUMPLEVEL="many").conf.collector.level == 31
    assert (suse(CPUS="4").append, suse(CPUS="4").conf.collector.threads) == ("nr_cpus=4", 4)
    assert as_kdump_runs_it(suse(CPUS="0").conf.collector, 64).threads == 64
    assert suse(CPUS="4", COMMANDLINE_APPEND="panic=5").append == "panic=5 nr_cpus=4"
    assert (suse().conf.failure_action, suse().conf.final_action, suse().warnings) == ("reboot", "reboot", ())
    for off in ("no", "false", "0"):
        assert suse(IMMEDIATE_REBOOT=off).conf.final_action == "halt"
        assert suse(CONTINUE_ON_ERROR=off).conf.failure_action == "shell"
    assert "takes true" in suse(IMMEDIATE_REBOOT="never").warnings[0]
    assert suse().keep_free_bytes == FALL_BACKS["suse"].deletes_below_bytes == 64 << 20
    assert suse(FREE_DISK_SIZE="1000").keep_free_bytes == 1000 << 20
    assert suse(FREE_DISK_SIZE="0").keep_free_bytes == suse(SAVEDIR="nfs://nas/x").keep_free_bytes == 0


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"DUMPFORMAT": "none"}, "only the kernel log"),
        ({"SAVEDIR": "ftp://nas/crash"}, "not modelled"),
        ({"SAVEDIR": "crash"}, "not modelled"),
    ],
)
def test_what_suse_does_and_ksim_cannot(given, reason):
    with pytest.raises(NotModelled, match=reason):
        suse(**given)


@pytest.mark.parametrize("name", ["FTP", "KDUMP_COMMANDLINE", "KDUMP_TRANSFER", "MAKEDUMPFILE_COREDUMP_CMD"])
def test_nothing_is_left_out_in_silence(name):
    (remark,) = from_sysconfig(f"{name}=x\n").warnings
    assert remark.startswith(name)


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("# A=1\nexport B='2 3' # why\nnot an assignment\nB=4\nD=\n", {"B": "4", "D": ""}),
        ('C="$(reboot)"\n', {"C": "$(reboot)"}),
        ("A=1 B=2; C=3\n", {"A": "1", "B": "2", "C": "3"}),
        ("A=1 reboot -f\n", {}),
        ("A=a#b # don't\n", {"A": "a#b"}),
        ("A='one\ntwo'\nB=\"a \\\"b\\\"\"\n", {"A": "one\ntwo", "B": 'a "b"'}),
        ("A=x'y z'\"w\"\n", {"A": "xy zw"}),
    ],
)  # fmt: skip
def test_assignments_are_read_and_nothing_is_executed(text, variables):
    assert parse_sysconfig(text) == variables


def test_an_open_quote_is_an_error_with_its_line():
    with pytest.raises(LinuxError, match="line 2: a quote is never closed"):
        parse_sysconfig("A=1\nB='2\nC=3\n")


@given(st.text(max_size=200) | st.text("AB='\"\\#; \n$1", max_size=60))
def test_any_text_is_read_or_refused(text):
    for parse in (parse_kdump_conf, from_sysconfig):
        with contextlib.suppress(LinuxError):
            assert parse(text).warnings is not None


# ---------------------------------------------------------------- fadump


@pytest.mark.parametrize(
    ("line", "architecture", "on", "cma", "warns"),
    [
        ("fadump=on", "ppc64le", True, True, False),
        ("fadump=nocma", "ppc64le", True, False, False),
        ("fadump=off", "ppc64le", False, False, False),
        ("fadump=on fadump=off", "ppc64le", False, False, False),
        ("fadump=nocma fadump=on", "ppc64le", True, False, False),
        ("fadump=only", "ppc64", True, True, False),
        ("fadump=yes", "ppc64le", False, False, True),
        ("fadump", "ppc64le", False, False, True),
        ("fadump=on", "x86_64", False, False, True),
        ("fadump=off", "x86_64", False, False, False),
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
