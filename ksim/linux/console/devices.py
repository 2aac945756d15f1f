"""What failing disks, network cards and allocations print, in the words of the release: one function per line.

Lines without prefix. Follows block/blk-mq.c, fs/buffer.c, drivers/scsi/{scsi_logging,scsi_error,scsi_lib}.c,
drivers/nvme/host/pci.c, net/sched/sch_generic.c, the network drivers and mm/page_alloc.c (warn_alloc).
"""

from __future__ import annotations

from collections.abc import Mapping

from ksim.errors import LinuxError, nearest
from ksim.linux import netdev
from ksim.linux.vocabulary import Release

NO_CALLER_SINCE: Release = (5, 17)
"""Before, a failed request began with the function that saw it: ``blk_update_request: I/O error, ...``."""
NVME_ABORT_NAMES_OPCODE_SINCE: Release = (6, 1)
NVME_TAG_SINCE: Release = (6, 8)
"""The long form of both lines: 6.12 has it, 6.6 does not; its first release is not confirmed."""
NVME_DISABLES_SINCE: Release = (6, 2)

OPS: Mapping[str, int] = {"READ": 0, "WRITE": 1, "FLUSH": 2, "DISCARD": 3, "WRITE_ZEROES": 9}
"""Block operations (include/linux/blk_types.h)."""
STATUSES = (
    "I/O",
    "timeout",
    "operation not supported",
    "critical space allocation",
    "recoverable transport",
    "critical target",
    "critical medium",
    "protection",
    "kernel resource",
    "device resource",
    "nonblocking retry",
    "device offline",
)
"""Words before "error" (block/blk-core.c, blk_errors)."""
NVME_OPCODES: Mapping[str, int] = {"FLUSH": 0x0, "WRITE": 0x1, "READ": 0x2}
_ADDRESS = "0:0:0:0"  # host, channel, target, lun


def io_error(
    dev: str,
    sector: int,
    op: str,
    flags: int,
    phys_seg: int = 1,
    prio: int = 2,
    status: str = "I/O",
    release: Release = (6, 12),
) -> str:
    """A request that failed for good, its first sector in units of 512 bytes. Raises LinuxError for unknown words."""
    code = _known(op, OPS, "block operation")
    if status not in STATUSES:
        raise LinuxError(f"unknown block status '{status[:40]}'{nearest(status, STATUSES)}")
    caller = "" if release >= NO_CALLER_SINCE else "blk_update_request: "
    where = f"dev {dev}, sector {sector} op 0x{code:x}:({op}) flags 0x{flags:x}"
    return f"{caller}{status} error, {where} phys_seg {phys_seg} prio class {prio}"


def buffer_io_error(dev: str, block: int, lost_async_write: bool) -> str:
    """A page of the cache that could not be written, so that its data are lost; or else not be read."""
    what = "lost async page write" if lost_async_write else "async page read"
    return f"Buffer I/O error on dev {dev}, logical block {block}, {what}"


def journal_aborted(dev: str) -> str:
    """jbd2 gives up a journal that it cannot write; ``dev``: the device and the inode of the journal, sda1-8."""
    return f"Aborting journal on device {dev}."


def scsi_failed(
    tag: int, hostbyte: str, driverbyte: str, cmd_age_s: int, dev: str = "sda", address: str = _ADDRESS
) -> str:
    """A SCSI command that came back as failed, with the seconds since it was sent."""
    result = f"hostbyte={hostbyte} driverbyte={driverbyte} cmd_age={cmd_age_s}s"
    return f"sd {address}: [{dev}] tag#{tag} FAILED Result: {result}"


def scsi_offlined(address: str = _ADDRESS) -> str:
    """The end of the error handler's ladder."""
    return f"sd {address}: Device offlined - not ready after error recovery"


def rejecting_offline(address: str = _ADDRESS) -> str:
    """Each later command to an offline disk."""
    return f"sd {address}: rejecting I/O to offline device"


def nvme_timeout(
    ctrl: str,
    tag: int,
    qid: int,
    op: str = "READ",
    size_bytes: int = 4096,
    *,
    aborted: bool = False,
    cid: int | None = None,
    release: Release = (6, 12),
) -> str:
    """A command that ``ctrl`` did not answer in time: it is aborted first; the second time the controller is reset.

    ``aborted``: this is the second time. ``cid``: the command's identifier, a generation of 4 bits above the tag, 1 if
    not given. Written as by kernels without CONFIG_NVME_VERBOSE_ERRORS. Raises LinuxError for an operation that has no
    NVMe opcode here.
    """
    opcode = _known(op, NVME_OPCODES, "NVMe operation")
    ident = 0x1000 | (tag & 0xFFF) if cid is None else cid
    if release >= NVME_TAG_SINCE:
        head = f"nvme {ctrl}: I/O tag {tag} ({ident:04x}) opcode 0x{opcode:x} (I/O Cmd) QID {qid} timeout"
        return f"{head}, reset controller" if aborted else f"{head}, aborting req_op:{op}({OPS[op]}) size:{size_bytes}"
    if aborted:
        return f"nvme {ctrl}: I/O {tag} QID {qid} timeout, reset controller"
    name = " (I/O Cmd)" if release >= NVME_ABORT_NAMES_OPCODE_SINCE else ""
    return f"nvme {ctrl}: I/O {tag}{name} QID {qid} timeout, aborting"


def nvme_removed(ctrl: str, error: int = -19, release: Release = (6, 12)) -> str:
    """A reset that failed: the controller is gone and every I/O gets EIO. ``error``: -19 is ENODEV."""
    if release >= NVME_DISABLES_SINCE:
        return f"nvme {ctrl}: Disabling device after reset failure: {error}"
    return f"nvme {ctrl}: Removing after probe failure status: {error}"


def netdev_watchdog(
    dev: str, driver: str, cpu: int, queue: int, ms: int, release: Release, bus: str = "0000:00:1f.6"
) -> str:
    """A TX queue that stopped for ``ms``. Where ``watchdog_warns``, the reports of a warning stand around this line."""
    if not netdev.watchdog_warns(release):
        return f"{driver} {bus} {dev}: NETDEV WATCHDOG: CPU: {cpu}: transmit queue {queue} timed out {ms} ms"
    how_long = f" {ms} ms" if release >= netdev.WATCHDOG_MS_SINCE else ""
    return f"NETDEV WATCHDOG: {dev} ({driver}): transmit queue {queue} timed out{how_long}"


def prints_link(module: str) -> bool:
    """Whether the driver ``module`` has a line for the carrier; virtio_net has none."""
    return module in _LINK


def link_down(dev: str, module: str, bus: str = "0000:00:1f.6") -> str:
    """The carrier is lost, as the driver ``module`` says it. Raises LinuxError for a driver that the table lacks."""
    return f"{_named(dev, module, bus)}{_LINK[_linked(module)][0]}"


def link_up(dev: str, module: str, mbps: int = 1000, bus: str = "0000:00:1f.6") -> str:
    """The carrier is back at full duplex without flow control. ixgbe counts in Gbps, mlx5_core names no speed."""
    return f"{_named(dev, module, bus)}{_LINK[_linked(module)][1].format(mbps=mbps, gbps=mbps // 1000)}"


def page_allocation_failure(comm: str, order: int, mode: int, names: str, mems_allowed: str = "0") -> str:
    """An allocation of 2^``order`` pages that the kernel gives up. ``names``: the GFP flags of ``mode``, as %pGg."""
    gfp = f"mode:0x{mode:x}({names})"
    return (
        f"{comm}: page allocation failure: order:{order}, {gfp}, nodemask=(null),cpuset=/,mems_allowed={mems_allowed}"
    )


_LINK: Mapping[str, tuple[str, str]] = {
    "e1000e": ("NIC Link is Down", "NIC Link is Up {mbps} Mbps Full Duplex, Flow Control: None"),
    "igb": ("NIC Link is Down", "NIC Link is Up {mbps} Mbps Full Duplex, Flow Control: None"),
    "ixgbe": ("NIC Link is Down", "NIC Link is Up {gbps} Gbps, Flow Control: None"),
    "tg3": ("Link is down", "Link is up at {mbps} Mbps, full duplex"),
    "bnx2": ("NIC Copper Link is Down", "NIC Copper Link is Up, {mbps} Mbps full duplex"),
    "mlx5_core": ("Link down", "Link up"),
}


def _linked(module: str) -> str:
    netdev.driver(module)
    if module not in _LINK:
        raise LinuxError(f"{module} prints no line when its link goes down or up (known: {', '.join(_LINK)})")
    return module


def _named(dev: str, module: str, bus: str) -> str:
    twice = f"igb: {dev} " if module == "igb" else ""  # igb puts its own name behind the prefix of its device
    return f"{module} {bus} {dev}: {twice}"


def _known(name: str, table: Mapping[str, int], what: str) -> int:
    code = table.get(name)
    if code is None:
        raise LinuxError(f"unknown {what} '{name[:40]}'{nearest(name, table)} (known: {', '.join(table)})")
    return code
