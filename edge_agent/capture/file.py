"""`file:` a video file as a camera: real time, over and over, its packets untouched.

A picture is due when it would have been taken: the first at the start of the attempt, the others by their
presentation stamps; it is handed on when every picture that is shown before it is due too, as an encoder with
B-frames does. The next round follows without a gap: its first decode stamp is the last one plus that picture's
duration.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import av
from av.container import InputContainer

from edge_agent.capture.libav import config_of, first_video, reason_of, time_base_of
from edge_agent.capture.normaliser import Normaliser
from edge_agent.capture.packet import RawPacket
from edge_agent.capture.source import SourceContext
from edge_agent.contract.access_unit import CodecConfig, StreamSink
from edge_agent.errors import SettingsError, SourceFormatError, SourceUnavailableError
from edge_agent.settings import CameraSettings

_VideoPacket: TypeAlias = "av.Packet[av.VideoStream]"  # generic in PyAV's type stubs only

_MAX_HOLE_S = 2
_MAX_BEHIND_US = 2_000_000
_DEFAULT_FPS = 25.0


@dataclass(frozen=True, slots=True)
class _Parameters:
    config: CodecConfig
    time_base: Fraction
    reorder_depth: int


class FileSource:
    """Plays a file in real time until it is stopped."""

    def __init__(self, settings: CameraSettings, context: SourceContext) -> None:
        """Nothing is opened yet.

        Raises:
            SettingsError: the address names no file.
        """
        path = settings.video_file
        if path is None:
            raise SettingsError(
                f"camera {settings.name!r}: source: {settings.source!r} names no file; file:street.mp4"
            )
        self._path = path
        self._context = context

    def run(self, sink: StreamSink, stop: threading.Event) -> None:
        """Play until `stop` is set.

        Raises:
            SourceUnavailableError: the file is not there, cannot be read, or was replaced by another kind.
            SourceFormatError: it holds no video that can be recorded.
        """
        self._path = self._path.absolute()  # for messages: whoever reads them does not know where we were started
        parameters = self._probe()
        normaliser = Normaliser(
            sink,
            self._context,
            parameters.config,
            parameters.time_base,
            reorder_depth=parameters.reorder_depth,
        )
        pace = _Pace(self._context, parameters)
        try:
            while not stop.is_set():
                self._play_once(parameters, pace, normaliser, stop)
        finally:
            normaliser.finish()

    def _play_once(self, expected: _Parameters, pace: "_Pace", normaliser: Normaliser, stop: threading.Event) -> None:
        pace.begin_round()
        for packet in self._packets(expected):
            raw = pace.pace(packet, stop)
            if raw is None:
                return
            normaliser.push(raw)
        if pace.is_empty:
            raise SourceFormatError(f"{self._path}: its video stream holds no pictures")

    def _probe(self) -> _Parameters:
        with self._open() as container:
            return self._parameters(container)

    def _packets(self, expected: _Parameters) -> Iterator[_VideoPacket]:
        with self._open() as container:
            if self._parameters(container) != expected:
                raise SourceUnavailableError(f"{self._path}: the file was replaced by another one; it starts anew")
            try:
                yield from (packet for packet in container.demux(container.streams.video[0]) if packet.size)
            except av.FFmpegError as error:
                raise SourceFormatError(f"{self._path}: {reason_of(error)}; the file is damaged") from error

    def _parameters(self, container: InputContainer) -> _Parameters:
        remedy = f"convert it: ffmpeg -i {self._path.name} -an -c:v libx264 street.mp4"
        stream = first_video(container, str(self._path), remedy)
        depth = int(stream.codec_context.reorder_depth)
        return _Parameters(config_of(stream), time_base_of(stream), depth)

    def _open(self) -> InputContainer:
        try:
            is_there = self._path.is_file()
        except OSError as error:
            raise SourceUnavailableError(f"{self._path}: {error.strerror}; look at its storage") from error
        if not is_there:
            raise SourceUnavailableError(f"{self._path}: there is no such file; put it there or change camera.source")
        try:
            return av.open(str(self._path), "r")
        except PermissionError as error:
            raise SourceUnavailableError(f"{self._path}: may not be read; chmod it for this user") from error
        except av.FFmpegError as error:
            raise SourceFormatError(f"{self._path}: {reason_of(error)}; it is not a whole video file") from error


class _Pace:
    """When each packet is due, and its stamps on a line that goes on from round to round."""

    def __init__(self, context: SourceContext, parameters: _Parameters) -> None:
        self._clock = context.clock
        self._tick_us = parameters.time_base * 1_000_000
        self._nominal = max(
            1, int(1 / (parameters.time_base * Fraction(parameters.config.frame_rate_fps or _DEFAULT_FPS)))
        )
        self._max_hole = int(_MAX_HOLE_S / parameters.time_base)
        self._start_us = self._clock.monotonic_us()
        self._origin: int | None = None
        self._offset = 0
        self._end = 0
        """Where the last picture ends in decode time; `_shown_end` is where the last one shown ends."""
        self._shown_end = 0
        self._newest = 0
        self._fresh_round = True
        self.is_empty = True
        """Whether this round brought no packet yet."""

    def begin_round(self) -> None:
        """The file begins again."""
        self._fresh_round = True
        self.is_empty = True

    def pace(self, packet: _VideoPacket, stop: threading.Event) -> RawPacket | None:
        """Wait until the packet is due; None when stopped meanwhile."""
        self.is_empty = False
        self._follow(packet)
        pts = None if packet.pts is None else packet.pts + self._offset
        dts = None if packet.dts is None else packet.dts + self._offset
        position = pts if pts is not None else dts if dts is not None else self._end
        if pts is None and dts is None:  # a raw stream: one picture after the other
            pts = dts = position
        if self._origin is None:
            self._origin = self._newest = position
        self._newest = max(self._newest, position)
        self._end = (dts if dts is not None else position) + self._duration(packet)
        self._shown_end = self._newest + self._duration(packet)
        skipped = self._wait_for(self._newest, stop)
        if stop.is_set():
            return None
        self._offset += skipped
        self._newest += skipped
        self._end += skipped
        self._shown_end += skipped
        return RawPacket(
            data=bytes(packet),
            pts=None if pts is None else pts + skipped,
            dts=None if dts is None else dts + skipped,
            duration=self._duration(packet),
            is_key=packet.is_keyframe,
            arrival_us=self._clock.monotonic_us(),
            capture_us=self._due_us(position + skipped),
        )

    def _duration(self, packet: _VideoPacket) -> int:
        return packet.duration or self._nominal

    def _follow(self, packet: _VideoPacket) -> None:
        """Place a round behind the one before, and close a hole in the file's own stamps."""
        if packet.dts is not None:
            hole = packet.dts + self._offset - self._end
        elif packet.pts is not None:
            hole = packet.pts + self._offset - self._shown_end
        else:
            return
        if self._origin is None:
            self._end += hole
        elif self._fresh_round or hole > self._max_hole:
            self._offset -= hole
        self._fresh_round = False

    def _due_us(self, position: int) -> int:
        return self._start_us + int((position - (self._origin or 0)) * self._tick_us)

    def _wait_for(self, position: int, stop: threading.Event) -> int:
        """Wait until a position is due; returns by how many ticks the line steps on because the process was stopped.

        A camera does not wait for its recorder: what it took meanwhile is lost, and shows as a gap.
        """
        ahead_us = self._due_us(position) - self._clock.monotonic_us()
        if ahead_us > 0:
            self._clock.wait(stop, ahead_us / 1e6)
            return 0
        return int(-ahead_us / self._tick_us) if -ahead_us > _MAX_BEHIND_US else 0
