"""What is done with a buffer; H.264 goes to the normaliser as it is."""

from fractions import Fraction
from typing import Protocol

from edge_agent.capture.batch import Batch
from edge_agent.capture.nal import Framing, Picture, look
from edge_agent.capture.normaliser import Normaliser
from edge_agent.capture.packet import RawPacket
from edge_agent.capture.source import SourceContext
from edge_agent.capture.v4l2.buffers import Filled
from edge_agent.capture.v4l2.negotiation import Negotiated
from edge_agent.contract.access_unit import CodecConfig, StreamSink

_MICROSECONDS = Fraction(1, 1_000_000)
_ANNEX_B = Framing("h264", 0)


class Taker(Protocol):
    """Takes what a camera sends, buffer by buffer."""

    def take(self, filled: Filled, capture_us: int | None, arrival_us: int) -> bool:
        """Take a picture out of a buffer; False when there is none in it.

        Raises:
            CaptureError: it cannot be recorded, nor can those that follow.
        """
        ...

    def finish(self) -> None:
        """No more will come."""
        ...


class CodedTaker:
    """H.264 as the camera encoded it (Annex B, an access unit a buffer)."""

    def __init__(self, sink: StreamSink, context: SourceContext, negotiated: Negotiated, fps: Fraction) -> None:
        config = CodecConfig("h264", b"", negotiated.width_px, negotiated.height_px, float(fps))
        self._normaliser = Normaliser(sink, context, config, _MICROSECONDS)
        self._duration_us = int(1_000_000 / fps)
        self._batch: Batch[RawPacket] = Batch(self._normaliser.push)
        context.activity.hand_over = self._batch.hand_over

    def take(self, filled: Filled, capture_us: int | None, arrival_us: int) -> bool:
        """As `Taker`."""
        data = bytes(filled.planes[0])
        seen = look(_ANNEX_B, data)
        if seen.picture is Picture.GARBLED:
            return False
        is_key = seen.is_idr or (filled.is_key and bool(seen.parameter_sets))
        packet = RawPacket(
            data=data,
            pts=capture_us,
            dts=None,
            duration=self._duration_us,
            is_key=is_key,
            arrival_us=arrival_us,
            capture_us=capture_us,
            received_us=arrival_us,
        )
        self._batch.push(packet, arrival_us, is_urgent=is_key)
        return True

    def finish(self) -> None:
        """As `Taker`."""
        self._batch.hand_over()
        self._normaliser.finish()
