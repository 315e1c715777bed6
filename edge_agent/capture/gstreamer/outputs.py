"""What is done with a pipeline's units: coded pictures go to the normaliser as they are, others to the encoders."""

from fractions import Fraction
from typing import Protocol

import av

from edge_agent.capture.batch import Batch
from edge_agent.capture.gstreamer.framing import Record
from edge_agent.capture.gstreamer.messages import Caps
from edge_agent.capture.gstreamer.pictures import PictureReader
from edge_agent.capture.gstreamer.stamps import StampJudge
from edge_agent.capture.normaliser import Normaliser
from edge_agent.capture.packet import RawPacket
from edge_agent.capture.source import SourceContext
from edge_agent.contract.access_unit import TIMESCALE_HZ, Codec, CodecConfig, StreamSink


class Output(Protocol):
    """Takes the units of one attempt."""

    def take(self, unit: Record, arrival_us: int) -> None:
        """The next unit.

        Raises:
            CaptureError: it cannot be recorded, nor can those that follow.
        """
        ...

    def finish(self) -> None:
        """No more will come."""
        ...


class CodedOutput:
    """H.264 or H.265 as the pipeline encoded it: Annex B, an access unit a record."""

    def __init__(self, sink: StreamSink, context: SourceContext, codec: Codec, caps: Caps, judge: StampJudge) -> None:
        config = CodecConfig(codec, b"", caps.width, caps.height, caps.fps)
        self._judge = judge
        self._normaliser = Normaliser(sink, context, config, Fraction(1, TIMESCALE_HZ))
        self._batch: Batch[RawPacket] = Batch(self._normaliser.push)
        context.activity.hand_over = self._batch.hand_over

    def take(self, unit: Record, arrival_us: int) -> None:
        """As `Output`."""
        stamps = self._judge.judge(unit.times, arrival_us)
        packet = RawPacket(
            data=unit.payload,
            pts=stamps.pts_90k,
            dts=stamps.dts_90k,
            duration=stamps.duration_90k,
            is_key=unit.is_key,
            arrival_us=arrival_us,
            capture_us=stamps.capture_us,
            received_us=arrival_us,
        )
        self._batch.push(packet, arrival_us, is_urgent=unit.is_key)

    def finish(self) -> None:
        """As `Output`."""
        self._batch.hand_over()
        self._normaliser.finish()


class FrameSink(Protocol):
    """Takes pictures on their way to the encoders; as `FramePipeline`."""

    def push(self, frame: av.VideoFrame, capture_us: int) -> None:
        """The next picture.

        Raises:
            CaptureError: nothing encodes any more.
        """
        ...

    def finish(self) -> None:
        """No more will come."""
        ...


class PictureOutput:
    """Pictures that the pipeline did not encode."""

    def __init__(self, reader: PictureReader, frames: FrameSink, judge: StampJudge) -> None:
        self._reader = reader
        self._frames = frames
        self._judge = judge
        self._last_us = 0

    def take(self, unit: Record, arrival_us: int) -> None:
        """As `Output`; a picture that is damaged is left out, and of two of one instant the second."""
        frame = self._reader.read(unit.payload)
        stamps = self._judge.judge(unit.times, arrival_us)
        capture_us = arrival_us if stamps.capture_us is None else stamps.capture_us
        if frame is not None and capture_us > self._last_us:
            self._last_us = capture_us
            self._frames.push(frame, capture_us)

    def finish(self) -> None:
        """As `Output`."""
        self._frames.finish()
