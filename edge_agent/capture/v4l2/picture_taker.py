"""Buffers with JPEGs or pixels become pictures for the encoders."""

from fractions import Fraction

from edge_agent.capture.pipeline import FramePipeline
from edge_agent.capture.source import SourceContext
from edge_agent.capture.v4l2.buffers import Filled
from edge_agent.capture.v4l2.opening import Opened
from edge_agent.capture.v4l2.pictures import Conversion, JpegPictures, RawPictures
from edge_agent.settings import CameraSettings


class PictureTaker:
    """Pictures, which are encoded here."""

    def __init__(self, settings: CameraSettings, context: SourceContext, opened: Opened, fps: Fraction) -> None:
        negotiated, left = opened.negotiated, opened.turning
        self._pictures = JpegPictures() if negotiated.form.kind == "jpeg" else RawPictures(negotiated)
        self._conversion = Conversion()
        undone = {"rotation_deg": left.rotation_deg, "hflip": left.hflip, "vflip": left.vflip}
        still = settings.model_copy(update=undone)
        self._pipeline = FramePipeline(still, context, negotiated.width_px, negotiated.height_px, float(fps))
        self._last_us = -1

    def take(self, filled: Filled, capture_us: int | None, arrival_us: int) -> bool:
        """As `Taker`."""
        frame = self._pictures.frame(filled.planes)
        if frame is None:
            return False
        taken_us = max(arrival_us if capture_us is None else capture_us, self._last_us + 1)
        self._last_us = taken_us
        self._pipeline.push(self._conversion.convert(frame), taken_us)
        return True

    def finish(self) -> None:
        """As `Taker`."""
        self._pipeline.finish()
