"""An ext4 file system of a test's own in a loop device, which can be made to fail as a dying disk does."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_SIZE_BYTES = 128 << 20


class Ext4:
    """Mounted at `point`; turns read-only at the first error (`errors=remount-ro`)."""

    def __init__(self, point: Path, device: str) -> None:
        self.point = point
        self._device = device

    def fail(self) -> None:
        """An error that ext4 itself finds (Linux Documentation/ABI/testing/sysfs-fs-ext4, `trigger_fs_error`)."""
        file = Path("/sys/fs/ext4") / Path(self._device).name / "trigger_fs_error"
        file.write_text("test\n", encoding="ascii")


@contextmanager
def mounted_ext4(directory: Path) -> Iterator[Ext4]:
    """The file system; skips where nobody may have a loop device, which nothing else can tell."""
    image, point = directory / "image", directory / "disk"
    point.mkdir(parents=True)
    with image.open("wb") as file:
        file.truncate(_SIZE_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-e", "remount-ro", image], check=True)
    attach = ["losetup", "--find", "--show", str(image)]
    attached = subprocess.run(attach, capture_output=True, text=True)
    if os.geteuid() != 0 or attached.returncode:
        pytest.skip("this machine gives nobody a loop device (losetup)")
    device = attached.stdout.strip()
    try:
        subprocess.run(["mount", "-t", "ext4", device, point], check=True)
        try:
            yield Ext4(point, device)
        finally:
            subprocess.run(["umount", "--lazy", point], check=True)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)
