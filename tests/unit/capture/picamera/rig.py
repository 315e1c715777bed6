"""Attempts of a `picamera2:` camera on fakes of its library, and who takes stills of it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from edge_agent.capture.picamera.source import PicameraSource
from edge_agent.capture.picamera.still_taker import StillTaker
from edge_agent.capture.report import CaptureReport
from edge_agent.capture.source import Activity
from edge_agent.capture.stills import StillDesk, TakenPicture
from edge_agent.clock import SystemClock
from edge_agent.errors import CaptureError, SourceUnavailableError
from edge_agent.settings import CameraSettings
from tests.support.polling import wait_until
from tests.unit.capture.fakes import RecordingSink, make_frame_context
from tests.unit.capture.picamera.fake_picamera2 import FakePicamera2

_CLOCK = SystemClock()

SIZE = (704, 576)
LARGE = (1408, 1152)
LEFT_HALF = [[[0, 0], [0.5, 0], [0.5, 1], [0, 1]]]
FULL_SIZE = {"full_size_stills": True}
MODES = (
    {"size": SIZE, "fps": 60.0, "bit_depth": 10, "crop_limits": (0, 0, 2816, 2304)},
    {"size": LARGE, "fps": 30.0, "bit_depth": 10, "crop_limits": (0, 0, 2816, 2304)},
    {"size": (2816, 2304), "fps": 10.0, "bit_depth": 10, "crop_limits": (0, 0, 2816, 2304)},
)
"""Of a sensor, the largest too slow for 25 pictures a second."""


class Rig:
    """Attempts, one after the other, of one recorder."""

    def __init__(self, **settings: object) -> None:
        asked = {"name": "main", "source": "picamera2:0", "width": SIZE[0], "height": SIZE[1], "fps": 25.0}
        self.settings = CameraSettings.model_validate(asked | settings)
        self.sink = RecordingSink()
        self.report = CaptureReport("main")
        self.error: Exception | None = None
        self.context = replace(make_frame_context(self.settings, self.sink, _CLOCK), report=self.report)
        assert self.context.frames is not None
        self.desk: StillDesk = self.context.frames.stills

    @contextmanager
    def attempt(self) -> Iterator[FakePicamera2]:
        """A running camera; or one that failed."""
        self.context = replace(self.context, activity=Activity())
        source = PicameraSource(self.settings, self.context)
        stop, known = threading.Event(), len(FakePicamera2.opened)
        thread = threading.Thread(target=self._run, args=(source, stop), daemon=True)
        self.error = None
        thread.start()
        try:
            wait_until(
                lambda: not thread.is_alive() or any(camera.is_started for camera in FakePicamera2.opened[known:]),
                what="the camera runs",
            )
            yield FakePicamera2.opened[-1]
        finally:
            stop.set()
            thread.join(10)
            assert not thread.is_alive()

    def fail(self) -> str:
        """An attempt that fails by itself."""
        with self.attempt():
            wait_until(lambda: self.error, what="the attempt fails")
        return str(self.error)

    def _run(self, source: PicameraSource, stop: threading.Event) -> None:
        try:
            source.run(self.sink, stop)
        except (CaptureError, RuntimeError) as error:
            self.error = error

    def has_taker(self) -> bool:
        """Stills come from picamera2 itself."""
        return self.desk.taker is not None

    @property
    def warning(self) -> str:
        """What stills have instead; all else is as asked."""
        warnings = self.report.state.warnings
        assert set(warnings) <= {"stills-not-full-size"}
        return warnings.get("stills-not-full-size", "")


class Photographer:
    """Takes a still in a thread of its own."""

    def __init__(self, desk: StillDesk, wait_s: float = 5.0) -> None:
        self.taken: TakenPicture | None = None
        self.error: CaptureError | None = None
        self._desk = desk
        self._thread = threading.Thread(target=self._take, args=(wait_s,), daemon=True)
        self._thread.start()

    def _take(self, wait_s: float) -> None:
        try:
            self.taken = self._desk.take(wait_s)
        except CaptureError as error:
            self.error = error

    def wait_until_asked(self) -> None:
        """The next picture is his."""

        def is_asked() -> bool:
            taker = self._desk.taker
            return isinstance(taker, StillTaker) and taker._ask is not None

        wait_until(is_asked, what="the still is asked for")

    def picture(self, camera: FakePicamera2) -> TakenPicture:
        """The camera goes on sending until the still is there."""
        while self._thread.is_alive():
            camera.send()
            _CLOCK.sleep(0.01)
        assert self.taken is not None, self.error
        return self.taken

    def failure(self) -> str:
        self._thread.join(10)
        assert isinstance(self.error, SourceUnavailableError)
        return str(self.error)


def luma(taken: TakenPicture) -> "np.ndarray[Any, Any]":
    return taken.frame.to_ndarray()[: taken.frame.height]
