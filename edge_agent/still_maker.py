"""A still of a recorder's camera, as it answers with: a JPEG that says of itself who took it and when."""

import base64
from collections.abc import Callable

from edge_agent import __version__
from edge_agent.buffer.ring import Ring
from edge_agent.capture.stills import StillDesk, TakenPicture
from edge_agent.clock import Clock
from edge_agent.contract.ring_protocol import ClockState, StillAnswer, StillRequest
from edge_agent.errors import SourceUnavailableError


class StillMaker:
    """Takes pictures of one camera; calls may come from any thread, and wait."""

    def __init__(
        self, desk: StillDesk, ring: Ring, unit_id: str, camera: str, clock: Clock, ailment: Callable[[], str] = str
    ) -> None:
        """`ring` knows the time, `ailment` why the camera gives no pictures; empty while it gives some."""
        self._desk = desk
        self._ring = ring
        self._description = f"{unit_id} {camera}"
        self._clock = clock
        self._ailment = ailment

    def __call__(self, request: StillRequest) -> StillAnswer:
        """The picture.

        Raises:
            CaptureError: the camera gives none.
        """
        from edge_agent.capture.jpeg import jpeg_of

        taken = self._take(request.wait_s)
        at = self._ring.stamp(taken.capture_us)
        jpeg = jpeg_of(taken.frame, at.utc_us, self._description, f"edge-agent {__version__}")
        return StillAnswer(
            jpeg_base64=base64.b64encode(jpeg).decode("ascii"),
            width_px=taken.frame.width,
            height_px=taken.frame.height,
            at_us=at.utc_us,
            age_s=max(0.0, (self._clock.monotonic_us() - taken.capture_us) / 1e6),
            clock=ClockState(source=at.source, bound_us=at.bound_us, utc_us=at.utc_us),
        )

    def _take(self, wait_s: float) -> TakenPicture:
        try:
            return self._desk.take(wait_s)
        except SourceUnavailableError as error:
            ailment = self._ailment()
            if not ailment:
                raise
            raise SourceUnavailableError(f"{error}: {ailment}") from error
