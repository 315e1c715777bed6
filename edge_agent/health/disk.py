"""What the file system of the data directory says of itself: space, whether it is read-only, its errors.

ext4 with `errors=remount-ro` no longer sets the flag that statvfs(3) shows since Linux 6.12 (commit d3476f3dad4a):
its mount then has the option `emergency_ro`, which `/proc/self/mountinfo` shows (proc_pid_mountinfo(5)).
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_agent.health.kernel_files import number, read_text

_GIVEN_UP = frozenset({"emergency_ro", "shutdown"})

Statvfs = Callable[[Path], os.statvfs_result]


def disk_figures(data_dir: Path, root: Path = Path("/"), statvfs: Statvfs = os.statvfs) -> dict[str, Any]:
    """Figures of statvfs(3) and of ext4; what cannot be found out is absent. Blocks as long as the disk does."""
    try:
        found = statvfs(data_dir)
        device = data_dir.stat().st_dev
    except OSError:
        return {}
    number_text = f"{os.major(device)}:{os.minor(device)}"
    figures: dict[str, Any] = {
        "free_bytes": found.f_bavail * found.f_frsize,
        "total_bytes": found.f_blocks * found.f_frsize,
        "read_only": bool(found.f_flag & os.ST_RDONLY) or _is_given_up(number_text, root),
    }
    if found.f_files:
        figures["free_inodes_share"] = round(found.f_favail / found.f_files, 3)
    errors = _ext4_errors(number_text, root)
    return figures if errors is None else figures | {"file_system_errors": errors}


def _is_given_up(device: str, root: Path) -> bool:
    """Whether the file system of a device (`major:minor`) refuses writes after an error or a shutdown of its own."""
    for line in (read_text(root / "proc/self/mountinfo") or "").splitlines():
        before, _, after = line.partition(" - ")
        place, options = before.split(" "), after.split(" ")[-1].split(",")
        if len(place) > 2 and place[2] == device and not _GIVEN_UP.isdisjoint(options):
            return True
    return False


def _ext4_errors(device: str, root: Path) -> int | None:
    """Errors that ext4 found since the last fsck (Linux Documentation/ABI/testing/sysfs-fs-ext4)."""
    try:
        name = (root / "sys/dev/block" / device).readlink().name
    except OSError:  # no block device: a network's or a layered file system
        return None
    errors = number(read_text(root / "sys/fs/ext4" / name / "errors_count"))
    return errors if errors is not None and errors >= 0 else None
