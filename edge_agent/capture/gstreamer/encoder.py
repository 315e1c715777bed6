"""A board's encoder behind GStreamer, for pictures that were looked at here first (masks, text).

Pictures go to a process of their own (`child`) over a pipe, coded pictures come back; an engine that hangs hangs
there. NVIDIA's engine was never tried; the way to it was, with x264 at its end.
"""

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av

from edge_agent.capture.gstreamer.chains import Chain
from edge_agent.capture.gstreamer.faults import fault_of
from edge_agent.capture.gstreamer.framing import Kind, Record, Times
from edge_agent.capture.gstreamer.messages import Event, read_message
from edge_agent.capture.gstreamer.pictures import packed_i420
from edge_agent.capture.gstreamer.process import Child, Order, start
from edge_agent.contract.errors import FormatError
from edge_agent.errors import CaptureError, SourceUnavailableError

_MAX_BEHIND = 50
"""Pictures that were given and did not come back: an encoder that looks ahead holds some."""
_END_S = 5.0


@dataclass(frozen=True, slots=True)
class CodedPicture:
    """What came back.

    Attributes:
        data: Annex B, an access unit.
        pts_ns: as it was given.
        dts_ns: on the same line; below 0 before B-frames.
        is_key: decoding can begin here.
    """

    data: bytes
    pts_ns: int
    dts_ns: int
    is_key: bool


class PipelineEncoder:
    """One encoder; `encode` and `finish` are one thread's, `kill` any thread's."""

    def __init__(self, chain: Chain, width_px: int, height_px: int, fps: Fraction) -> None:
        """Start it; whether it works shows with the pictures.

        Raises:
            SourceUnavailableError: the interpreter cannot be started.
        """
        self._name = f"encoder {chain.name}"
        caps = (
            f"video/x-raw,format=(string)I420,width=(int){width_px},height=(int){height_px},"
            f"framerate=(fraction){fps.numerator}/{fps.denominator}"
        )
        self._duration_ns = int(1_000_000_000 / fps)
        self._child: Child = start(Order(chain.from_system(), input_caps=caps))
        self._came: queue.Queue[CodedPicture | CaptureError | None] = queue.Queue(_MAX_BEHIND)
        """None behind the last one."""
        self._behind = 0
        self._ended = threading.Event()
        self._reader = threading.Thread(target=self._read, name="gstreamer-encoder", daemon=True)
        self._reader.start()

    def encode(self, frame: av.VideoFrame, pts_ns: int, *, is_key: bool = False) -> list[CodedPicture]:
        """Give it a picture (`yuv420p`), and take what has come back; waits for it when it is behind.

        Raises:
            CaptureError: it failed, or does not keep up.
        """
        times = Times(pts=pts_ns, duration=self._duration_ns)
        try:
            self._child.give(Record(Kind.PICTURE, packed_i420(frame), times, is_key=is_key), _END_S)
        except TimeoutError as error:
            raise SourceUnavailableError(f"{self._name}: it takes no pictures for {_END_S:.0f} s") from error
        except OSError:  # it has ended; why stands among what came
            return list(self._all_that_came(_END_S))
        self._behind += 1
        came = list(self._all_that_came(0))
        if self._behind > _MAX_BEHIND:
            raise SourceUnavailableError(f"{self._name}: {self._behind} pictures went in and did not come out")
        return came

    def finish(self) -> list[CodedPicture]:
        """Take what it holds back.

        Raises:
            CaptureError: it failed, or did not end within 5 s.
        """
        self._child.end_feed()
        return list(self._all_that_came(_END_S))

    def kill(self) -> None:
        """End it at once, hung as it may be."""
        self._child.kill()

    def close(self) -> None:
        """End it, and let go of everything."""
        self._ended.set()
        self._child.kill()
        while self._reader.is_alive():
            self._drop_what_came()
            self._reader.join(0.05)
        self._child.close()

    def _drop_what_came(self) -> None:
        while not self._came.empty():
            self._came.get_nowait()

    def _all_that_came(self, wait_s: float) -> Iterator[CodedPicture]:
        """What is there, or all up to the last one when `wait_s` is given."""
        while True:
            try:
                came = self._came.get(timeout=wait_s) if wait_s else self._came.get_nowait()
            except queue.Empty:
                if wait_s:
                    raise SourceUnavailableError(f"{self._name}: nothing came for {wait_s:.0f} s") from None
                return
            if came is None:
                if not wait_s:
                    raise SourceUnavailableError(f"{self._name}: its process ended")
                return
            if isinstance(came, CaptureError):
                raise came
            self._behind -= 1
            yield came

    def _read(self) -> None:
        fault: Event | None = None
        try:
            while (record := self._child.reader.read()) is not None:
                if record.kind is Kind.UNIT:
                    self._put(_coded(record))
                elif record.kind is Kind.EVENT:
                    event = read_message(Event, record.payload)
                    fault = fault or (event if event.severity == "error" else None)
                elif record.kind is Kind.END:
                    break
        except (FormatError, ValueError) as error:
            self._put(SourceUnavailableError(f"{self._name}: {error}"))
        if fault is not None:
            self._put(fault_of(self._name, fault, self._child.words))
        self._put(None)

    def _put(self, came: CodedPicture | CaptureError | None) -> None:
        if not self._ended.is_set():
            self._came.put(came)


def _coded(record: Record) -> CodedPicture:
    times = record.times
    if times.pts is None:
        raise FormatError("a coded picture came without its stamp")
    return CodedPicture(record.payload, times.pts, times.pts if times.dts is None else times.dts, record.is_key)
