"""The console of a capture kernel and of a restart.

Follows kdump.sh of kdump-utils, makedumpfile.c, mm/page_alloc.c, kernel/reboot.c.
"""

from __future__ import annotations

from typing import Literal

from ksim.linux.console.devices import page_allocation_failure

Result = Literal["saved", "no space", "failed", "network lost", "out of memory"]
RESETS = "reboot: Restarting system"
STARTS = "kexec_core: Starting new kernel"
_TAG = "kdump[544]:"


def capture_report(
    result: Result,
    *,
    directory: str = "/sysroot/var/crash/127.0.0.1-2024-01-15-10:02:11/",
    failure_action: str = "reboot",
    final_action: str = "reboot",
    capture_panic_s: int = 10,
    exit_code: int = 1,
) -> tuple[str, ...]:
    """What the capture kernel of RHEL or Fedora prints, from the target on, by what becomes of the dump.

    ``capture_panic_s``: its own panic=, which decides the last line where it runs out of memory.
    """
    if result == "out of memory":
        end = "---[ end Kernel panic - not syncing: System is deadlocked on memory ]---"
        last = [f"Rebooting in {capture_panic_s} seconds.."] if capture_panic_s > 0 else []
        gfp = "gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP)"
        return (
            page_allocation_failure("kworker/u2:0", 5, 0xCC0, "GFP_KERNEL"),
            f"systemd-udevd invoked oom-killer: {gfp}, order=0, oom_score_adj=0",
            "Out of memory and no killable processes...",
            "Kernel panic - not syncing: System is deadlocked on memory",
            *(last if capture_panic_s else [end]),
        )
    if result == "network lost":
        waiting = [f"{_TAG} Waiting for network to be ready (3s / 10min)"]
        lost = f"{_TAG} Oops. The network still isn't ready after waiting 10mins."
        return (*waiting, lost, *_failed(failure_action, final_action))
    head = (
        f"{_TAG} saving to {directory}",
        f"{_TAG} saving vmcore-dmesg.txt to {directory}",
        f"{_TAG} saving vmcore-dmesg.txt complete",
        f"{_TAG} saving vmcore",
    )
    if result == "saved":
        done = (
            "Copying data                                      : [100.0 %] -           eta: 0s",
            f"{_TAG} saving vmcore complete",
            f"{_TAG} saving the /run/initramfs/kexec-dmesg.log to {directory}/",
        )
        return (*head, *done, f"{_TAG} Executing final action {_command(final_action)}")
    full = ("No space left on device",) if result == "no space" else ()
    partial = ("This is an incomplete dumpfile, but might analyzable.",) if result == "no space" else ()
    return (
        *head,
        *full,
        *partial,
        f"{_TAG} saving vmcore failed, exitcode:{exit_code}",
        *_failed(failure_action, final_action),
    )


def _failed(failure_action: str, final_action: str) -> tuple[str, ...]:
    lines = [f"{_TAG} Executing failure action {_command(failure_action)}"]
    if failure_action in ("dump_to_rootfs", "shell"):
        lines.append(f"{_TAG} Executing final action {_command(final_action)}")
    return tuple(lines)


def _command(action: str) -> str:
    return f"systemctl {action} -f" if action in ("reboot", "halt", "poweroff") else action
