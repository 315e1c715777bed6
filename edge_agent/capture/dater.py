"""A stream's stamps, checked, completed and continued: every picture gets decode, presentation and capture time.

The line that comes out is the source's own media time, bridged where the source jumped; the normaliser places it on
the run's media time line.
"""

from dataclasses import dataclass
from typing import Literal

from edge_agent.capture.arrival import ArrivalFilter
from edge_agent.capture.packet import RawPacket
from edge_agent.capture.stamps import ReorderEstimator
from edge_agent.contract.access_unit import TIMESCALE_HZ

_GAP_90K = 2 * TIMESCALE_HZ
_STEP_US = 500_000
_EARLY_US = 2_000_000
_LATE_US = 2_000_000
_BEHIND_US = 5_000_000
_BACKWARD_90K = TIMESCALE_HZ // 10
_REORDER_PICTURES = 17
_ARRIVAL_SLACK_90K = TIMESCALE_HZ // 5
_NOMINAL_WEIGHT = 16

Break = Literal["jump", "silence"]


@dataclass(slots=True)
class Picture:
    """A whole access unit with its stamps at 90 kHz on the source's unwrapped line."""

    packet: RawPacket
    pts: int | None
    dts: int | None


@dataclass(slots=True)
class Dated:
    """A picture's times, and what happened to the stream just before it.

    Attributes:
        pts: presentation, 90 kHz, on the stream's bridged line.
        dts: decode, on the same line, never above `pts`; may repeat or step back by a little.
        capture_us: monotonic time at which the picture was taken.
        broken: the source's clock jumped, or the source was silent for over 2 s.
        detail: says so for people.
    """

    pts: int
    dts: int
    capture_us: int
    broken: Break | None = None
    detail: str = ""


def to_us(time_90k: int) -> int:
    """90 kHz to µs."""
    return time_90k * 100 // 9


def to_90k(time_us: int) -> int:
    """µs to 90 kHz."""
    return time_us * 9 // 100


class Dater:
    """Dates the pictures of one attempt, in the order in which they came."""

    def __init__(self, nominal_90k: int, reorder_depth: int) -> None:
        """`nominal_90k` is the frame duration to begin with, `reorder_depth` what the demuxer knows of B-frames."""
        self.nominal_90k = nominal_90k
        """Frame duration, measured as pictures come."""
        self._reorder = ReorderEstimator(reorder_depth)
        self._arrival = ArrivalFilter()
        self._bridge = 0
        self._last: tuple[int, int] | None = None
        """Decode stamp and arrival of the picture before."""
        self._newest_pts = 0
        self._last_pts_stamp: int | None = None
        self._late_since_us: int | None = None

    def settle(self, pictures: list[Picture]) -> None:
        """Learn from the first pictures before they are dated: the least delay, and stamps that came late."""
        self._date_head(pictures)
        for picture in pictures:
            stamp = picture.dts if picture.pts is None else picture.pts
            if stamp is not None:
                self._arrival.observe(to_us(stamp), picture.packet.arrival_us)

    def _date_head(self, pictures: list[Picture]) -> None:
        """Date the pictures before the first that has stamps.

        They are shown before all that follow, as a key frame is; their decode stamps follow one another backwards.
        """
        shown = [picture.pts for picture in pictures if picture.pts is not None]
        known = next((index for index, picture in enumerate(pictures) if picture.pts is not None), 0)
        decoded = next((index for index, picture in enumerate(pictures) if picture.dts is not None), 0)
        for index, picture in enumerate(pictures[:known]):
            if picture.dts is None:
                picture.pts = min(shown[:_REORDER_PICTURES]) - (known - index) * self.nominal_90k
        base = pictures[decoded].dts if pictures else None
        for index, picture in enumerate(pictures[:decoded]):
            if base is not None:
                picture.dts = base - (decoded - index) * self.nominal_90k

    def date(self, picture: Picture) -> Dated:
        """Date the next picture."""
        packet = picture.packet
        pts, dts = self._completed(picture)
        broken, detail = self._check(packet, pts, dts)
        if broken == "jump":
            step = self._expected(packet) - (pts if dts is None else dts)
            self._bridge += step
            pts, dts = pts + step, None if dts is None else dts + step
        rebuilt = self._reorder.next_dts(pts, self.nominal_90k)
        if dts is None or dts > pts:
            dts = min(rebuilt, pts)
        self._learn(packet, pts, dts)
        return Dated(pts, dts, self._capture_us(packet, pts), broken, detail)

    def _completed(self, picture: Picture) -> tuple[int, int | None]:
        """Stamps on the bridged line; the presentation stamp is always there."""
        pts, dts = picture.pts, picture.dts
        repeated = pts is not None and pts == self._last_pts_stamp
        self._last_pts_stamp = self._last_pts_stamp if pts is None else pts
        if repeated or (pts is None and dts is None):
            guess = self._guess(picture.packet)
            return guess, guess
        if dts is not None:
            dts += self._bridge
        return (dts if dts is not None else 0) if pts is None else pts + self._bridge, dts

    def _guess(self, packet: RawPacket) -> int:
        """A stamp for a picture without one: after the one before, and not far from its arrival."""
        if self._last is None:
            return to_90k(packet.arrival_us)
        after = self._last[0] + self.nominal_90k
        if packet.capture_us is not None or not self._arrival.started:
            return after
        arrived = to_90k(self._arrival.media_us(packet.arrival_us))
        return max(arrived - _ARRIVAL_SLACK_90K, min(arrived + _ARRIVAL_SLACK_90K, after))

    def _expected(self, packet: RawPacket) -> int:
        """Where the decode stamp of a picture after a jump would have been without it."""
        if self._last is None:
            return to_90k(packet.arrival_us)
        last, elapsed = self._last[0], to_90k(packet.arrival_us - self._last[1])
        if packet.capture_us is None and self._arrival.started:
            arrived = to_90k(self._arrival.media_us(packet.arrival_us))
        else:
            arrived = last + elapsed
        if arrived - last > _GAP_90K + self.nominal_90k:
            return arrived
        # No faster than packets come, so that a source whose clock is far too fast does not run away.
        return last + max(1, min(elapsed, self.nominal_90k) if arrived < last else self.nominal_90k)

    def _check(self, packet: RawPacket, pts: int, dts: int | None) -> tuple[Break | None, str]:
        if self._last is None:
            return None, ""
        if dts is None:
            step, back = pts - self._newest_pts, _REORDER_PICTURES * self.nominal_90k
        else:
            step, back = dts - self._last[0], 2 * self.nominal_90k
        if step < -max(back, _BACKWARD_90K):
            return "jump", f"time stamps went back by {-step / TIMESCALE_HZ:.3f} s"
        if packet.capture_us is None and (detail := self._check_arrival(packet, pts, step)):
            return "jump", detail
        if step > max(_GAP_90K, 3 * self.nominal_90k):
            return "silence", f"the camera was silent for {step / TIMESCALE_HZ:.1f} s"
        return None, ""

    def _check_arrival(self, packet: RawPacket, pts: int, step: int) -> str:
        late_us = self._arrival.lateness_us(to_us(pts), packet.arrival_us)
        before_us = packet.arrival_us if self._last is None else self._last[1]
        stepped_us = to_us(step) - (packet.arrival_us - before_us)
        # Gradually earlier is a queue that drains; all at once is a clock that was set.
        if late_us < -_EARLY_US or (late_us < -_STEP_US and stepped_us > _STEP_US):
            return f"time stamps went forward by {-late_us / 1e6:.3f} s"
        if late_us <= _LATE_US:
            self._late_since_us = None
        elif self._late_since_us is None:
            self._late_since_us = packet.arrival_us
        elif packet.arrival_us - self._late_since_us > _BEHIND_US:
            self._late_since_us = None
            return f"time stamps fell {late_us / 1e6:.3f} s behind"
        return ""

    def _learn(self, packet: RawPacket, pts: int, dts: int) -> None:
        if self._last is not None:
            step = dts - self._last[0]
            if 0 < step < _GAP_90K:
                self.nominal_90k += (step - self.nominal_90k) // _NOMINAL_WEIGHT
                self.nominal_90k = max(self.nominal_90k, 1)
            dts = max(dts, self._last[0])
        self._last = (dts, packet.arrival_us)
        self._newest_pts = max(pts, self._newest_pts)

    def _capture_us(self, packet: RawPacket, pts: int) -> int:
        if packet.capture_us is not None:
            return packet.capture_us
        self._arrival.observe(to_us(pts), packet.arrival_us)
        return self._arrival.capture_us(to_us(pts))
