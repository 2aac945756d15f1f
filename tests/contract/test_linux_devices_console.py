"""What disks, network cards and allocations print, against lines of real consoles. Facts, 2.5, 2.6 and 8.3."""

import pytest

from ksim.errors import LinuxError
from ksim.linux import netdev
from ksim.linux.console import devices
from ksim.linux.netdev import DRIVERS, driver, watchdog_timeo_s, watchdog_warns
from ksim.source import Param

# ---------------------------------------------------------------- disks


def test_a_failed_request():
    line = devices.io_error("sdb", 11282352128, "WRITE", 0x103000, prio=0)
    assert line == "I/O error, dev sdb, sector 11282352128 op 0x1:(WRITE) flags 0x103000 phys_seg 1 prio class 0"
    assert devices.io_error("sda", 440, "READ", 0x1200000) == (
        "I/O error, dev sda, sector 440 op 0x0:(READ) flags 0x1200000 phys_seg 1 prio class 2"
    )
    assert devices.io_error("sda", 8, "READ", 0x80700, 4, status="critical medium") == (
        "critical medium error, dev sda, sector 8 op 0x0:(READ) flags 0x80700 phys_seg 4 prio class 2"
    )


def test_a_failed_request_of_an_older_release():
    assert devices.io_error("sde", 11282352128, "WRITE", 0x103000, prio=0, release=(5, 14)) == (
        "blk_update_request: I/O error, dev sde, sector 11282352128 op 0x1:(WRITE) flags 0x103000 phys_seg 1 "
        "prio class 0"
    )


def test_unknown_words_are_refused_with_the_nearest():
    with pytest.raises(LinuxError, match="did you mean 'WRITE'"):
        devices.io_error("sda", 1, "WRITES", 0)
    with pytest.raises(LinuxError, match="did you mean 'critical medium'"):
        devices.io_error("sda", 1, "READ", 0, status="critical median")
    with pytest.raises(LinuxError, match="NVMe operation"):
        devices.nvme_timeout("nvme0", 1, 1, "DISCARD")


def test_a_failed_page():
    assert devices.buffer_io_error("sde1", 1410293760, True) == (
        "Buffer I/O error on dev sde1, logical block 1410293760, lost async page write"
    )
    assert (
        devices.buffer_io_error("loop0", 6, False) == "Buffer I/O error on dev loop0, logical block 6, async page read"
    )


def test_scsi():
    assert devices.scsi_failed(9, "DID_TIME_OUT", "DRIVER_OK", 83, "sdb", "3:0:0:0") == (
        "sd 3:0:0:0: [sdb] tag#9 FAILED Result: hostbyte=DID_TIME_OUT driverbyte=DRIVER_OK cmd_age=83s"
    )
    assert devices.scsi_offlined("3:0:0:0") == "sd 3:0:0:0: Device offlined - not ready after error recovery"
    assert devices.rejecting_offline("1:0:0:0") == "sd 1:0:0:0: rejecting I/O to offline device"


def test_nvme_today():
    assert devices.nvme_timeout("nvme1", 192, 1, "WRITE", 16384, cid=0x80C0) == (
        "nvme nvme1: I/O tag 192 (80c0) opcode 0x1 (I/O Cmd) QID 1 timeout, aborting req_op:WRITE(1) size:16384"
    )
    assert devices.nvme_timeout("nvme1", 192, 1, "WRITE", aborted=True, cid=0x80C0) == (
        "nvme nvme1: I/O tag 192 (80c0) opcode 0x1 (I/O Cmd) QID 1 timeout, reset controller"
    )
    assert devices.nvme_timeout("nvme0", 732, 1, "FLUSH", 0, cid=0x02DC) == (
        "nvme nvme0: I/O tag 732 (02dc) opcode 0x0 (I/O Cmd) QID 1 timeout, aborting req_op:FLUSH(2) size:0"
    )
    assert "tag 12 (100c) opcode 0x2 " in devices.nvme_timeout("nvme0", 12, 3)
    assert devices.nvme_removed("nvme0") == "nvme nvme0: Disabling device after reset failure: -19"


def test_nvme_of_older_releases():
    assert (
        devices.nvme_timeout("nvme0", 642, 1, release=(6, 1)) == "nvme nvme0: I/O 642 (I/O Cmd) QID 1 timeout, aborting"
    )
    assert devices.nvme_timeout("nvme0", 864, 1, aborted=True, release=(6, 1)) == (
        "nvme nvme0: I/O 864 QID 1 timeout, reset controller"
    )
    assert devices.nvme_timeout("nvme0", 161, 2, release=(5, 14)) == "nvme nvme0: I/O 161 QID 2 timeout, aborting"
    assert devices.nvme_removed("nvme0", -19, (6, 1)) == "nvme nvme0: Removing after probe failure status: -19"


# ---------------------------------------------------------------- network


@pytest.mark.parametrize("release", [(6, 1), (6, 6), (6, 8), (6, 12), (7, 3)])
def test_a_stopped_queue_is_a_line_and_no_warning(release):
    assert devices.netdev_watchdog("eth0", "e1000e", 2, 0, 5120, release) == (
        "e1000e 0000:00:1f.6 eth0: NETDEV WATCHDOG: CPU: 2: transmit queue 0 timed out 5120 ms"
    )
    assert not watchdog_warns(release)


def test_a_stopped_queue_was_a_warning():
    assert devices.netdev_watchdog("eth0", "e1000e", 2, 0, 5120, (6, 5)) == (
        "NETDEV WATCHDOG: eth0 (e1000e): transmit queue 0 timed out 5120 ms"
    )
    assert devices.netdev_watchdog("eth0", "e1000e", 2, 0, 5120, (5, 14)) == (
        "NETDEV WATCHDOG: eth0 (e1000e): transmit queue 0 timed out"
    )
    assert watchdog_warns((5, 14))
    assert watchdog_warns((6, 7))


@pytest.mark.parametrize(
    ("module", "dev", "bus", "mbps", "down", "up"),
    [
        ("e1000e", "eth2", "0002:01:00.0", 1000, "e1000e 0002:01:00.0 eth2: NIC Link is Down",
         "e1000e 0002:01:00.0 eth2: NIC Link is Up 1000 Mbps Full Duplex, Flow Control: None"),
        ("igb", "enp0s2", "0000:00:02.0", 1000, "igb 0000:00:02.0 enp0s2: igb: enp0s2 NIC Link is Down",
         "igb 0000:00:02.0 enp0s2: igb: enp0s2 NIC Link is Up 1000 Mbps Full Duplex, Flow Control: None"),
        ("ixgbe", "eth1", "0000:03:00.1", 10000, "ixgbe 0000:03:00.1 eth1: NIC Link is Down",
         "ixgbe 0000:03:00.1 eth1: NIC Link is Up 10 Gbps, Flow Control: None"),
        ("tg3", "eth1", "0000:02:01.0", 1000, "tg3 0000:02:01.0 eth1: Link is down",
         "tg3 0000:02:01.0 eth1: Link is up at 1000 Mbps, full duplex"),
        ("bnx2", "eth0", "0000:03:00.0", 1000, "bnx2 0000:03:00.0 eth0: NIC Copper Link is Down",
         "bnx2 0000:03:00.0 eth0: NIC Copper Link is Up, 1000 Mbps full duplex"),
        ("mlx5_core", "enp1s0f0np0", "0000:01:00.0", 25000, "mlx5_core 0000:01:00.0 enp1s0f0np0: Link down",
         "mlx5_core 0000:01:00.0 enp1s0f0np0: Link up"),
    ],
)  # fmt: skip
def test_links(module, dev, bus, mbps, down, up):
    assert devices.link_down(dev, module, bus) == down
    assert devices.link_up(dev, module, mbps, bus) == up


def test_links_that_nobody_prints():
    with pytest.raises(LinuxError, match="prints no line"):
        devices.link_down("eth0", "virtio_net")
    with pytest.raises(LinuxError, match="did you mean 'ixgbe'"):
        devices.link_up("eth0", "ixgb")


def test_drivers():
    assert {name: watchdog_timeo_s(name) for name in DRIVERS} == {
        "e1000e": 5.0, "igb": 5.0, "ixgbe": 5.0, "tg3": 5.0, "bnx2": 5.0, "mlx5_core": 15.0, "virtio_net": 5.0,
    }  # fmt: skip
    assert {name: (found.rx_ring, found.tx_ring) for name, found in DRIVERS.items()} == {
        "e1000e": (256, 256), "igb": (256, 256), "ixgbe": (512, 512), "tg3": (200, 511), "bnx2": (255, 255),
        "mlx5_core": (1024, 1024), "virtio_net": (256, 256),
    }  # fmt: skip
    assert [name for name, found in DRIVERS.items() if not found.resets] == ["virtio_net"]
    assert all(found.source.locator for found in DRIVERS.values())
    with pytest.raises(LinuxError, match="did you mean 'mlx5_core'"):
        driver("mlx5")


def test_numbers_of_the_network_core():
    found = {name: value for name, value in vars(netdev).items() if isinstance(value, Param)}
    assert [found[name].value for name in ("NAPI_WEIGHT", "NETDEV_BUDGET", "NETDEV_BUDGET_USECS")] == [64, 300, 2000]
    assert (found["RESET_S"].low, found["RESET_S"].high) == ("1 s", "10 s")
    assert [name for name, param in found.items() if param.source.is_assumed] == ["RESET_S"]


# ---------------------------------------------------------------- memory


def test_a_failed_allocation():
    assert devices.page_allocation_failure("swapper/0", 5, 0xCC1, "GFP_KERNEL|GFP_DMA") == (
        "swapper/0: page allocation failure: order:5, mode:0xcc1(GFP_KERNEL|GFP_DMA), nodemask=(null),cpuset=/,"
        "mems_allowed=0"
    )
    assert devices.page_allocation_failure("kworker/u4:4", 0, 0x40A20, "GFP_ATOMIC|__GFP_COMP", "0-1") == (
        "kworker/u4:4: page allocation failure: order:0, mode:0x40a20(GFP_ATOMIC|__GFP_COMP), nodemask=(null),cpuset=/,"
        "mems_allowed=0-1"
    )
