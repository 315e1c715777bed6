"""What the file system of the data directory says of itself: space, whether it is read-only, its errors."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_agent.health.kernel_files import number, read_text

Statvfs = Callable[[Path], os.statvfs_result]


def disk_figures(data_dir: Path, root: Path = Path("/"), statvfs: Statvfs = os.statvfs) -> dict[str, Any]:
    """Figures of statvfs(3) and of ext4; what cannot be found out is absent. Blocks as long as the disk does."""
    try:
        found = statvfs(data_dir)
    except OSError:
        return {}
    figures: dict[str, Any] = {
        "free_bytes": found.f_bavail * found.f_frsize,
        "total_bytes": found.f_blocks * found.f_frsize,
        "read_only": bool(found.f_flag & os.ST_RDONLY),
    }
    if found.f_files:
        figures["free_inodes_share"] = round(found.f_favail / found.f_files, 3)
    errors = _ext4_errors(data_dir, root)
    return figures if errors is None else figures | {"file_system_errors": errors}


def _ext4_errors(data_dir: Path, root: Path) -> int | None:
    """Errors that ext4 found since the last fsck (Linux Documentation/ABI/testing/sysfs-fs-ext4)."""
    try:
        device = data_dir.stat().st_dev
        name = (root / f"sys/dev/block/{os.major(device)}:{os.minor(device)}").readlink().name
    except OSError:  # no block device: a network's or a layered file system
        return None
    errors = number(read_text(root / "sys/fs/ext4" / name / "errors_count"))
    return errors if errors is not None and errors >= 0 else None
