"""Planning a clip: which ring bytes and which samples answer a request. Pure: no file is opened, no clock is read.

What is delivered of an asked interval `[from, to)`: the pictures whose presentation lies in it, the first at or after
`from`, shown exactly from there by an edit list. What lies before it, back to the entry point, is in the file too,
because the first picture cannot be decoded without it.
"""

from __future__ import annotations  # array[int] is an annotation only before Python 3.12

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from edge_agent.buffer.clip.body import Body, lay_out
from edge_agent.buffer.clip.header import Track, build_header
from edge_agent.buffer.clip.stretch import LARGEST_JOINED_HOLE_90K, Piece, Stretch, split_into_stretches
from edge_agent.buffer.segment import SegmentInfo, UtcMap
from edge_agent.contract.access_unit import GapCause
from edge_agent.contract.clip import ClockStatement, Gap, Interval, Part, PositionAt
from edge_agent.contract.fragment_digests import FragmentDigests
from edge_agent.contract.places import headers_with_new_place
from edge_agent.contract.segment_format import CLOCK_SOURCES, SegmentHeader
from edge_agent.contract.times import format_utc

SMALLEST_GAP_US = LARGEST_JOINED_HOLE_90K * 100 // 9
"""Only longer holes are reported as gaps: 2 s."""


@dataclass(frozen=True, slots=True)
class PlannedClip:
    """What a request gets; without parts when nothing was recorded in its interval.

    Attributes:
        parts: in order of time.
        headers: header bytes of each part.
        gaps: holes of over 2 s in the asked interval, its beginning and end included.
        delivered: from the first part's first picture to the last part's end.
    """

    parts: tuple[Part, ...]
    headers: tuple[bytes, ...]
    gaps: tuple[Gap, ...]
    delivered: Interval | None


@dataclass(frozen=True, slots=True)
class _Selection:
    """Samples of a stretch: listed `[entry, end)` but for the entry's leading pictures, shown `[first, last]`."""

    stretch: Stretch
    entry: int
    first: int
    last: int
    end: int
    whole_beginning: bool
    """The stretch's own first picture is shown, or the first that is exact from it on: what is missing before that,
    its opening cause explains."""


def plan_parts(
    segments: Sequence[SegmentInfo], utc: UtcMap, asked: Interval, known_gaps: Sequence[Gap] = ()
) -> PlannedClip:
    """Plan a clip.

    Args:
        segments: those that overlap the interval, the one before it (the entry point may lie there) and the one
            after it (it says why the end is missing), in the order of their sequence numbers; more do no harm.
        utc: from monotonic time to UTC.
        asked: half open.
        known_gaps: holes whose cause the caller knows, such as that of the camera being silent now.

    Raises:
        FormatError: a segment's tables do not fit one another; the message names its file.
    """
    usable = [segment for segment in segments if segment.fragments]
    stretches = split_into_stretches(usable)
    chosen = [_select(stretch, utc, asked) for stretch in stretches]
    selections = [selection for selection in chosen if selection is not None]
    parts, headers = _plan_parts(selections, utc)
    delivered = Interval(start_us=parts[0].interval.start_us, end_us=parts[-1].interval.end_us) if parts else None
    causes = [selection.stretch.opened_cause if selection.whole_beginning else "unknown" for selection in selections]
    end_cause = _cause_after(stretches, selections, utc, asked)
    holes = _holes(asked, parts, [*causes, end_cause])
    gaps = tuple(_with_known_causes(holes, known_gaps))
    return PlannedClip(parts, headers, gaps, delivered)


def _select(stretch: Stretch, utc: UtcMap, asked: Interval) -> _Selection | None:
    first = stretch.first_from(utc, asked.start_us)
    last = stretch.last_before(utc, asked.end_us)
    if first is None or last is None or stretch.pts_90k[last] < stretch.pts_90k[first]:
        return None
    entry = stretch.entry_for(first)
    moved = entry is None
    if entry is None:
        start = stretch.exact_start_after(first)
        if start is None or stretch.pts_90k[start[0]] > stretch.pts_90k[last]:
            return None
        first, entry = start
    return _Selection(
        stretch=stretch,
        entry=entry,
        first=first,
        last=last,
        end=stretch.end_in_decode_order(last),
        whole_beginning=entry == 0 and (first == 0 or moved),
    )


def _plan_parts(selections: Sequence[_Selection], utc: UtcMap) -> tuple[tuple[Part, ...], tuple[bytes, ...]]:
    parts: list[Part] = []
    headers: list[bytes] = []
    for index, selection in enumerate(selections, start=1):
        part, header = _plan_part(selection, utc, index, sum(map(len, headers)))
        parts.append(part)
        headers.append(header)
    return tuple(parts), tuple(headers)


def _plan_part(selection: _Selection, utc: UtcMap, index: int, header_offset: int) -> tuple[Part, bytes]:
    stretch = selection.stretch
    body = lay_out(stretch, selection.entry, selection.end)
    track = _track(selection, utc, body)
    header = build_header(track)
    recorded = body.pieces[0].segment.header
    start_us = _whole_milliseconds(track.created_us)
    last_us = stretch.sample_utc_us(utc, selection.last)
    last_length_90k = stretch.presentation_end_90k(selection.last) - stretch.pts_90k[selection.last]
    part = Part(
        index=index,
        file_name=_file_name(recorded, start_us, index),
        interval=Interval(start_us=start_us, end_us=_whole_milliseconds(last_us + last_length_90k * 100 // 9)),
        duration_90k=track.shown_90k,
        preroll_90k=stretch.pts_90k[selection.first] - stretch.pts_90k[selection.entry],
        samples=len(track.sizes_bytes),
        length_bytes=len(header) + track.body_bytes,
        header_offset=header_offset,
        header_bytes=len(header),
        ranges=body.ranges,
        deployment_id=recorded.deployment_id,
        position=recorded.position,
        positions=_positions(body.pieces, utc),
        codec=recorded.codec,
        width_px=recorded.width_px,
        height_px=recorded.height_px,
        frame_rate_fps=recorded.frame_rate_fps,
        boot_id=recorded.boot_id,
        run_id=recorded.run_id,
        clock=_clock(body.pieces, utc),
        warnings=_warnings(body.pieces),
        fragments=_digests(body, len(header)),
    )
    return part, header


def _track(selection: _Selection, utc: UtcMap, body: Body) -> Track:
    stretch, entry, end = selection.stretch, selection.entry, selection.end
    skipped_end = min(stretch.end_of_leading(entry), end)
    listed = [(entry, end)] if skipped_end == entry + 1 else [(entry, entry + 1), (skipped_end, end)]
    sizes, dts = _of_listed(stretch.sizes_bytes, listed), _of_listed(stretch.dts_90k, listed)
    pts = dts if stretch.pts_90k is stretch.dts_90k else _of_listed(stretch.pts_90k, listed)
    left_out = skipped_end - entry - 1
    return Track(
        config=body.pieces[0].segment.config,
        stsd=body.pieces[0].segment.stsd,
        created_us=stretch.sample_utc_us(utc, selection.first),
        sizes_bytes=sizes,
        dts_90k=dts,
        pts_90k=pts,
        end_90k=stretch.end_90k if end == len(stretch.dts_90k) else stretch.dts_90k[end],
        keys=[0, *(key - entry - left_out for key in stretch.exact_keys if skipped_end <= key < end)],
        chunks=body.chunks(stretch, listed),
        first_shown_90k=stretch.pts_90k[selection.first],
        shown_90k=stretch.presentation_end_90k(selection.last) - stretch.pts_90k[selection.first],
        body_bytes=body.size_bytes,
    )


def _of_listed(values: array[int], listed: Sequence[tuple[int, int]]) -> array[int]:
    (start, stop), *rest = listed
    found = values[start:stop]
    for start, stop in rest:
        found.extend(values[start:stop])
    return found


def _digests(body: Body, header_bytes: int) -> FragmentDigests:
    sequences, numbers, lengths_bytes, digests = array("Q"), array("I"), array("I"), bytearray()
    for piece in body.pieces:
        fragments = piece.segment.fragments
        sequences.extend(array("Q", [piece.segment.sequence]) * len(piece))
        numbers.extend(fragments.numbers[piece.first : piece.end])
        lengths_bytes.extend(fragments.lengths_bytes[piece.first : piece.end])
        digests += fragments.digests_between(piece.first, piece.end)
    offsets = array("Q", [header_bytes + offset for offset in body.offsets])
    return FragmentDigests.of_columns(sequences, numbers, offsets, lengths_bytes, bytes(digests))


def _clock(pieces: Sequence[Piece], utc: UtcMap) -> ClockStatement:
    """The weakest word on the clock, asked at the first and the last fragment of each segment."""
    estimates = [
        utc.to_utc(piece.segment.header.boot_id, piece.segment.fragments.monotonic_us[place])
        for piece in pieces
        for place in (piece.first, piece.end - 1)
    ]
    bounds_us = [estimate.bound_us for estimate in estimates if estimate.bound_us is not None]
    return ClockStatement(
        source=min((estimate.source for estimate in estimates), key=CLOCK_SOURCES.index),
        bound_us=max(bounds_us) if len(bounds_us) == len(estimates) else None,
    )


def _positions(pieces: Sequence[Piece], utc: UtcMap) -> tuple[PositionAt, ...]:
    """What the segments say of their places, each dated by the segment's beginning."""
    headers = {piece.segment.sequence: piece.segment.header for piece in pieces}
    return tuple(
        PositionAt(
            **dict(stamp),
            at_us=_whole_milliseconds(utc.to_utc(header.boot_id, header.monotonic_us).utc_us),
            sequence=header.sequence,
        )
        for header, stamp in headers_with_new_place(headers.values())
    )


def _warnings(pieces: Sequence[Piece]) -> tuple[str, ...]:
    """What the segments warn of, each once, in order."""
    headers = dict.fromkeys(piece.segment.header.warnings for piece in pieces)
    return tuple(dict.fromkeys(warning for warnings in headers for warning in warnings))


def _file_name(header: SegmentHeader, start_us: int, index: int) -> str:
    instant = format_utc(start_us).replace("-", "").replace(":", "")
    return f"{header.unit_id}_{header.camera}_{instant}_part{index}.mp4"


def _whole_milliseconds(instant_us: int) -> int:
    """Rounded down to what the contract's times carry, so that a stored plan equals the planned one."""
    return instant_us // 1000 * 1000


def _holes(asked: Interval, parts: Sequence[Part], causes: Sequence[GapCause]) -> Iterator[Gap]:
    """Holes of over 2 s before each part and after the last, with the cause given for each."""
    held_until_us = asked.start_us
    starts_us = [*(part.interval.start_us for part in parts), asked.end_us]
    ends_us = [*(part.interval.end_us for part in parts), asked.end_us]
    for start_us, end_us, cause in zip(starts_us, ends_us, causes, strict=True):
        if start_us - held_until_us > SMALLEST_GAP_US:
            yield Gap(start_us=held_until_us, end_us=start_us, cause=cause)
        held_until_us = max(held_until_us, end_us)


def _cause_after(
    stretches: Sequence[Stretch], selections: Sequence[_Selection], utc: UtcMap, asked: Interval
) -> GapCause:
    """Why the end is missing: what opened the next stretch that begins after the last part."""
    used = selections[-1].stretch if selections else None
    later = stretches[stretches.index(used) + 1 :] if used is not None else stretches
    for stretch in later:
        if stretch.sample_utc_us(utc, 0) >= asked.end_us:
            return stretch.opened_cause
    return "unknown"


def _with_known_causes(holes: Iterable[Gap], known_gaps: Sequence[Gap]) -> Iterator[Gap]:
    """Each hole with the cause of the known gap that covers most of it; known gaps do not overlap."""
    known = sorted(known_gaps, key=lambda gap: gap.start_us)
    ends_us = [gap.end_us for gap in known]
    begins_us = [gap.start_us for gap in known]
    for hole in holes:
        touching = known[bisect_right(ends_us, hole.start_us) : bisect_left(begins_us, hole.end_us)]
        yield _with_known_cause(hole, touching)


def _with_known_cause(hole: Gap, touching: Sequence[Gap]) -> Gap:
    def overlap_us(known: Gap) -> int:
        return min(hole.end_us, known.end_us) - max(hole.start_us, known.start_us)

    best = max(touching, key=overlap_us, default=None)
    return hole.model_copy(update={"cause": best.cause}) if best is not None and overlap_us(best) > 0 else hole
