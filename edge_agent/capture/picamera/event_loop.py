"""The camera's thread, which tells when picamera2 failed on it.

picamera2's own ends with the first exception: no picture comes any more, nobody is told, and `stop` waits for ever,
because that thread was to do it. This one notes the exception and goes on, so that the camera can be closed.
"""

import logging
import threading
from typing import Any

from picamera2.previews import NullPreview

_log = logging.getLogger(__name__)


class EventLoop(NullPreview):  # type: ignore[misc]  # -- picamera2 has no types
    """Given to `Picamera2.start_preview`."""

    def __init__(self) -> None:
        super().__init__()
        self.failed = threading.Event()
        """Set when an exception came through."""
        self.fault = ""
        """It, for people; before `failed` is set."""

    def handle_request(self, picam2: Any) -> None:  # noqa: ANN401 -- picamera2 has no types
        """Pictures are there, or something is asked of the camera's thread."""
        try:
            picam2.process_requests(self)
        except Exception as error:  # noqa: BLE001 -- the attempt ends of it, and says it
            if not self.failed.is_set():
                _log.error("picamera2 failed on the camera's thread", exc_info=error)
                self.fault = f"{type(error).__name__}: {error}"
                self.failed.set()
