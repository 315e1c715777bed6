"""picamera2 and libcamera, found where Raspberry Pi OS puts them and loaded when a camera is opened."""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from edge_agent.errors import SourceUnavailableError

Platform = Literal["vc4", "pisp"]

SYSTEM_PACKAGES = Path("/usr/lib/python3/dist-packages")
"""Where Debian puts Python packages of its own Python. libcamera's binding exists only there."""
REMEDY = "install it: sudo apt-get install --no-install-recommends python3-picamera2"


@dataclass(frozen=True, slots=True)
class Library:
    """What is used of picamera2.

    Attributes:
        camera_class: `picamera2.Picamera2`.
        make_transform: `libcamera.Transform`.
        mapped: `picamera2.MappedArray`.
        platform: `pisp` is a Pi 5, `vc4` every other one.
        reason: why it is taken for that, for people.
    """

    camera_class: Any
    make_transform: Callable[..., object]
    mapped: Callable[..., Any]
    platform: Platform
    reason: str

    def sensors(self) -> Sequence[Mapping[str, Any]]:
        """What libcamera knows of each camera, in the order in which `picamera2:0`, `picamera2:1` count them."""
        found: Sequence[Mapping[str, Any]] = self.camera_class.global_camera_info()
        return found


def load_library() -> Library:
    """Load picamera2.

    Raises:
        SourceUnavailableError: it, or what it needs, is not installed.
    """
    add_system_packages()
    package = _import("picamera2")
    libcamera = _import("libcamera")
    platform, reason = platform_of(package)
    return Library(package.Picamera2, libcamera.Transform, package.MappedArray, platform, reason)


def add_system_packages(folder: Path = SYSTEM_PACKAGES) -> None:
    """Let packages of Debian be found behind those of this environment, which win over them.

    A unit's own environment holds locked packages alone; libcamera's binding belongs to the system's libcamera and
    comes with it. Without this the environment would have to be made with all of the system's packages in it.
    """
    is_found = "libcamera" in sys.modules or find_spec("libcamera") is not None
    if not is_found and folder.is_dir() and str(folder) not in sys.path:
        sys.path.append(str(folder))


def platform_of(package: ModuleType) -> tuple[Platform, str]:
    """What picamera2 takes this board for: it looks for the `pispbe` of a Pi 5 among /dev/video*."""
    if package.get_platform() == package.Platform.PISP:
        return "pisp", "a Pi 5: its image processor (pispbe) is there, and no H.264 encoder"
    return "vc4", "no pispbe among /dev/video*: taken for a Pi 4 or before, with the board's encoder at /dev/video11"


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        missing = error.name or name
        raise SourceUnavailableError(f"picamera2: {missing} is not installed ({error}); {REMEDY}") from error
    except Exception as error:
        # Seen: a package of the system that was built for another numpy than the environment's.
        raise SourceUnavailableError(
            f"picamera2: {name} cannot be loaded: {type(error).__name__}: {error}; {REMEDY}"
        ) from error
