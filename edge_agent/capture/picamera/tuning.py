"""Which tuning of the sensor libcamera is told to take.

libcamera reads the environment's `LIBCAMERA_RPI_TUNING_FILE` when it starts and looks for cameras (`loadIPA` in its
`pipeline_base.cpp`), which the first question for a camera makes it do; picamera2 sets it only behind that. It takes
the value for a path, and a camera whose tuning cannot be read is none that it finds. So the name is looked up and set
before anything is asked of libcamera.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from edge_agent.capture.picamera.library import Platform
from edge_agent.errors import SourceUnavailableError

VARIABLE = "LIBCAMERA_RPI_TUNING_FILE"
FOLDERS = (Path("/usr/local/share/libcamera/ipa/rpi"), Path("/usr/share/libcamera/ipa/rpi"))
"""Where libcamera's own lie, in a folder for each platform; in the order of picamera2's `load_tuning_file`."""


def tuning_path(name: str, platform: Platform, folders: Sequence[Path] = FOLDERS) -> str:
    """The file that is meant by a whole path, or by a bare name among those that libcamera brings.

    Raises:
        SourceUnavailableError: there is none, or this user may not read it.
    """
    asked = Path(name)
    places = [asked] if asked.is_absolute() else [folder / platform / name for folder in folders]
    for place in places:
        if place.is_file() and os.access(place, os.R_OK):
            return str(place)
    looked = ", ".join(str(place) for place in places)
    raise SourceUnavailableError(
        f"picamera2: there is no tuning file {looked} that this user may read; mend camera.sensor.tuning_file or"
        f" take it out (ls {folders[-1] / platform} shows libcamera's own)"
    )


def tell_libcamera(path: str | None) -> None:
    """Have libcamera take a tuning when it starts; None: its own for the sensor."""
    if path is None:
        os.environ.pop(VARIABLE, None)
    else:
        os.environ[VARIABLE] = path
