"""A sink that remembers and checks, and pictures that are cheap to make."""

import threading
from dataclasses import replace
from fractions import Fraction

from edge_agent.capture.encoding.kinds import KINDS
from edge_agent.capture.encoding.ladder import EncoderLadder
from edge_agent.capture.encoding.probe import Probed
from edge_agent.capture.normaliser import Normaliser
from edge_agent.capture.outputs import make_outputs
from edge_agent.capture.packet import RawPacket
from edge_agent.capture.source import SourceContext
from edge_agent.capture.timeline import MediaTimeline
from edge_agent.clock import Clock, FakeClock
from edge_agent.contract.access_unit import AccessUnit, Codec, CodecConfig, GapCause, StreamSink
from edge_agent.settings import CameraSettings

SPS = bytes.fromhex("6742c01eda02c049b014a0c0c0d4a000000300200000065 1e2c5d4".replace(" ", ""))
"""704×576, baseline, from a real encoder."""
PPS = bytes.fromhex("68ce3c80")
SPS_720P = bytes.fromhex("6742c01fda014016ec05a808080a000003000200000300651e306540")
START = b"\x00\x00\x00\x01"
KEY_SLICE = b"\x65\x88\x84\x00\x33"
DELTA_SLICE = b"\x41\x9a\x02\x05\x01"
KEY = START + KEY_SLICE
DELTA = START + DELTA_SLICE
EXTRADATA = START + SPS + START + PPS


class RecordingSink:
    """Remembers what it was told, and refuses what no sink may be given."""

    def __init__(self) -> None:
        self.starts: list[tuple[CodecConfig, GapCause]] = []
        self.units: list[AccessUnit] = []
        self.streams: list[list[AccessUnit]] = []
        self.ends: list[tuple[GapCause, str]] = []
        self.threads: set[int] = set()
        self._open = False
        self._fresh = False

    def start_stream(self, config: CodecConfig, cause: GapCause) -> None:
        self.starts.append((config, cause))
        self.streams.append([])
        self._open = self._fresh = True

    def write(self, unit: AccessUnit) -> None:
        assert self._open, "a unit outside a stream"
        assert unit.is_key or not self._fresh, "a stream that does not begin with a key frame"
        assert not self.units or unit.dts_90k > self.units[-1].dts_90k, "decode times that do not rise"
        assert unit.pts_90k >= unit.dts_90k
        assert unit.duration_90k > 0
        self._fresh = False
        self.units.append(unit)
        self.streams[-1].append(unit)
        self.threads.add(threading.get_ident())

    def end_stream(self, cause: GapCause, detail: str) -> None:
        self.ends.append((cause, detail))
        self._open = False

    @property
    def causes(self) -> list[GapCause]:
        return [cause for _, cause in self.starts]


def make_config(codec: Codec = "h264", extradata: bytes = EXTRADATA, fps: float = 25.0) -> CodecConfig:
    return CodecConfig(codec, extradata, 704, 576, fps)


def make_context(clock: Clock | None = None, timeline: MediaTimeline | None = None) -> SourceContext:
    clock = clock or FakeClock()
    return SourceContext("nomad-07", clock, timeline or MediaTimeline(clock.monotonic_us()))


def make_frame_context(settings: CameraSettings, sink: StreamSink, clock: Clock | None = None) -> SourceContext:
    """As the supervisor makes it for a source that encodes pictures here; libx264 is taken untried."""
    context = make_context(clock)
    ladder = EncoderLadder(
        settings.encoder, {"libx264": KINDS["libx264"]}, context.clock, lambda *_: Probed("", speed=9.0)
    )
    return replace(context, frames=replace(make_outputs(settings, context.clock, sink), encoders=ladder))


class Feeder:
    """Feeds a normaliser picture by picture; arrival follows media time unless said otherwise."""

    def __init__(
        self,
        sink: RecordingSink,
        context: SourceContext | None = None,
        config: CodecConfig | None = None,
        time_base: Fraction = Fraction(1, 90_000),
        depth: int = 0,
    ) -> None:
        self.context = context or make_context()
        self.normaliser = Normaliser(sink, self.context, config or make_config(), time_base, reorder_depth=depth)
        self.arrival_us = self.context.clock.monotonic_us()

    def push(
        self,
        pts: int | None,
        dts: int | None = None,
        *,
        key: bool = False,
        data: bytes | None = None,
        after_us: int = 40_000,
        duration: int = 3600,
        capture_us: int | None = None,
    ) -> None:
        if data is None:
            data = KEY if key else DELTA
        self.normaliser.push(RawPacket(data, pts, dts, duration, key, self.arrival_us, capture_us))
        self.arrival_us += after_us

    def steady(self, count: int, first: int = 0, gop: int = 25, step: int = 3600) -> int:
        """`count` pictures without B-frames; returns the stamp that would come next."""
        for index in range(count):
            self.push(first + index * step, first + index * step, key=index % gop == 0)
        return first + count * step
