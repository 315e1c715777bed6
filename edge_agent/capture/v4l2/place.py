"""Where a camera is plugged in: its address, its node, its neighbours."""

from dataclasses import dataclass
from pathlib import Path

_LINKS = ("by-path", "by-id")


def device_path(source: str) -> str:
    """The path that `v4l2:/dev/video0`, `v4l2:/dev/v4l/by-path/…` or `v4l2:by-path/…` names.

    Raises:
        ValueError: it names none.
    """
    _, _, rest = source.partition(":")
    kind, slash, name = rest.partition("/")
    if slash and kind in _LINKS and name:
        return f"/dev/v4l/{rest}"
    if not rest.startswith("/") or rest.endswith("/") or "\0" in rest:
        raise ValueError("expected v4l2:/dev/video0, v4l2:/dev/v4l/by-path/… or v4l2:by-path/…")
    return rest


@dataclass(frozen=True, slots=True)
class Machine:
    """The folders in which Linux says what is plugged in and who uses it; tests bring their own."""

    dev: Path = Path("/dev")
    sys: Path = Path("/sys")
    proc: Path = Path("/proc")

    def name_of(self, node: str) -> str:
        """What the driver calls a node's camera; empty when it is not known."""
        try:
            text = (self.sys / "class/video4linux" / Path(node).name / "name").read_text(errors="replace")
        except OSError:
            return ""
        return "".join(character for character in text if character.isprintable()).strip()[:64]

    def nodes(self) -> tuple[str, ...]:
        """All video nodes, in the order of their numbers."""
        found = (path for path in _listed(self.dev) if path.name.startswith("video") and path.name[5:].isdigit())
        return tuple(str(path) for path in sorted(found, key=lambda path: int(path.name[5:])))

    def neighbours(self, node: str) -> tuple[str, ...]:
        """The other nodes of the same camera: a UVC camera has one for each of its streams, and for metadata."""
        home = self._home(node)
        if home is None:
            return ()
        return tuple(other for other in self.nodes() if other != node and self._home(other) == home)

    def _home(self, node: str) -> Path | None:
        """The folder of the device that a node belongs to; of a USB interface, the whole USB device's."""
        link = self.sys / "class/video4linux" / Path(node).name / "device"
        try:
            folder = link.resolve(strict=True)
        except (OSError, RuntimeError):
            return None
        return folder.parent if (folder / "bInterfaceNumber").exists() else folder

    def steady_name(self, node: str) -> str | None:
        """The name below `/dev/v4l/by-path` that follows the socket and not the order of plugging in."""
        for link in _listed(self.dev / "v4l/by-path"):
            try:
                if str(link.resolve(strict=True)) == node:
                    return str(link)
            except (OSError, RuntimeError):
                continue
        return None

    def holders(self, node: str) -> tuple[str, ...]:
        """Processes that have a node open, as `name (pid)`; of other users only where we may look."""
        processes = [path for path in _listed(self.proc) if path.name.isdigit() and _has_open(path, node)]
        return tuple(f"{_command(process)} ({process.name})" for process in processes)

    def present(self) -> str:
        """The cameras that are there, for a message: by the names to write into the settings."""
        told = []
        for node in self.nodes()[:16]:
            name = self.name_of(node)
            told.append(f"{self.steady_name(node) or node}" + (f" ({name})" if name else ""))
        return ", ".join(told) or "none"


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _has_open(process: Path, node: str) -> bool:
    for link in _listed(process / "fd"):
        try:
            if str(link.readlink()) == node:
                return True
        except OSError:
            continue
    return False


def _command(process: Path) -> str:
    try:
        text = (process / "comm").read_text(errors="replace")
    except OSError:
        return "a process"
    return "".join(character for character in text if character.isprintable()).strip() or "a process"
