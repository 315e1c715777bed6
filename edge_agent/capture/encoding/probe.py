"""Tries an encoder out: a second of pictures, decoded again. A name, or a device that opens, proves nothing."""

import threading
from dataclasses import dataclass

import av

from edge_agent.capture.encoding.encoder import EncodedPicture, EncodeOrder, Encoder, OpenEncoder
from edge_agent.clock import Clock
from edge_agent.contract.access_unit import TIMESCALE_HZ
from edge_agent.errors import CaptureError

PROBE_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Probed:
    """What came of it.

    Attributes:
        fault: why it cannot be used; empty when it can.
        speed: seconds of pictures encoded a second; 0.0 when it failed.
        ended: set once the trial is over; None when it was over at once.
    """

    fault: str
    speed: float = 0.0
    ended: threading.Event | None = None

    @property
    def is_over(self) -> bool:
        """Whether its thread came back, so that another trial would not be one more that hangs."""
        return self.ended is None or self.ended.is_set()


def probe(open_encoder: OpenEncoder, order: EncodeOrder, clock: Clock, timeout_s: float = PROBE_TIMEOUT_S) -> Probed:
    """Encode a second; one that hangs is left behind with its thread."""
    trial = _Trial(open_encoder, order, clock)
    thread = threading.Thread(target=trial.run, name="probe-encoder", daemon=True)
    thread.start()
    if not clock.wait(trial.done, timeout_s):
        trial.kill()
        return Probed(f"it hangs: a second of pictures took over {timeout_s:g} s", ended=trial.done)
    return trial.outcome


class _Trial:
    def __init__(self, open_encoder: OpenEncoder, order: EncodeOrder, clock: Clock) -> None:
        self._open = open_encoder
        self._order = order
        self._clock = clock
        self._encoder: Encoder | None = None
        self.done = threading.Event()
        self.outcome = Probed("it was not tried")

    def run(self) -> None:
        try:
            self.outcome = self._encode()
        except CaptureError as error:
            self.outcome = Probed(str(error))
        except Exception as error:  # noqa: BLE001 -- whatever a library raises, this encoder is not used, and it is told
            self.outcome = Probed(f"{type(error).__name__}: {error}")
        finally:
            self.kill()
            self.done.set()

    def kill(self) -> None:
        encoder = self._encoder
        if encoder is not None:
            encoder.kill()

    def _encode(self) -> Probed:
        order = self._order
        count = max(round(order.fps), 2)
        encoder = self._encoder = self._open(order)
        coded: list[EncodedPicture] = []
        took_us = 1
        for number in range(count):
            frame = _frame(order, number)  # one at a time: a second of large pictures is a hundred megabytes
            begin_us = self._clock.monotonic_us()
            coded += encoder.encode(frame, is_key=False)
            took_us += self._clock.monotonic_us() - begin_us
        begin_us = self._clock.monotonic_us()
        coded += encoder.finish()
        took_s = (took_us + self._clock.monotonic_us() - begin_us) / 1e6
        fault = _fault(coded, count, order)
        return Probed(fault) if fault else Probed("", count / float(order.fps) / took_s)


def _frame(order: EncodeOrder, number: int) -> av.VideoFrame:
    """A slope that moves, so that there is something to encode."""
    frame = av.VideoFrame(order.width_px, order.height_px, "yuv420p")
    for plane in frame.planes:
        width, height = plane.line_size, plane.height
        slope = bytes((at + 3 * number) & 0xFF for at in range(width + 256))
        plane.update(b"".join(slope[row % 256 : row % 256 + width] for row in range(height)))
    frame.pts = int(number * TIMESCALE_HZ / order.fps)
    return frame


def _fault(coded: list[EncodedPicture], count: int, order: EncodeOrder) -> str:
    if len(coded) < count * 3 // 4:
        return f"of {count} pictures it gave {len(coded)} back"
    if not coded[0].is_key:
        return "its first picture is no key frame"
    decoder = av.CodecContext.create(order.codec, "r")
    shown: list[av.VideoFrame] = []
    try:
        for picture in coded:
            shown += decoder.decode(av.Packet(picture.data))
        shown += decoder.decode(None)
    except av.FFmpegError as error:
        return f"what it gives cannot be decoded: {error.strerror}"
    if len(shown) < count * 3 // 4:
        return f"of {count} pictures {len(shown)} can be decoded"
    if (shown[0].width, shown[0].height) != (order.width_px, order.height_px):
        return f"it made {shown[0].width}×{shown[0].height} of {order.width_px}×{order.height_px}"
    return ""
