"""An 8-socket database host with 6 TB: POST, dump and the load of the database all take their time."""

from ksim.model.base import Base, measured
from ksim.source import Param, Source, assumed

LARGE = ("large-server",)

BASE = Base(
    name="large-memory",
    summary="database host, 8 sockets, 6 TB, RHEL-like",
    faults=("kernel_oops", "kernel_hang", "machine_check", "hardware_repair"),
    values={
        "host.cpus": Param(448, "1", "96", "896", Source("an 8-socket machine of the boot data has 448 CPUs")),
        "host.memory": Param("6 TB", "B", "2 TB", "32 TB", assumed("a large database host")),
        "host.boot.firmware": Param(
            "lognormal(median=1100 s, sigma=0.4)", "s", "600 s", "3600 s",
            Source("systemd-centos-ci PR 662 (over 15 min); Gorman and Zimmer, LKML 2013-15", "memory training"),
            "POST and memory training",
        ),
        "host.boot.loader": measured(("rack-server", "large-server"), "loader"),
        "host.boot.kernel": measured(LARGE, "kernel"),
        "host.boot.initrd": measured(LARGE, "initrd"),
        "host.boot.userspace": measured(LARGE, "userspace"),
        "host.boot.application": Param(
            "lognormal(mean=1800 s, sigma=0.5)", "s", "600 s", "5400 s",
            Source("AWS for SAP blog, HANA Fast Restart; Google Cloud blog 2020-08-06", "10 to 60 min and more"),
            "load of the database into memory",
        ),
        "host.disk_write": Param("2 GB/s", "B/s", "500 MB/s", "5 GB/s", assumed("NVMe"), "local dump target"),
        "capture.boot": Param(
            "lognormal(mean=60 s, sigma=0.4)", "s", "30 s", "180 s", assumed("many HBAs and LUNs to probe"),
            "from the panic to makedumpfile",
        ),
        "capture.success": Param(
            0.85, "1", "0.5", "0.98", assumed("larger machines, more that can go wrong"), "P(the capture works)"
        ),
        "capture.timeout": Param(
            "7200 s", "s", "1800 s", "43200 s", assumed("sites raise it with the memory"), "a dump is given up"
        ),
        "capture.memory.modules": Param(
            "80 MiB", "B", "28 MiB", "200 MiB", assumed("more drivers than on a small machine"), "modules, loaded"
        ),
        "capture.memory.initramfs": Param(
            "90 MiB", "B", "39 MiB", "200 MiB", assumed("more drivers than on a small machine"), "kdump initramfs"
        ),
        "kexec.success": Param(0.90, "1", "0.7", "0.99", assumed("more devices left in odd states"), "P(it works)"),
        "linux.sysctl": Param(
            {"kernel.panic": 10, "kernel.softlockup_panic": 1, "kernel.hardlockup_panic": 1},
            "", "", "",
            Source("settings that Kubernetes asks of its nodes (kernel.panic=10), lockups set to panic"),
            "sysctls of the host",
        ),
        "faults.machine_check.rate": Param(
            "0.15 /y", "1/y", "0.05 /y", "0.5 /y",
            Source("Schroeder et al., SIGMETRICS 2009", "scaled by the number of DIMMs, less what RAS absorbs"),
            "fatal memory and CPU errors per year",
        ),
        "faults.hardware_repair.rate": Param(
            "0.25 /y", "1/y", "0.1 /y", "0.6 /y", Source("LANL failure data LA-UR-05-7318", "larger nodes fail more"),
            "incidents per year",
        ),
        "faults.hardware_repair.repair": Param(
            "lognormal(mean=8 h, sigma=1.25)", "s", "1 h", "24 h",
            Source("LANL failure data LA-UR-05-7318", "lognormal, sigma 1.25"), "until the host is back in service",
        ),
    },
)  # fmt: skip
