"""What the source uses of picamera2, without a camera: pictures come when the test's thread sends them.

The names and their behaviour are those of picamera2 0.3.38, read in its source; `install` puts them where an import
finds them.
"""

import os
import queue
import sys
import threading
import types
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Self

import pytest

from edge_agent.clock import SystemClock
from tests.unit.capture.fakes import DELTA, EXTRADATA, KEY

_CLOCK = SystemClock()


class Platform(Enum):
    VC4 = 0
    PISP = 1


@dataclass
class Transform:
    hflip: int = 0
    vflip: int = 0


class Output:
    def __init__(self, pts: object = None) -> None:
        self.recording = False

    def outputframe(self, *_: object) -> None:
        """As picamera2's own base class, which drops what it is given."""


class NullPreview:
    def __init__(self) -> None:
        self.camera: FakePicamera2 | None = None

    def start(self, camera: "FakePicamera2") -> None:
        self.camera = camera
        camera.preview = self


class Encoder:
    """Gives a coded picture for every one that it takes, unless it is wedged."""

    is_wedged: ClassVar[bool] = False
    does_start: ClassVar[bool] = True

    def __init__(self, **asked: object) -> None:
        self.asked = asked
        self.output: Any = None
        self.name = ""
        self.firsttimestamp: int | None = None
        self.frame_skip_count = 1
        self.keys_forced = 0
        self._skipped = 0
        self._encoded = 0

    def start(self) -> None:
        if not self.does_start:
            raise FileNotFoundError("/dev/video11")
        self._start()

    def _start(self) -> None:
        """Of the kind."""

    def stop(self) -> None:
        """Nothing is held back."""

    def force_key_frame(self) -> None:
        self.keys_forced += 1

    def encode(self, stream: str, request: "Request") -> None:
        if self._skipped == 0:
            self._encode(stream, request)
        self._skipped = (self._skipped + 1) % self.frame_skip_count

    def _timestamp(self, request: "Request") -> int:
        stamp_us = int(request.metadata["SensorTimestamp"] / 1000)  # a float in between, as in picamera2
        if self.firsttimestamp is None:
            self.firsttimestamp = stamp_us
        return stamp_us - self.firsttimestamp

    def _encode(self, stream: str, request: "Request") -> None:
        timestamp = self._timestamp(request)
        if type(self).is_wedged:
            return
        is_key = self._encoded % 25 == 0
        self._encoded += 1
        self.output.outputframe(EXTRADATA + KEY if is_key else DELTA, is_key, timestamp, None, False)


class H264Encoder(Encoder):
    def __init__(self, **asked: object) -> None:
        super().__init__(**asked)
        self.buf_available: queue.Queue[int] = queue.Queue()
        self.buf_available.put(0)


class LibavH264Encoder(Encoder):
    def _start(self) -> None:
        self._stream = types.SimpleNamespace(codec_context=types.SimpleNamespace(options={}, bit_rate=1))


@dataclass
class Request:
    metadata: dict[str, Any]
    config: dict[str, Any]
    buffers: dict[str, bytearray]
    held: int = 0
    """By how many it is kept from the camera."""

    def get_metadata(self) -> dict[str, Any]:
        return self.metadata

    def acquire(self) -> None:
        self.held += 1

    def release(self) -> None:
        self.held -= 1
        assert self.held >= 0


class MappedArray:
    def __init__(self, request: Request, stream: str, reshape: bool = True) -> None:
        self.array = request.buffers[stream]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


PI_CONTROLS: dict[str, tuple[object, object, object]] = {
    "FrameDurationLimits": (16_666, 1_000_000, None),
    "ExposureTime": (30, 1_000_000, None),
    "AnalogueGain": (1.0, 16.0, None),
    "ExposureValue": (-8.0, 8.0, 0.0),
    "AfMode": (0, 2, 0),
    "LensPosition": (0.0, 32.0, 1.0),
}


@dataclass
class Board:
    """What the test lets the camera be."""

    platform: Platform = Platform.PISP
    controls: dict[str, tuple[object, object, object]] = field(default_factory=lambda: dict(PI_CONTROLS))
    format: str | None = None
    models: tuple[str, ...] = ("imx708",)
    opening: Exception | None = None
    turns: bool = True
    resolution: tuple[int, int] = (4608, 2592)
    modes: tuple[dict[str, object], ...] = ()
    """Those of the sensor."""
    other_mode: tuple[int, int] | None = None
    """The size of the mode that the sensor takes in the place of one that is asked for."""
    refuse: Callable[[dict[str, Any]], None] = lambda _: None
    """Raises when it cannot be configured so."""
    give: Callable[[str, tuple[int, int]], tuple[int, int]] = lambda _, size: size
    """The size of a stream that it has in the place of one that is asked for."""
    least_us: Callable[[dict[str, Any]], int | None] = lambda _: None
    """The least time from picture to picture, where it hangs on the configuration."""
    starting: Callable[[dict[str, Any]], None] = lambda _: None
    """Raises when it cannot be started so."""
    metadata: Callable[[], dict[str, Any]] = lambda: {"SensorTimestamp": _CLOCK.monotonic_us() * 1000}


class FakePicamera2:
    board: ClassVar[Board] = Board()
    opened: ClassVar[list["FakePicamera2"]] = []
    tuning_of_libcamera: ClassVar[str | None] = None
    """What libcamera was told when it was last asked for cameras, which is when it reads it."""

    @classmethod
    def global_camera_info(cls) -> list[dict[str, object]]:
        cls.tuning_of_libcamera = os.environ.get("LIBCAMERA_RPI_TUNING_FILE")
        return [{"Model": model, "Num": at} for at, model in enumerate(cls.board.models)]

    def __init__(self, camera_num: int, tuning: str | None = None) -> None:
        if self.board.opening is not None:
            raise RuntimeError("Camera __init__ sequence did not complete.") from self.board.opening
        self.number, self.tuning = camera_num, tuning
        self.camera_properties = {"Model": self.board.models[camera_num]}
        self.sensor_resolution = self.board.resolution
        self.pre_callback: Callable[[Request], None] | None = None
        self.preview: NullPreview | None = None
        self.encoders: set[Encoder] = set()
        self.lock = threading.Lock()
        self.is_open, self.is_started, self.flushed = True, False, False
        self.configuration: dict[str, Any] = {}
        self.asked: list[dict[str, Any]] = []
        self.requests: deque[Request] = deque(maxlen=8)
        self.opened.append(self)

    @property
    def camera_controls(self) -> dict[str, tuple[object, object, object]]:
        least_us = self.board.least_us(self.configuration)
        return self.board.controls | (
            {} if least_us is None else {"FrameDurationLimits": (least_us, 1_000_000, None)}
        )

    @property
    def sensor_modes(self) -> list[dict[str, object]]:
        if not self.board.modes:
            raise AttributeError("'NoneType' object has no attribute 'at'")  # as of a camera without raw pictures
        return list(self.board.modes)

    def create_video_configuration(self, **asked: Any) -> dict[str, Any]:  # noqa: ANN401 -- as picamera2
        return asked

    def configure(self, asked: dict[str, Any]) -> None:
        self.asked.append(asked)
        self.configuration = {}
        self.board.refuse(asked)
        self.configuration = {**asked, "raw": None}
        for name in ("main", "lores"):
            stream = asked[name]
            if stream is not None:
                size = self.board.give(name, stream["size"])
                pixels = {"format": self.board.format or stream["format"], "size": size, "stride": size[0] + 64}
                self.configuration[name] = stream | pixels
        if self.board.other_mode is not None and asked.get("sensor"):
            self.configuration["sensor"] = {**asked["sensor"], "output_size": self.board.other_mode}
        if not self.board.turns:
            self.configuration["transform"] = Transform()

    def camera_configuration(self) -> dict[str, Any]:
        return self.configuration

    def start_encoder(self, encoder: Encoder, output: object, name: str) -> None:
        encoder.output, encoder.name = output, name
        encoder.start()
        with self.lock:
            self.encoders.add(encoder)

    def stop_encoder(self, encoder: Encoder) -> None:
        encoder.stop()
        self.encoders.discard(encoder)

    def start_preview(self, preview: NullPreview) -> None:
        preview.start(self)

    def start(self) -> None:
        self.board.starting(self.configuration)
        self.is_started = True

    def cancel_all_and_flush(self) -> None:
        self.flushed = True

    def close(self) -> None:
        self.is_open = self.is_started = False

    def process_requests(self, _preview: object) -> None:
        """As picamera2's: the callback, then every encoder, with the lock held."""
        request = self._request()
        self.requests.append(request)
        with self.lock:
            if self.pre_callback is not None:
                self.pre_callback(request)
            for encoder in self.encoders:
                encoder.encode(encoder.name, request)

    def send(self) -> None:
        """A picture comes from the sensor."""
        preview: Any = self.preview
        preview.handle_request(self)

    def _request(self) -> Request:
        config = {name: self.configuration[name] for name in ("main", "lores") if self.configuration[name]}
        sizes = {name: stream["stride"] * stream["size"][1] * 3 // 2 for name, stream in config.items()}
        return Request(self.board.metadata(), config, {name: bytearray(size) for name, size in sizes.items()})


def install(monkeypatch: pytest.MonkeyPatch, board: Board) -> None:
    """Where an import of picamera2 and of libcamera finds them, for one test."""
    FakePicamera2.board, FakePicamera2.opened = board, []
    modules: dict[str, dict[str, object]] = {
        "libcamera": {"Transform": Transform},
        "picamera2": {
            "Picamera2": FakePicamera2, "MappedArray": MappedArray, "Platform": Platform,
            "get_platform": lambda: FakePicamera2.board.platform,
        },
        "picamera2.outputs": {"Output": Output},
        "picamera2.previews": {"NullPreview": NullPreview},
        "picamera2.encoders": {"LibavH264Encoder": LibavH264Encoder},
        "picamera2.encoders.h264_encoder": {"H264Encoder": H264Encoder},
    }  # fmt: skip
    for name, members in modules.items():
        module = types.ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    for name in ("encoders", "outputs", "event_loop"):
        monkeypatch.delitem(sys.modules, f"edge_agent.capture.picamera.{name}", raising=False)
    for kind in (H264Encoder, LibavH264Encoder):
        monkeypatch.setattr(kind, "is_wedged", False)
        monkeypatch.setattr(kind, "does_start", True)
