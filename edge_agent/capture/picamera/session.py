"""One opening of the camera: opened, configured, running, closed."""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

from edge_agent.capture.picamera.library import Library
from edge_agent.capture.picamera.tuning import tell_libcamera, tuning_path
from edge_agent.errors import SourceUnavailableError
from edge_agent.settings import CameraSettings

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def opened(library: Library, number: int, settings: CameraSettings) -> Iterator[Any]:
    """An open `Picamera2`, closed behind.

    Closing may hang in libcamera, for good when the kernel's driver does; the recorder's supervisor sees that and
    ends the process (exit code 75).

    Raises:
        SourceUnavailableError: there is no such camera or no such tuning file, another program uses it, or it cannot
            be opened.
    """
    camera = _open(library, number, settings)
    try:
        yield camera
    finally:
        _close(camera)


def _open(library: Library, number: int, settings: CameraSettings) -> Any:  # noqa: ANN401 -- picamera2 has no types
    tuning = settings.sensor.tuning_file
    if tuning is not None:
        tuning = tuning_path(tuning, library.platform)
    tell_libcamera(tuning)
    sensors = library.sensors()
    if number >= len(sensors):
        there = ", ".join(f"picamera2:{at} ({sensor.get('Model', '?')})" for at, sensor in enumerate(sensors))
        raise SourceUnavailableError(
            f"picamera2:{number}: there is no such camera; libcamera finds {there or 'none'}; look at its cable and"
            " at camera_auto_detect or dtoverlay in /boot/firmware/config.txt"
        )
    camera = library.camera_class.__new__(library.camera_class)
    try:
        camera.__init__(number, tuning=tuning)
    except Exception as error:
        _forget(camera)
        raise SourceUnavailableError(f"picamera2:{number}: {_why(error)}") from error
    return camera


def _why(error: BaseException) -> str:
    """picamera2 says "did not complete" and keeps libcamera's words in the cause."""
    words: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        words.append(str(cause))
        cause = cause.__cause__
    said = words[-1] or words[0]
    if "acquire" in said.lower() or "busy" in said.lower():
        return f"it is in use ({said}); end what uses it: fuser -v /dev/media* shows it"
    return f"it cannot be opened: {said}; look at its cable, and whether rpicam-hello shows a picture"


def _forget(camera: Any) -> None:  # noqa: ANN401 -- picamera2 has no types
    """Close the pipe that picamera2 makes before it opens anything and leaves behind when that fails."""
    for name in ("notifymeread", "notifyme_w"):
        end = getattr(camera, name, None)
        with contextlib.suppress(OSError):
            if isinstance(end, int):
                os.close(end)
            elif end is not None:
                end.close()


def _close(camera: Any) -> None:  # noqa: ANN401 -- picamera2 has no types
    """Flush, stop the encoders, stop and close the camera; each step whatever became of the one before."""
    steps: tuple[Callable[[], object], ...] = (
        camera.cancel_all_and_flush,  # a job that waits for a picture would keep `stop` from ever being done
        lambda: _stop_encoders(camera),
        lambda: _close_whole(camera),
    )
    for step in steps:
        try:
            step()
        except Exception as error:  # noqa: BLE001 -- the camera is given up either way; it is told
            _log.warning("closing the camera: %s: %s", type(error).__name__, error)


def _close_whole(camera: Any) -> None:  # noqa: ANN401 -- picamera2 has no types
    try:
        camera.close()
    except RuntimeError:  # its thread never ran; without it the rest can be closed
        camera.detach_preview()
        camera.close()


def _stop_encoders(camera: Any) -> None:  # noqa: ANN401 -- picamera2 has no types
    for encoder in tuple(camera.encoders):
        with contextlib.suppress(RuntimeError):  # it never started
            camera.stop_encoder(encoder)
