"""A board's encoder behind GStreamer, for pictures that were looked at here first (masks, text).

Pictures go to a process of their own (`pipeline_child`) over a pipe, coded pictures come back; an engine that hangs
hangs there. NVIDIA's engine was never tried; the way to it was, with x264 at its end.
"""

import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av

from edge_agent.capture.encoding.encoder import EncodedPicture, EncodeOrder
from edge_agent.capture.gstreamer.chains import Chain, Wish, nvenc
from edge_agent.capture.gstreamer.faults import fault_of
from edge_agent.capture.gstreamer.framing import Kind, Record, Times
from edge_agent.capture.gstreamer.messages import Event, read_message
from edge_agent.capture.gstreamer.pictures import packed_i420
from edge_agent.capture.gstreamer.process import Order, start
from edge_agent.contract.errors import FormatError
from edge_agent.errors import CaptureError, SourceUnavailableError

_MAX_BEHIND = 50
"""Pictures that were given and did not come back: an encoder that looks ahead holds some."""
_END_S = 5.0
_TICK_NS = Fraction(1_000_000_000, 90_000)


DEVICE_TREE = Path("/proc/device-tree/compatible")


def open_board_encoder(order: EncodeOrder, device_tree: Path = DEVICE_TREE) -> "PipelineEncoder":
    """NVIDIA's engine; whether there is one behind the elements shows with the pictures.

    Raises:
        SourceUnavailableError: this board is no Jetson, so that nothing need be started to find out.
    """
    try:
        board = device_tree.read_bytes()
    except OSError:
        board = b""
    if b"nvidia,tegra" not in board:
        raise SourceUnavailableError("this board has no encoder that GStreamer alone reaches: it is no Jetson")
    return PipelineEncoder(order)


class PipelineEncoder:
    """One encoder; as `Encoder`."""

    def __init__(self, order: EncodeOrder, chain: Chain | None = None) -> None:
        """Start it; whether it works shows with the pictures.

        Args:
            order: what is asked for.
            chain: the encoder; None: NVIDIA's.

        Raises:
            SourceUnavailableError: the interpreter cannot be started.
        """
        wish = Wish(order.codec, order.bitrate_kbps, order.gop_pictures, order.profile or "high", order.quality)
        chain = chain or nvenc(wish)
        self.detail = (
            "" if order.quality is None or chain.has_quality else "goes by bit rate: it has no constant quality"
        )
        """What of its order it does not follow."""
        self._name = chain.name
        self._duration_ns = int(1_000_000_000 / order.fps)
        self._child = start(Order(chain.from_system(), input_caps=_caps(order)))
        self._came: queue.Queue[EncodedPicture | CaptureError | None] = queue.Queue(2 * _MAX_BEHIND)
        """None behind the last one. More than can be on their way, so that the reader never waits."""
        self._behind = 0
        threading.Thread(target=self._read, name="gstreamer-encoder", daemon=True).start()

    def encode(self, frame: av.VideoFrame, *, is_key: bool) -> list[EncodedPicture]:
        """As `Encoder`; waits for it when it is behind."""
        times = Times(pts=round((frame.pts or 0) * _TICK_NS), duration=self._duration_ns)
        try:
            self._child.give(Record(Kind.PICTURE, packed_i420(frame), times, is_key=is_key), _END_S)
        except TimeoutError as error:
            raise SourceUnavailableError(f"{self._name}: it takes no pictures for {_END_S:.0f} s") from error
        except OSError:  # it has ended; why stands among what came
            list(self._all_that_came(_END_S))
            raise SourceUnavailableError(f"{self._name}: its process ended") from None
        self._behind += 1
        came = list(self._all_that_came(0))
        if self._behind > _MAX_BEHIND:
            raise SourceUnavailableError(f"{self._name}: {self._behind} pictures went in and did not come out")
        return came

    def finish(self) -> list[EncodedPicture]:
        """As `Encoder`; gives up after 5 s."""
        self._child.end_feed()
        return list(self._all_that_came(_END_S))

    def kill(self) -> None:
        """As `Encoder`."""
        self._child.kill()

    def _all_that_came(self, wait_s: float) -> Iterator[EncodedPicture]:
        """What is there; all up to the last one when `wait_s` is given."""
        while True:
            try:
                came = self._came.get(timeout=wait_s) if wait_s else self._came.get_nowait()
            except queue.Empty:
                if wait_s:
                    raise SourceUnavailableError(f"{self._name}: nothing came for {wait_s:.0f} s") from None
                return
            if came is None:
                self._came.put(None)  # for whoever asks again
                return
            if isinstance(came, CaptureError):
                raise came
            self._behind -= 1
            yield came

    def _read(self) -> None:
        """Until it ends, whatever ends it; then let go of it."""
        fault: Event | None = None
        try:
            while (record := self._child.reader.read()) is not None and record.kind is not Kind.END:
                if record.kind is Kind.UNIT:
                    self._came.put_nowait(_coded(record))
                elif record.kind is Kind.EVENT:
                    event = read_message(Event, record.payload)
                    fault = fault or (event if event.severity == "error" else None)
        except FormatError as error:
            self._came.put_nowait(SourceUnavailableError(f"{self._name}: {error}"))
        except queue.Full:
            fault = None  # nobody takes any more
        with suppress(queue.Full):
            if fault is not None:
                self._came.put_nowait(fault_of(self._name, fault, self._child.words))
            self._came.put_nowait(None)
        self._child.close()


def _caps(order: EncodeOrder) -> str:
    return (
        f"video/x-raw,format=(string)I420,width=(int){order.width_px},height=(int){order.height_px},"
        f"framerate=(fraction){order.fps.numerator}/{order.fps.denominator}"
    )


def _coded(record: Record) -> EncodedPicture:
    if record.times.pts is None:
        raise FormatError("a coded picture came without its stamp")
    pts = round(record.times.pts / _TICK_NS)
    dts = pts if record.times.dts is None else round(record.times.dts / _TICK_NS)
    return EncodedPicture(record.payload, pts, dts, record.is_key)
