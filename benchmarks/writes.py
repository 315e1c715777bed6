"""Bytes that recording makes the storage write, over bytes of video.

As root the ring lies on an ext4 file system of its own in a loop device, whose counters say what reached the device:
journal, inodes and index included. Otherwise only what the kernel charges to the recorder process is known.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.camera import start_camera
from benchmarks.measure import read_io
from benchmarks.row import Row
from benchmarks.unit import Unit, size_of_segments, write_unit
from benchmarks.workspace import Workspace, end

_BAR = 1.03
_SECONDS = 120.0
_QUICK_SECONDS = 30.0
_SETTLE_S = 5.0
_DISK_BYTES = 2_000_000_000
_SECTOR_BYTES = 512
_ADVISED = "ext4 fast_commit"
_FILE_SYSTEMS = {
    _ADVISED: (["-O", "fast_commit"], "noatime,lazytime,commit=30"),
    "ext4 stock": ([], "noatime"),
}
"""Options of mkfs.ext4 and of mount; the bar is for what the documentation advises."""


def run(workspace: Workspace) -> Iterator[Row]:
    """Device bytes on each file system, or the process's own where loop devices cannot be used."""
    directory = workspace.directory("writes")
    seconds = _QUICK_SECONDS if workspace.quick else _SECONDS
    url = start_camera(workspace, directory, len(_FILE_SYSTEMS) * (seconds + 20) / 60)
    if os.geteuid() != 0:
        yield _without_device(workspace, directory, url, seconds)
        return
    for name, (options, mount) in _FILE_SYSTEMS.items():
        with _mounted(directory / name.replace(" ", "-"), options, mount) as (disk, written):
            yield _on_device(workspace, name, disk, written, url, seconds, mount)


Written = Callable[[], int]


@contextmanager
def _mounted(directory: Path, options: list[str], mount: str) -> Iterator[tuple[Path, Written]]:
    """A file system of its own, and a function that says how many bytes reached its device."""
    directory.mkdir()
    image, point = directory / "image", directory / "disk"
    point.mkdir()
    with image.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, _DISK_BYTES)
    # lazy_itable_init=0: no background zeroing of inode tables while we count.
    subprocess.run(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", *options, image], check=True)
    device = _output("losetup", "--find", "--show", "--direct-io=on", str(image))
    try:
        subprocess.run(["mount", "-t", "ext4", "-o", mount, device, point], check=True)
        try:
            yield point, lambda: _sectors_written(device) * _SECTOR_BYTES
        finally:
            subprocess.run(["umount", point], check=True)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)
        image.unlink()


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _sectors_written(device: str) -> int:
    """Field 7 of the device's `stat` (Documentation/block/stat.rst): sectors written."""
    return int(Path(f"/sys/block/{Path(device).name}/stat").read_text(encoding="ascii").split()[6])


def _on_device(
    workspace: Workspace, name: str, disk: Path, written: Written, url: str, seconds: float, mount: str
) -> Row:
    unit = write_unit(disk, url)
    recorder = unit.record(workspace, f"writes-{disk.parent.name}")
    time.sleep(_SETTLE_S)
    before, video = written(), _synced_bytes(unit)
    time.sleep(seconds)
    video = _synced_bytes(unit) - video
    device = written() - before
    end(recorder)
    note = f"at the device over {seconds:.0f} s; mkfs.ext4 {' '.join(_FILE_SYSTEMS[name][0]) or 'as it is'}; {mount}"
    return _row(f"bytes written over video, {name}", device, video, note, judged=name == _ADVISED)


def _without_device(workspace: Workspace, directory: Path, url: str, seconds: float) -> Row:
    unit = write_unit(directory, url)
    recorder = unit.record(workspace, "writes-recorder")
    time.sleep(_SETTLE_S)
    before, video = read_io(recorder.pid), _synced_bytes(unit)
    time.sleep(seconds)
    video = _synced_bytes(unit) - video
    charged = read_io(recorder.pid).since(before).dirtied_bytes
    end(recorder)
    return _row(
        "bytes written over video, process", charged, video, "no root: the device was not measured", judged=True
    )


def _synced_bytes(unit: Unit) -> int:
    return size_of_segments(unit)


def _row(name: str, written_bytes: int, video_bytes: int, note: str, *, judged: bool) -> Row:
    return Row(
        name=name,
        ours=written_bytes / 1e6,
        unit="MB",
        peer=video_bytes / 1e6,
        peer_name="segment files",
        judge="ratio" if judged else "none",
        bar=_BAR,
        note=note,
    )
