"""Which segments a clip is made of: chosen, pinned and read, so that nothing takes them away meanwhile."""

from collections.abc import Sequence

from edge_agent.buffer.catalogue import MAX_SHORT_GAP_US
from edge_agent.buffer.holdings import Holdings
from edge_agent.buffer.live_state import LiveState
from edge_agent.buffer.mending import Mender
from edge_agent.buffer.pins import Pin
from edge_agent.buffer.segment import SegmentInfo
from edge_agent.contract.access_unit import TIMESCALE_HZ
from edge_agent.contract.clip import Interval
from edge_agent.contract.codes import ErrorCode
from edge_agent.contract.ring_protocol import PlanRequest
from edge_agent.contract.times import format_utc
from edge_agent.errors import RingRequestError

MAX_REACH_S = 15 * 60
"""How far before an interval the key frame of its first picture is looked for, in seconds of media.

Cameras with a smart codec stretch a group of pictures over a still street to minutes.
"""


def check_all_is_known(live: LiveState, interval: Interval, reach_us: int = 0) -> None:
    """Refuse, until the rebuild has read on, a clip that would have holes where files were not read yet.

    Args:
        live: says what a rebuild may still find.
        interval: what is asked for.
        reach_us: how far before it footage counts too.

    Raises:
        RingRequestError: `storage-error`; asking again helps.
    """
    begin_us = max(interval.start_us - reach_us, 0)
    if live.may_find_more(Interval(start_us=begin_us, end_us=interval.end_us)):
        raise not_known_yet(live, interval)


def not_known_yet(live: LiveState, interval: Interval) -> RingRequestError:
    """The refusal of an interval that the index does not know wholly yet."""
    trouble = live.rebuild_trouble()
    hindered = f" and does not get on ({trouble})" if trouble else ""
    return RingRequestError(
        ErrorCode.STORAGE_ERROR,
        f"the index is being rebuilt{hindered}, not all footage from {format_utc(interval.start_us)} to"
        f" {format_utc(interval.end_us)} is known yet: ask again",
    )


class Chooser:
    """Chooses and pins for the planner; takes the ring's lock for each step."""

    def __init__(self, holdings: Holdings, mender: Mender, live: LiveState, max_pinned_share: float | None) -> None:
        """`max_pinned_share` is that of the ring that clips may hold; None where nothing is overwritten."""
        self._holdings = holdings
        self._mender = mender
        self._live = live
        self._max_pinned_share = max_pinned_share

    def pin(self, request: PlanRequest, *, reserved: bool) -> frozenset[int]:
        """Pin what overlaps the interval, before anything else is done with it; the segments' numbers.

        Raises:
            RingRequestError: clips would hold more than their share of the ring.
        """
        capacity_bytes = self._live.capacity_bytes()
        holdings = self._holdings
        with holdings.lock:
            sequences = frozenset(self._wanted(request.interval))
            info = holdings.open_info()
            claimed = sequences | {info.sequence} if info is not None else sequences
            self._check_share(sequences, capacity_bytes)
            holdings.pins.put(request.clip_id, Pin(claimed, request.interval if reserved else None))
        return claimed

    def claim(self, clip_id: str, used: frozenset[int]) -> None:
        """Pin exactly what the plan names; all of it must still be there (age spares nothing, the clock may move).

        Raises:
            RingRequestError: some of it is gone.
        """
        with self._holdings.lock:
            self._holdings.pins.put(clip_id, Pin(used))
            missing = self._holdings.missing(used)
        if missing:
            raise RingRequestError(
                ErrorCode.STORAGE_ERROR, f"{len(missing)} segments were removed while the clip was planned: ask again"
            )

    def _check_share(self, sequences: frozenset[int], capacity_bytes: int) -> None:
        """Refuse what would let clips hold more than their share of the ring."""
        if self._max_pinned_share is None:
            return
        holdings = self._holdings
        new_bytes = holdings.sizes(number for number in sequences if number not in holdings.pins)
        pinned_bytes = holdings.pinned_bytes()
        allowed_bytes = round(capacity_bytes * self._max_pinned_share)
        if new_bytes and pinned_bytes + new_bytes > allowed_bytes:
            raise RingRequestError(
                ErrorCode.STORAGE_ERROR,
                f"clips that wait hold {pinned_bytes} bytes; with {new_bytes} more they would exceed"
                f" {allowed_bytes}, half of what the ring may take: fetch or cancel some first",
            )

    def _wanted(self, interval: Interval) -> list[int]:
        """Closed segments that overlap; the one before, where the entry point may lie; the one after a gap."""
        holdings = self._holdings
        found = holdings.overlapping(interval)
        info = holdings.open_info()
        if not found:
            return [] if info is None else self._before(info.sequence, info.header.run_id)
        first, last = holdings.rows_of(found[0])[0], holdings.rows_of(found[-1])[-1]
        found[:0] = self._before(first.sequence, first.run_id)
        if holdings.clock.utc_us(last.boot_id, last.end_us) < interval.end_us:
            after = holdings.neighbours(found[-1])[1]
            found += [] if after is None else [after]
        return found

    def _before(self, sequence: int, run_id: str) -> list[int]:
        """The segment before, if of the same run: a segment that was cut hard does not begin with a key frame."""
        before = self._holdings.neighbours(sequence)[0]
        if before is None or self._holdings.rows_of(before)[-1].run_id != run_id:
            return []
        return [before]

    def segments(self, request: PlanRequest) -> list[SegmentInfo]:
        """Tables of what an interval is made of, from the entry point of its first picture on; pinned.

        Raises:
            RingRequestError: clips would hold more than their share of the ring, or footage lies in files that nobody
                read yet.
        """
        # The open segment first: if it is closed meanwhile, it is found among the closed ones.
        info = self._holdings.open_info()
        segments = self._read(self._wanted(request.interval))
        if info is not None and all(segment.sequence != info.sequence for segment in segments):
            segments.append(info)
        return [*self._leading_to(segments[0], request), *segments] if segments else []

    def _leading_to(self, first: SegmentInfo, request: PlanRequest) -> list[SegmentInfo]:
        """The segments before, back to the key frame that the interval's first picture is decoded from; pinned.

        Raises:
            RingRequestError: they would exceed the share of the ring that clips may hold, or lie in files that nobody
                read yet.
        """
        capacity_bytes = self._live.capacity_bytes()
        found: list[SegmentInfo] = []
        farthest_90k = _begin_90k(first) - MAX_REACH_S * TIMESCALE_HZ
        while _begin_90k(first) > farthest_90k and not self._can_begin(first, request.interval.start_us):
            before = self._read(self._pin_before(first, request.clip_id, capacity_bytes))
            if not before:
                check_all_is_known(self._live, request.interval, MAX_REACH_S * 1_000_000)
                break
            first = before[0]
            found[:0] = before
        return found

    def _can_begin(self, segment: SegmentInfo, start_us: int) -> bool:
        """Whether decoding can begin in a segment for what is shown from an instant on.

        A gradually refreshed key picture counts only when the keys that it needs lie in the segment too.
        """
        boot_id, clock, fragments = segment.header.boot_id, self._holdings.clock, segment.fragments
        keys = filter(fragments.is_key, range(len(fragments)))
        return any(
            fragments.keys_back(place) <= keys_before
            and (fragments.numbers[place] == 1 or clock.utc_us(boot_id, fragments.monotonic_us[place]) <= start_us)
            for keys_before, place in enumerate(keys)
        )

    def _pin_before(self, first: SegmentInfo, clip_id: str, capacity_bytes: int) -> list[int]:
        """The segment before, pinned, if its footage leads to this one's without a gap."""
        holdings = self._holdings
        with holdings.lock:
            found = self._before(first.sequence, first.header.run_id)
            if found:
                begin_us = first.fragments.monotonic_us[0]
                if begin_us - holdings.rows_of(found[0])[-1].end_us > MAX_SHORT_GAP_US:
                    return []
                self._check_share(frozenset(found), capacity_bytes)
                holdings.pins.extend(clip_id, found[0])
        return found

    def _read(self, sequences: Sequence[int]) -> list[SegmentInfo]:
        """Tables of closed segments as their files are now."""
        return self._holdings.read(self._mender.sound(sequences))


def _begin_90k(segment: SegmentInfo) -> int:
    return segment.samples.dts_90k[0]
