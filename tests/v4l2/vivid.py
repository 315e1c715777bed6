"""The kernel's test driver vivid: loaded, taken off its bus and put back on it; as root on a kernel of one's own."""

import os
import subprocess
from pathlib import Path

_MODULES = Path(os.environ.get("GUEST_MODULES", "/dev/shm/modules"))
_BUSYBOX = str(_MODULES / "busybox")
_DRIVER = Path("/sys/bus/platform/drivers/vivid")
_CLASS = Path("/sys/class/video4linux")
_LINKS = Path("/dev/v4l/by-path")


def load(devices: int) -> None:
    """Load the driver with so many cameras that capture and do nothing else."""
    for name in os.environ["GUEST_MODULE_ORDER"].split():
        if not (Path("/sys/module") / name).exists():
            count = [f"n_devs={devices}", "node_types=" + ",".join(["0x1"] * devices)] if name == "vivid" else []
            subprocess.run([_BUSYBOX, "insmod", str(_MODULES / f"{name}.ko"), *count], check=True)


def unload() -> None:
    subprocess.run([_BUSYBOX, "rmmod", "vivid"], check=True)


def node(index: int) -> str:
    """Where a camera is now."""
    wanted = f"vivid-{index:03d}-vid-cap"
    for folder in _CLASS.iterdir():
        if (folder / "name").read_text().strip() == wanted:
            return f"/dev/{folder.name}"
    raise LookupError(wanted)


def bind() -> None:
    """Plug all cameras in, which are one device of the bus; udev's links to them, too."""
    if not (_DRIVER / "vivid.0").exists():
        (_DRIVER / "bind").write_text("vivid.0")
    link(0)
    link(1)


def link(index: int) -> str:
    """As udev's rules make it (60-persistent-v4l.rules); no udev runs here."""
    _LINKS.mkdir(parents=True, exist_ok=True)
    path = _LINKS / f"platform-vivid.{index}-video-index0"
    path.unlink(missing_ok=True)
    path.symlink_to(f"../../{Path(node(index)).name}")
    return str(path)


def unbind() -> None:
    """Unplug them all, whoever has one open."""
    (_DRIVER / "unbind").write_text("vivid.0")
    for path in _LINKS.iterdir():
        path.unlink()
