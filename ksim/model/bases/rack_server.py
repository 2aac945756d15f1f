"""A 2-socket rack server with 256 GB, RHEL-like: the host that the general defaults describe."""

from ksim.model.base import Base, measured
from ksim.source import Param, Source, assumed

RACK = ("rack-server",)
SERVERS = ("rack-server", "large-server")

BASE = Base(
    name="rack-server",
    summary="2-socket rack server, 256 GB, RHEL-like",
    faults=("kernel_oops", "kernel_hang", "machine_check", "hardware_repair"),
    values={
        "host.memory": Param("256 GB", "B", "64 GB", "1 TB", assumed("a common size of two sockets")),
        "host.boot.loader": measured(SERVERS, "loader"),
        "host.boot.kernel": measured(RACK, "kernel"),
        "host.boot.initrd": measured(RACK, "initrd"),
        "host.boot.userspace": measured(RACK, "userspace"),
        "linux.sysctl": Param(
            {"kernel.panic": 10, "kernel.softlockup_panic": 1, "kernel.hardlockup_panic": 1},
            "",
            "",
            "",
            Source("settings that Kubernetes asks of its nodes (kernel.panic=10), lockups set to panic"),
            "sysctls of the host",
        ),
    },
)
