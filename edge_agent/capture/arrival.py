"""When a picture was taken, estimated from when packets arrive.

Transport only ever delays: of `arrival - media time`, the minimum over a window is the constant part (clock offset
and least delay), whatever the jitter. The idea is the minimum-delay clock filter of NTP (RFC 5905 section 10) and the
skew estimation of GStreamer's `rtpjitterbuffer` (Fober, Orlarey, Letz, "Real Time Clock Skew Estimation over Network
Delays", 2005); the window follows a camera whose clock drifts. What is handed out moves towards the minimum by a
bounded slew, so that it rises with media time without a step.
"""

from collections import deque

_WINDOW_US = 30_000_000
_SLEW_UP_PPM = 5_000
_SLEW_DOWN_PPM = 50_000
"""A lower minimum is always nearer to the truth; a higher one may be a delay that passes. Over the 16 pictures that a
codec may reorder, 5 % stay below one picture, so that capture time rises with presentation time."""
_FAR_US = 200_000
_FAR_SLEW_DOWN_PPM = 300_000
"""While a queue of old pictures drains, at the beginning or after a stall; enough for three reordered pictures."""


class ArrivalFilter:
    """Offset from media time to the monotonic clock; both in µs."""

    def __init__(self) -> None:
        self._minima: deque[tuple[int, int]] = deque()
        """(arrival, arrival - media): offsets rise from left to right, so that the leftmost is the minimum."""
        self._offset_us: int | None = None
        self._last_media_us = 0

    @property
    def started(self) -> bool:
        """Whether anything was observed."""
        return bool(self._minima)

    def observe(self, media_us: int, arrival_us: int) -> None:
        """A packet with this media time arrived."""
        offset_us = arrival_us - media_us
        minima = self._minima
        while minima and minima[-1][1] >= offset_us:
            minima.pop()
        minima.append((arrival_us, offset_us))
        while minima[0][0] < arrival_us - _WINDOW_US:
            minima.popleft()

    def capture_us(self, media_us: int) -> int:
        """Monotonic time of a media time; call it in decode order, after `observe` of at least one packet."""
        target_us = self._minima[0][1]
        if self._offset_us is None:
            self._offset_us = target_us
        else:
            passed_us = max(0, media_us - self._last_media_us)
            error_us = target_us - self._offset_us
            down_ppm = _SLEW_DOWN_PPM if error_us > -_FAR_US else _FAR_SLEW_DOWN_PPM
            down_us, up_us = passed_us * down_ppm // 1_000_000, passed_us * _SLEW_UP_PPM // 1_000_000
            self._offset_us += max(-down_us, min(up_us, error_us))
        self._last_media_us = max(media_us, self._last_media_us)
        return media_us + self._offset_us

    def lateness_us(self, media_us: int, arrival_us: int) -> int:
        """How much later than expected a packet came; negative is earlier than it can have been taken."""
        offset_us = self._offset_us if self._offset_us is not None else self._minima[0][1]
        return arrival_us - media_us - offset_us

    def media_us(self, arrival_us: int) -> int:
        """Media time of a packet that arrives now with the usual delay; after `observe` of at least one packet."""
        return arrival_us - (self._offset_us if self._offset_us is not None else self._minima[0][1])
