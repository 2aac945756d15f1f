"""Layers of a scenario: who wins, whose path is meant, and which scenarios are the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from ksim.model.loader import load
from ksim.units import YEAR_S
from tests.contract.scenario_files import message, write


def test_a_chain_of_files_wins_from_the_inside_out(tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    write(
        tmp_path, 'extends = "vm"\nseed = 1\nreplications = 11\nhorizon = "1 y"\n[host]\ncpus = 2\n', "deeper/in.toml"
    )
    write(tmp_path, 'extends = "deeper/in.toml"\nseed = 2\nreplications = 22\n', "mid.toml")
    top = write(tmp_path, 'extends = "mid.toml"\nseed = 3\n', "top.toml")
    scenario = load(top).scenario
    assert (scenario.seed, scenario.replications, scenario.horizon) == (3, 22, YEAR_S)
    assert scenario.host.cpus == 2
    assert scenario.host.memory == 4 * 2**30, "from the base"
    assert scenario.name == "top"
    assert load(top, ["seed=4"]).scenario.seed == 4
    assert load(top, ["seed=4", "seed=5"], seed=6).scenario.seed == 6
    assert load(top, ["seed=4", "seed=5"]).scenario.seed == 5


def test_a_relative_path_starts_at_the_file_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    write(tmp_path, 'extends = "vm"\nseed = 1\n', "a/base.toml")
    top = write(tmp_path, 'extends = "base.toml"\n', "a/top.toml")
    write(tmp_path, 'extends = "vm"\nseed = 2\n', "base.toml")
    monkeypatch.chdir(tmp_path)
    assert load(top).scenario.seed == 1
    assert load("a/top.toml").scenario.seed == 1


def test_a_file_beats_a_base_of_the_same_name_where_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load("vm").scenario.seed == 7
    write(tmp_path, 'extends = "rack-server"\nseed = 99\n', "vm")
    assert load("vm").scenario.seed == 99
    (tmp_path / "sub").mkdir()
    top = write(tmp_path, 'extends = "vm"\n', "sub/top.toml")
    assert load(top).scenario.seed == 7, "the vm of another folder is none of its business"
    write(tmp_path, 'extends = "rack-server"\nseed = 98\n', "sub/vm")
    monkeypatch.chdir("/")
    assert load(top).scenario.seed == 98
    (tmp_path / "large-memory").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load("large-memory").scenario.name == "large-memory", "a folder is no scenario"


def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    write(tmp_path, 'extends = "vm"\nseed = 5\n', "real/base.toml")
    write(tmp_path, 'extends = "base.toml"\n', "real/top.toml")
    (tmp_path / "link.toml").symlink_to("real/top.toml")
    assert load(str(tmp_path / "link.toml")).scenario.seed == 5
    (tmp_path / "loop.toml").symlink_to("loop.toml")
    assert "cannot read" in message(str(tmp_path / "loop.toml"))


def test_tables_merge_key_by_key_and_shares_as_a_whole(tmp_path: Path) -> None:
    top = write(tmp_path, 'extends = "rack-server"\n[host.boot]\nfirmware = "9 s"\n[linux.sysctl]\nkernel.panic = 5\n')
    scenario, base = load(top).scenario, load("rack-server").scenario
    assert scenario.host.boot.firmware.mean == 9.0
    assert scenario.host.boot.kernel == base.host.boot.kernel
    assert scenario.linux.sysctl == {**base.linux.sysctl, "kernel.panic": 5}
    assert load("vm", ["recovery.severity={journal=1.0}"]).scenario.recovery.severity.fsck == 0.0


@pytest.mark.parametrize(
    "key", ['linux.sysctl."kernel.panic"', "linux.sysctl.kernel.panic", "linux.sysctl.'kernel.panic'"]
)
@pytest.mark.parametrize("value", ["5", '"5"', "' 5'", "0x5"])
def test_sysctls_on_the_command_line(key: str, value: str) -> None:
    assert int(load("vm", [f"{key}={value}"]).scenario.linux.sysctl["kernel.panic"]) == 5


def test_a_fault_table_of_its_own_name_has_a_kind(tmp_path: Path) -> None:
    top = write(tmp_path, 'extends = "vm"\n[faults.bad_disk]\nkind = "kernel_oops"\nrate = "1 /y"\n')
    loaded = load(top)
    assert loaded.scenario.faults["bad_disk"].rate * YEAR_S == pytest.approx(1.0)
    assert "faults.bad_disk.detect" in loaded.params
    assert "faults.bad_disk.rate" not in loaded.params


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("host.memory=4 GiB", "host.memory=4096 MiB"),
        ("horizon=365 d", "horizon=1 y"),
        ("faults.kernel_oops.rate=365 /y", "faults.kernel_oops.rate=1 /d"),
        ("host.disk_write=1 GB/s", "host.disk_write=1000 MB/s"),
        ("kexec.jump=lognormal(mean=60 s, sigma=0)", "kexec.jump=1 min"),
        ("kexec.jump=exponential(mean=60 s)", "kexec.jump= exponential( mean = 1 min ) "),
        ("kexec.jump=empirical(1 s, 2 s)", "kexec.jump=empirical(2 s, 1 s)"),
        ("linux.sysctl.kernel.panic=5", 'linux.sysctl.kernel.panic="5"'),
        ("host.watchdog=60 s", "host.watchdog=1 min"),
        ("kexec.failed=0", "kexec.failed=0 s"),
        ("capture.success=1", "capture.success=1.0"),
    ],
)
def test_the_same_value_otherwise_written_has_the_same_digest(one: str, other: str) -> None:
    assert load("vm", [one]).scenario.digest() == load("vm", [other]).scenario.digest()
    assert load("vm", [one]).scenario.digest() != load("vm", ["host.cpus=63"]).scenario.digest()


def test_keys_that_came_later_leave_older_digests_as_they_are() -> None:
    """The digest of a published manifest is that of the same scenario today; another value is another scenario."""
    later = {"thread_rate": "70 MB/s", "plateau": "1 GB/s", "struct_page": "56 B", "read_scan": "1.0",
             "read_doubles_at": "8 TiB"}  # fmt: skip
    plain = load("vm").scenario
    assert not set(later) & set(plain.resolved()["capture"])
    for key, value in later.items():
        changed = load("vm", [f"capture.{key}={value}"]).scenario
        assert set(changed.resolved()["capture"]) - set(plain.resolved()["capture"]) == {key}
        assert changed.digest() != plain.digest()
        usual = plain.model_dump(mode="json")["capture"][key]
        assert load("vm", [f"capture.{key}={usual}"]).scenario.digest() == plain.digest()


def test_the_digest_sees_every_change_and_survives_a_round_trip() -> None:
    changes = ["seed=8", "name=x", "confidence=0.9", "replications=3", "horizon=9 y", "kdump.nfs=a:/b", "host.bmc=1 h",
               "faults.kernel_oops.shape=0.9", "workload.pages={kernel=1.0}", "linux.cmdline=quiet"]  # fmt: skip
    digests = {load("vm", [change]).scenario.digest() for change in changes} | {load("vm").scenario.digest()}
    assert len(digests) == len(changes) + 1


# ---------------------------------------------------------------- --set


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "KEY=VALUE"),
        ("=", "KEY=VALUE"),
        ("=3", "KEY=VALUE"),
        (" =3", "KEY=VALUE"),
        ("seed", "KEY=VALUE"),
        ("seed=", "integer"),
        ("[seed]=3", "is no key"),
        ("a b=3", "is no key"),
        ("ключ=3", "is no key"),
        ("a\nb=3", "is no key"),
        (".seed=3", "is no key"),
        ("." * 9999 + "=3", "is no key"),
        ("a." * 9999 + "a=3", "is no key"),
        ("seed=\udcff", "UTF-8"),
        ("seed=" + "9" * 5000, "integer"),
        ("seed=" + "[" * 5000, "integer"),
        ("seed=" + "[" * 50 + "]" * 50, "integer"),
        ("seed=1\nname='x'", "integer"),
        ("seed=1 # two = 3\nx=4", "integer"),
        ("extends=vm", "in place of this one"),
        ("seed.x=3", "integer"),
        ("host=3", "table"),
        ("lifecycle={}", "base"),
        ("linux.sysctl.kernel.panic.x=3", "unknown sysctl 'kernel.panic.x'"),
        ("faults.kernel_oops.rate=1 /y # now", "not a rate"),
    ],
)
def test_overrides_that_are_refused(text: str, expected: str) -> None:
    assert expected in message("vm", text)


def test_overrides_that_are_taken() -> None:
    assert load("vm", ["seed = 3 # a comment"]).scenario.seed == 3
    assert load("vm", ['"seed"=3']).scenario.seed == 3
    assert load("vm", ["name=日本 é"]).scenario.name == "日本 é"
    assert load("vm", ['host={cpus=3, memory="2 GiB"}']).scenario.host.cpus == 3
    assert load("vm", ['linux.cmdline=panic=3 crashkernel=256M quiet="a b"']).scenario.linux.cmdline.endswith('"a b"')
    assert load("vm", ["kdump.path=/1"]).scenario.kdump.path == "/1"
    assert load("vm", ["kernel.panic=3", "vm.panic_on_oom=1"]).scenario.linux.sysctl["vm.panic_on_oom"] == 1
