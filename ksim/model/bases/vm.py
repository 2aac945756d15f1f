"""A virtual machine with 4 GB: no POST to speak of, so there is nothing for kexec to skip."""

from ksim.model.base import Base, measured
from ksim.source import Param, Source, assumed

VM = ("vm",)

BASE = Base(
    name="vm",
    summary="virtual machine, 4 CPUs, 4 GB, RHEL-like",
    faults=("kernel_oops", "kernel_hang", "machine_check", "hardware_repair", "host_pause"),
    values={
        "host.cpus": Param(4, "1", "1", "16", assumed("a common size")),
        "host.memory": Param("4 GiB", "B", "2 GiB", "16 GiB", assumed("a common size")),
        "host.boot.firmware": measured(VM, "firmware"),
        "host.boot.loader": measured(VM, "loader"),
        "host.boot.kernel": measured(VM, "kernel"),
        "host.boot.initrd": measured(VM, "initrd"),
        "host.boot.userspace": measured(VM, "userspace"),
        "capture.boot": Param(
            "lognormal(mean=8 s, sigma=0.4)", "s", "3 s", "20 s", assumed("few devices to probe"),
            "from the panic to makedumpfile",
        ),
        "kexec.success": Param(0.97, "1", "0.8", "0.999", assumed("virtual devices reset well"), "P(it works)"),
        "linux.sysctl": Param(
            {"kernel.panic": 10, "kernel.softlockup_panic": 1},
            "", "", "",
            Source("settings that Kubernetes asks of its nodes (kernel.panic=10), soft lockups set to panic"),
            "sysctls of the guest",
        ),
        "host.hypervisor": Param(
            "kvm", "", "", "",
            Source("Linux Documentation/admin-guide/lockup-watchdogs.rst", "no perf NMI watchdog in KVM guests"),
            "where it runs",
        ),
        "faults.machine_check.rate": Param(
            "0.02 /y", "1/y", "0.01 /y", "0.5 /y", assumed("resets of a guest by faults of its host"),
            "strikes per year"
        ),
        "faults.machine_check.resets": Param(1.0, "1", "0", "1", assumed("the host resets the guest"), "P(reset)"),
        "faults.hardware_repair.rate": Param(
            "0.01 /y", "1/y", "0.005 /y", "0.1 /y",
            Source("Vishwanath, Nagappan, SoCC 2010", "host incidents, one in eight felt by a given guest"),
            "stops of the host under the guest, per year",
        ),
        "faults.hardware_repair.repair": Param(
            "lognormal(mean=600 s, sigma=0.8)", "s", "60 s", "3600 s", assumed("restart on another host"),
            "until the guest runs elsewhere",
        ),
        "faults.host_pause.rate": Param(
            "12 /y", "1/y", "1 /y", "50 /y", assumed("about one live migration a month"), "migrations per year"
        ),
    },
)  # fmt: skip
