"""Failing file systems: ext4 does what its mount option errors= says, XFS shuts down and never panics.

Where its journal cannot be written, errors=continue does not help ext4: jbd2 aborts the journal, and who next wants to
change something finds it so (ext4_journal_check_start()) and forces the file system read-only, or panics.

Follows fs/ext4/super.c, fs/ext4/ext4_jbd2.c, fs/xfs/xfs_fsops.c, fs/xfs/xfs_sysfs.c.
"""

from __future__ import annotations

from collections.abc import Mapping

from ksim.linux.rules import End, Row, always
from ksim.source import Source

_EXT4 = Source("Linux", "fs/ext4/super.c, ext4_handle_error()")
_XFS = Source("Linux", "fs/xfs/xfs_fsops.c, xfs_do_force_shutdown()")

_ERRORS_PANIC = Row(
    "errors_panic",
    "is the file system mounted with errors=panic?",
    lambda s: s.fs_errors == "panic",
    "panic",
    _EXT4,
    End.PANIC,
    "EXT4-fs (device sda1): panic forced after error",
)
FILE_SYSTEM_ROWS: Mapping[str, tuple[Row, ...]] = {
    "ext4_error": (
        _ERRORS_PANIC,
        Row(
            "errors_remount_ro",
            "is it mounted with errors=remount-ro?",
            lambda s: s.fs_errors == "remount-ro",
            "the journal is aborted and nothing can be written any more",
            _EXT4,
            End.FILE_SYSTEM,
            prints="EXT4-fs (sda1): Remounting filesystem read-only",
        ),
        Row(
            "errors_continue",
            "is the kernel still here?",
            always,
            "the error is marked in the superblock and writing goes on",
            _EXT4,
            End.GOES_ON,
        ),
    ),
    "ext4_abort": (
        _ERRORS_PANIC,
        Row(
            "journal_aborted",
            "is the kernel still here?",
            always,
            "nothing can be written any more, also with errors=continue",
            Source("Linux", "fs/ext4/super.c, __ext4_abort(): force_ro"),
            End.FILE_SYSTEM,
            prints="EXT4-fs (sda1): Remounting filesystem read-only",
        ),
    ),
    "xfs_shutdown": (
        Row(
            "xfs_shuts_down",
            "is the kernel still here?",
            always,
            "the file system shuts down at once, every operation fails with EIO; XFS never panics",
            _XFS,
            End.FILE_SYSTEM,
            prints="XFS (sda1): Please unmount the filesystem and rectify the problem(s)",
        ),
    ),
    "xfs_metadata_write": (
        Row(
            "retries_for_ever",
            "is max_retries -1, as it is by default?",
            always,
            "the write is tried again for ever, until the file system is unmounted",
            Source("Linux", "fs/xfs/xfs_sysfs.c, xfs_error_cfg"),
            End.GOES_ON,
        ),
    ),
}
