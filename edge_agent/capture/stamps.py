"""Time stamps of one stream: unwrapped, put on the 90 kHz clock, decode times rebuilt where they are missing."""

from bisect import insort
from fractions import Fraction

from edge_agent.contract.access_unit import TIMESCALE_HZ

_WRAP = 1 << 32
"""RTP time stamps have 32 bits (RFC 3550 section 5.1); MPEG-2 system clocks 33 (ISO/IEC 13818-1 clause 2.4.3.6), and
every multiple of 2^33 is one of 2^32."""
_MAX_REORDER = 16
"""`max_dec_frame_buffering` is at most 16 (H.264 clause A.3.1); H.265 has the same limit (clause A.4.2)."""


class Unwrapper:
    """Continues stamps over the wrap of a 32- or 33-bit counter, where the result is near the stamp before."""

    def __init__(self, time_base: Fraction) -> None:
        self._tolerance = int(10 / time_base)
        self._last: int | None = None

    def unwrap(self, raw: int) -> int:
        """The stamp on an endless line, in the source's time base; unchanged when no wrap explains it."""
        last = self._last
        if last is not None and abs(raw - last) > _WRAP // 2:
            near = raw + _WRAP * round((last - raw) / _WRAP)
            if abs(near - last) <= self._tolerance:
                raw = near
        self._last = raw
        return raw


class TimeBase:
    """Converts stamps of a source to 90 kHz."""

    def __init__(self, time_base: Fraction) -> None:
        scaled = time_base * TIMESCALE_HZ
        self._numerator, self._denominator = scaled.numerator, scaled.denominator

    def to_90k(self, stamp: int) -> int:
        """Rounded down; order is kept."""
        return stamp * self._numerator // self._denominator


class ReorderEstimator:
    """Decode times from presentation times alone.

    With a reorder depth d, the decode time of the nth picture is the (n-d)th smallest presentation time; the first d
    are extrapolated backwards (libav's `select_from_pts_buffer` and GStreamer's `h264timestamper` do the same). The
    depth begins with what the demuxer tells and grows when pictures prove it too small.
    """

    def __init__(self, depth: int) -> None:
        self.depth = min(max(depth, 0), _MAX_REORDER)
        self._waiting: list[int] = []
        self._last_dts: int | None = None

    def next_dts(self, pts: int, nominal: int) -> int:
        """Decode time for the next picture in decode order; never above `pts` once the depth fits."""
        if self._last_dts is not None and pts <= self._last_dts and self.depth < _MAX_REORDER:
            self.depth += 1
        insort(self._waiting, pts)
        if len(self._waiting) > self.depth:
            dts = self._waiting.pop(0)
        else:
            dts = self._waiting[0] - (self.depth + 1 - len(self._waiting)) * nominal
        self._last_dts = dts
        return dts
