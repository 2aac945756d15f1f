"""What a scenario may say about Linux itself, under its real names: ``[linux]``, ``[kdump]`` and ``[capture]``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pydantic import model_validator

from ksim.errors import LinuxError, nearest
from ksim.linux.distro import PROFILES
from ksim.linux.kdump_conf import SWITCHES, KdumpConf, from_items
from ksim.linux.makedumpfile import PLATEAU, READ_DOUBLES_AT, READ_SCAN, SCAN, STRUCT_PAGE
from ksim.linux.sysctl import parse_release, settings
from ksim.model.fields import (
    Bytes,
    BytesOrNone,
    BytesPerSecond,
    BytesPerSecondOrNone,
    LawText,
    Number,
    Probability,
    Seconds,
    SecondsOrNone,
    SysctlValue,
    Table,
    field_of,
    param,
)
from ksim.source import ENGINEERING, Source, assumed

KDUMP_UTILS = Source("rhkdump/kdump-utils", "gen-kdump-sysconfig.sh, kdump.conf.5")
ESTIMATE = Source("rhkdump/kdump-utils kdumpctl, do_estimate", "Oracle Linux 9 documentation prints these sizes")
MAX_CMDLINE = 2048
"""COMMAND_LINE_SIZE of x86; Linux cuts off the rest."""


class Linux(Table):
    """Real settings under their real names."""

    release: str = param(
        "6.12", "", "5.14", "7.3", Source("Linux kernel releases"),
        "kernel version: oops_limit exists since 6.1, softlockup_panic counts since 7.0",
    )  # fmt: skip
    distro: str = param("rhel9", "", "", "", Source("distribution packages"), "defaults of crashkernel= and sysctls")
    cmdline: str = param("", "", "", "", Source("Linux Documentation/admin-guide/kernel-parameters.txt"))
    sysctl: dict[str, SysctlValue] = param({}, "", "", "", Source("Linux Documentation/admin-guide/sysctl/kernel.rst"))

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, data: Any) -> Any:
        """``sysctl.kernel.panic = 10`` written with dots is the same as with quotes."""
        if isinstance(data, Mapping) and isinstance(data.get("sysctl"), Mapping):
            flat: dict[str, Any] = {}
            for key, value in data["sysctl"].items():
                if isinstance(value, Mapping):
                    flat |= {f"{key}.{inner}": v for inner, v in value.items()}
                else:
                    flat[key] = value
            return {**data, "sysctl": flat}
        return data

    @model_validator(mode="after")
    def _known(self) -> Linux:
        if self.distro not in PROFILES:
            known = ", ".join(PROFILES)
            raise ValueError(f"distro: unknown '{self.distro}'{nearest(self.distro, PROFILES)} (known: {known})")
        if len(self.cmdline) > MAX_CMDLINE:
            raise ValueError(f"cmdline: at most {MAX_CMDLINE} characters, got {len(self.cmdline)}")
        checks: dict[str, Callable[[], object]] = {
            "release": partial(parse_release, self.release),
            **{f"sysctl.{key}": partial(self._setting, key) for key in self.sysctl},
        }
        for name, check in checks.items():
            try:
                check()
            except LinuxError as error:
                raise ValueError(f"{name}: {error}") from None
        return self

    def _setting(self, key: str) -> object:
        return settings(self.cmdline, {key: self.sysctl[key]}, parse_release(self.release))


def _directive(what: str) -> str:
    text: str = param("", "", "", "", KDUMP_UTILS, what)
    return text


class Kdump(Table):
    """Directives and values as in /etc/kdump.conf, all of them; empty: not given."""

    core_collector: str = _directive("filter, compressor, threads; empty: the distribution's")
    failure_action: str = _directive("what the capture kernel does without a dump; empty: reboot")
    default: str = _directive("old name of failure_action")
    final_action: str = _directive("and with one; empty: reboot")
    nfs: str = _directive("HOST:/EXPORT: the dump goes over the network")
    ssh: str = _directive("USER@HOST: the dump goes over the network, as a flattened stream")
    raw: str = _directive("a device: the dump is written onto it, as a flattened stream")
    ext2: str = _directive("a device with that file system")
    ext3: str = _directive("a device with that file system")
    ext4: str = _directive("a device with that file system")
    minix: str = _directive("a device with that file system")
    btrfs: str = _directive("a device with that file system")
    xfs: str = _directive("a device with that file system")
    virtiofs: str = _directive("a tag of virtiofs")
    fence_kdump_nodes: str = _directive("cluster peers that are told of the dump, so that nobody fences the host")
    path: str = _directive("directory of the dump")
    sshkey: str = _directive("key of an ssh target")
    kdump_pre: str = _directive("program before the dump")
    kdump_post: str = _directive("program after the dump")
    kdump_emergency: str = _directive("program before failure_action")
    extra_bins: str = _directive("more programs in the initramfs")
    extra_modules: str = _directive("more modules in the initramfs")
    dracut_args: str = _directive("options of dracut")
    force_rebuild: str = _directive("0 or 1")
    force_no_rebuild: str = _directive("0 or 1")
    auto_reset_crashkernel: str = _directive("yes or no")
    fence_kdump_args: str = _directive("options of fence_kdump_send")

    @model_validator(mode="before")
    @classmethod
    def _whole_numbers(cls, data: Any) -> Any:
        """``force_rebuild = 1`` needs no quotes in TOML either."""
        if isinstance(data, Mapping):
            return {key: str(v) if type(v) is int and key in SWITCHES else v for key, v in data.items()}
        return data

    @model_validator(mode="after")
    def _possible(self) -> Kdump:
        for name, value in self.given().items():
            if len(value) > MAX_CMDLINE:
                raise ValueError(f"{name}: at most {MAX_CMDLINE} characters, got {len(value)}")
        try:
            from_items(self.given())
        except LinuxError as error:
            raise ValueError(str(error)) from None
        return self

    def given(self) -> dict[str, str]:
        """The directives that are there, in the order of the schema."""
        return {name: value for name in type(self).model_fields if (value := getattr(self, name))}

    @property
    def conf(self) -> KdumpConf:
        """The same, as kdump reads it."""
        return from_items(self.given())


class Memory(Table):
    """What the capture kernel needs, by the parts that kdumpctl estimates; it is killed by its own OOM below that."""

    kernel: Bytes = param("54 MiB", "B", "30 MiB", "80 MiB", ESTIMATE, "kernel image")
    modules: Bytes = param("28 MiB", "B", "8 MiB", "80 MiB", ESTIMATE, "modules in the kdump initramfs, loaded")
    initramfs: Bytes = param("39 MiB", "B", "20 MiB", "90 MiB", ESTIMATE, "kdump initramfs; needed three times over")
    runtime: Bytes = param(
        "16 MiB", "B", "16 MiB", "64 MiB", Source("rhkdump/kdump-utils kdumpctl", "16 MiB; 64 MiB in older versions"),
        "what runs in the capture kernel",
    )  # fmt: skip
    luks: Bytes = param("0 B", "B", "0 B", "1 GiB", KDUMP_UTILS, "keyslot memory of an encrypted dump target")
    sigma: Number = param(
        0.1, "1", "0", "0.4", assumed("devices, drivers and luck; nobody measured the spread"),
        "lognormal sigma of the need around that sum",
    )  # fmt: skip

    @model_validator(mode="after")
    def _possible(self) -> Memory:
        if not 0.0 <= self.sigma <= 2.0:
            raise ValueError(f"sigma: expected 0 to 2, got {self.sigma}")
        if self.kernel < 2**20:
            raise ValueError("kernel: a kernel image has at least 1 MiB")
        return self


class Capture(Table):
    """The capture (crash) kernel at work."""

    append: str = param(
        "", "", "", "", KDUMP_UTILS,
        "KDUMP_COMMANDLINE_APPEND: nr_cpus= and panic= of the capture kernel, over the distribution's",
    )  # fmt: skip
    boot: LawText = param(
        "lognormal(mean=30 s, sigma=0.4)", "s", "10 s", "90 s",
        Source("rhkdump/kdump-utils pull request 125", "kdump.sh at 30 to 42 s of uptime"),
        "from the panic to makedumpfile",
    )  # fmt: skip
    success: Probability = param(
        0.90, "1", "0.6", "0.99", assumed("no measurement of kdump's success rate was ever published"),
        "P(the capture kernel comes up and can write), given a large enough crashkernel=",
    )  # fmt: skip
    failed: LawText = param(
        "120 s", "s", "10 s", "600 s", assumed("panic=10 of the capture kernel at best, network timeouts at worst"),
        "time lost to a failed capture before its consequence",
    )  # fmt: skip
    hangs: Probability = param(
        0.2, "1", "0", "0.8", assumed("devices that are not reset, bad checksum of the image; nobody counted"),
        "P(a failed capture hangs silently instead of taking the failure_action)",
    )  # fmt: skip
    memory: Memory = Memory()
    target_wait: LawText = param(
        "lognormal(mean=20 s, sigma=0.6)", "s", "5 s", "120 s",
        assumed("link, DHCP and route of a network target; a local one is there after the boot"),
        "until a network target answers",
    )  # fmt: skip
    target_lost: Probability = param(
        0.02, "1", "0", "0.3", assumed("switch ports, routes and credentials that nobody tests in a capture kernel"),
        "P(a network target never answers: 600 s, then the failure_action)",
    )  # fmt: skip
    feeds_watchdog: bool = param(
        True, "", "", "", Source("rhkdump/kdump-utils module-setup.sh", "the watchdog module in use is included"),
        "whether the capture kernel feeds a hardware watchdog",
    )  # fmt: skip
    scan_per_tib: Seconds = field_of(SCAN)
    thread_rate: BytesPerSecondOrNone = param(
        "none", "B/s", "13 MB/s", "2 GB/s", Source("ksim/linux/makedumpfile.py, COMPRESSORS", "each with its source"),
        "input that one thread of makedumpfile reads and compresses per second; none: by compressor",
    )  # fmt: skip
    plateau: BytesPerSecond = field_of(PLATEAU)
    struct_page: Bytes = field_of(STRUCT_PAGE)
    read_scan: Number = field_of(READ_SCAN)
    read_doubles_at: BytesOrNone = field_of(READ_DOUBLES_AT)
    dump_sigma: Number = param(
        0.8, "1", "0", "1.2", assumed("spread of dump times between crashes of one host"),
        "lognormal sigma of the dump time around the makedumpfile model",
    )  # fmt: skip
    timeout: SecondsOrNone = param(
        "1800 s", "s", "300 s", "7200 s",
        Source("rhkdump/kdump-utils pull request 93; bloomberg/chef-bach pull request 1295", "sites set 1800 s"),
        "a dump that takes longer is given up (failure_action)",
    )  # fmt: skip
    finish: LawText = param("3 s", "s", "1 s", "10 s", ENGINEERING, "sync, logs, final_action")

    def added_later(self) -> set[str]:
        """Keys that came after results were published, where they stand at what was then the only way: digests of
        older results hold. Another default needs another MODEL_VERSION."""
        keys = ("thread_rate", "plateau", "struct_page", "read_scan", "read_doubles_at")
        usual = type(self)()
        return {key for key in keys if getattr(self, key) == getattr(usual, key)}

    @model_validator(mode="after")
    def _possible(self) -> Capture:
        if not 0.0 <= self.dump_sigma <= 4.0:
            raise ValueError(f"dump_sigma: expected 0 to 4, got {self.dump_sigma}")
        if len(self.append) > MAX_CMDLINE:
            raise ValueError(f"append: at most {MAX_CMDLINE} characters, got {len(self.append)}")
        for name in ("thread_rate", "plateau"):
            rate = getattr(self, name)
            if rate is not None and rate < 1000.0:
                raise ValueError(f"{name}: expected at least 1 kB/s, got {rate:g} B/s")
        if not 1 <= self.struct_page <= 4096:
            raise ValueError(f"struct_page: expected 1 to 4096 B, got {self.struct_page} B")
        if not 0.01 <= self.read_scan <= 100.0:
            raise ValueError(f"read_scan: expected 0.01 to 100, got {self.read_scan}")
        if self.read_doubles_at is not None and self.read_doubles_at < 2**20:
            raise ValueError(f"read_doubles_at: expected at least 1 MiB, got {self.read_doubles_at} B")
        return self
