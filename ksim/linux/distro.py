"""What distributions set on x86-64 before anybody changes anything (first form: two settings of each).

A profile is the bottom layer under a scenario's own command line and sysctls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ksim.source import Source, assumed


@dataclass(frozen=True, slots=True)
class Profile:
    """Defaults of one distribution: its ``crashkernel=`` and its panic sysctls."""

    crashkernel: str
    sysctl: Mapping[str, int]
    source: Source


_RHEL_OOPS = {"kernel.panic_on_oops": 1}

PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        "upstream": Profile("", {}, Source("Linux kernel Kconfig defaults")),
        "rhel8": Profile(
            "crashkernel=1G-4G:160M,4G-64G:192M,64G-1T:256M,1T-:512M",
            _RHEL_OOPS,
            Source("RHEL 8 documentation; kdump-utils 1813189 (crashkernel=auto written out)"),
        ),
        "rhel9": Profile(
            "crashkernel=1G-4G:192M,4G-64G:256M,64G-:512M",
            _RHEL_OOPS,
            Source("kdump-utils 34d27c4 (2021-11); panic_on_oops=1 from kernel sysctl docs of RHEL"),
        ),
        "rhel10": Profile("crashkernel=2G-64G:256M,64G-:512M", _RHEL_OOPS, Source("kdump-utils fe18f93 (2025-03)")),
        "debian12": Profile(
            "crashkernel=384M-:128M", _RHEL_OOPS, Source("kdump-tools 1.8.1, which sets panic_on_oops")
        ),
        "debian13": Profile("crashkernel=512M-:192M", _RHEL_OOPS, Source("kdump-tools 1.10, which sets panic_on_oops")),
        "ubuntu24.10": Profile(
            "crashkernel=2G-4G:320M,4G-32G:512M,32G-64G:1024M,64G-128G:2048M,128G-:4096M",
            _RHEL_OOPS,
            Source("command lines of 6.11 Ubuntu kernels; kdump-tools sets panic_on_oops"),
        ),
        "sles15": Profile(
            "crashkernel=219M,high crashkernel=72M,low",
            {},
            assumed("kdumptool calibrates per machine: this is its answer on 768 GB (harvester issue 1357)"),
        ),
    }
)
