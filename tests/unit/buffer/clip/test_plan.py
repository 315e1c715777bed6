"""What a planned clip shows, checked picture by picture on real streams."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csu.verify import verify_clip
from csu.verify.tables import read_tables
from edge_agent.buffer.clip.plan import PlannedClip, plan_parts
from edge_agent.buffer.clip.reader import PartReader
from edge_agent.buffer.fragment_table import FragmentTable
from edge_agent.buffer.segment import SegmentInfo, UtcEstimate
from edge_agent.contract.access_unit import AccessUnit, Codec
from edge_agent.contract.boxes import find, walk
from edge_agent.contract.clip import Gap, Interval
from edge_agent.contract.segment_format import ClockSource, SegmentHeader, read_fragment_record
from tests import golden_segment
from tests.builders import CAPTURE_US, RUN_ID, WALL_US, Stream, make_units, shifted
from tests.support.frames import recorded_frames, shown_frames
from tests.support.recording import LinearUtc, record, rotated

UTC = LinearUtc()
SECOND = 90_000


def asked(from_s: float, to_s: float) -> Interval:
    return Interval(start_us=WALL_US + round(from_s * 1e6), end_us=WALL_US + round(to_s * 1e6))


def seconds(interval: Interval | Gap) -> tuple[float, float]:
    return (interval.start_us - WALL_US) / 1e6, (interval.end_us - WALL_US) / 1e6


def part_files(ring: Path, planned: PlannedClip) -> list[Path]:
    """The parts as files."""
    paths = []
    headers = ring / "headers"
    headers.write_bytes(b"".join(planned.headers))
    for part in planned.parts:
        paths.append(ring / part.file_name)
        with PartReader(ring, headers, part) as reader:
            paths[-1].write_bytes(reader.read(0, part.length_bytes + 1))
        assert paths[-1].stat().st_size == part.length_bytes
    return paths


def expected_frames(stream: Stream, interval: Interval) -> list[tuple[int, str]]:
    """The pictures whose capture lies in an interval, by the definition of what is delivered."""
    hashes = recorded_frames(stream)
    inside = sorted(
        unit.pts_90k
        for unit in stream.units
        if interval.start_us <= UTC.to_utc("", unit.capture_us).utc_us < interval.end_us
    )
    return [(pts - inside[0], hashes[pts]) for pts in inside]


def cut(stream: Stream, start: int, stop: int | None = None) -> Stream:
    return Stream(stream.config, stream.units[start:stop])


class Recorded:
    """A stream of 12 s in segments of 3.4 s, hard cuts between key frames included."""

    def __init__(self, ring: Path, codec: Codec, b_frames: int) -> None:
        self.ring = ring
        self.stream = make_units(12, codec=codec, b_frames=b_frames)
        self.segments = rotated(ring, self.stream, 85)


@pytest.fixture(
    scope="module", params=[("h264", 0), ("h264", 2), ("hevc", 0), ("hevc", 3)], ids=lambda p: f"{p[0]}-{p[1]}"
)
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    codec, b_frames = request.param
    return Recorded(tmp_path_factory.mktemp("ring"), codec, b_frames)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(from_ms=st.integers(-100, 11_900), length_ms=st.integers(150, 6_000))
def test_exactly_the_asked_pictures_are_shown(recorded: Recorded, from_ms: int, length_ms: int) -> None:
    interval = asked(from_ms / 1000, (from_ms + length_ms) / 1000)
    planned = plan_parts(recorded.segments, UTC, interval)
    expected = expected_frames(recorded.stream, interval)
    (path,) = part_files(recorded.ring, planned)
    assert shown_frames(path) == expected
    (part,) = planned.parts
    assert part.duration_90k == len(expected) * 3600
    assert part.interval.start_us >= interval.start_us
    assert part.interval == planned.delivered


def test_the_part_says_where_it_was_recorded(recorded: Recorded) -> None:
    (part,) = plan_parts(recorded.segments, UTC, asked(5.03, 8)).parts
    assert seconds(part.interval) == (5.04, 8.0)
    assert part.preroll_90k == 3600
    assert part.file_name == "nomad-07_main_20260921T141325.040Z_part1.mp4"
    assert (part.codec, part.width_px, part.frame_rate_fps) == (recorded.stream.config.codec, 128, 25.0)
    assert part.clock.source == "chrony"
    assert part.clock.bound_us == 5_000


def test_the_clips_own_bytes_prove_themselves(recorded: Recorded) -> None:
    planned = plan_parts(recorded.segments, UTC, asked(3.2, 8))
    (part,) = planned.parts
    data = part_files(recorded.ring, planned)[0].read_bytes()
    ftyp, moov, mdat = walk(data)
    assert (ftyp.kind, moov.kind, mdat.kind, mdat.body_offset) == (b"ftyp", b"moov", b"mdat", part.header_bytes)
    inner = list(walk(data, mdat.body_offset, mdat.end))
    headers = [
        SegmentHeader.from_body(data[box.body_offset : box.end])
        for before, box in pairwise(inner)
        if (before.kind, box.kind) == (b"moov", b"uuid")
    ]
    assert [header.sequence for header in headers] == sorted({digest.sequence for digest in part.fragments})
    for digest in part.fragments:
        end = digest.offset + digest.length_bytes
        record_, sha256 = read_fragment_record(data[end - 144 : end], data[digest.offset : end - 152])
        assert (record_.sequence, record_.number, sha256.hex()) == (digest.sequence, digest.number, digest.sha256)


def test_ring_bytes_are_unchanged_and_in_one_range_a_whole_segment(recorded: Recorded) -> None:
    planned = plan_parts(recorded.segments, UTC, asked(0, 12))
    (part,) = planned.parts
    assert len(part.ranges) == len(recorded.segments)
    whole = b"".join((recorded.ring / segment.file).read_bytes() for segment in recorded.segments)
    assert part_files(recorded.ring, planned)[0].read_bytes()[part.header_bytes :] == whole


def test_segments_around_the_interval_change_nothing(recorded: Recorded) -> None:
    interval = asked(5, 6)
    few = [segment for segment in recorded.segments if segment.sequence in {1, 2, 3}]
    assert plan_parts(recorded.segments, UTC, interval) == plan_parts(few, UTC, interval)


def test_the_same_request_gives_the_same_bytes(recorded: Recorded) -> None:
    assert plan_parts(recorded.segments, UTC, asked(1, 7)) == plan_parts(recorded.segments, UTC, asked(1, 7))


def test_an_open_segment_is_used_up_to_its_last_fragment(tmp_path: Path) -> None:
    stream = make_units(5)
    segment = record(tmp_path, stream, closed=False)
    planned = plan_parts([segment], UTC, asked(3.5, 20))
    assert planned.delivered is not None
    assert seconds(planned.delivered) == (3.52, 5.0)
    assert [(seconds(gap), gap.cause) for gap in planned.gaps] == [((5.0, 20.0), "unknown")]
    assert len(shown_frames(part_files(tmp_path, planned)[0])) == 37


def test_without_a_reachable_key_frame_the_next_one_begins(tmp_path: Path) -> None:
    stream = make_units(9, gop=75)
    hard_cut = [
        record(tmp_path, cut(stream, 10, 150)),
        record(tmp_path, cut(stream, 150), 2, opened_cause="rotation"),
    ]
    planned = plan_parts(hard_cut, UTC, asked(0.5, 5))
    assert planned.delivered is not None
    assert seconds(planned.delivered) == (3.0, 5.0)
    assert [(seconds(gap), gap.cause) for gap in planned.gaps] == [((0.5, 3.0), "unknown")]
    assert shown_frames(part_files(tmp_path, planned)[0]) == expected_frames(stream, asked(3, 5))


def test_nothing_of_the_interval_is_no_part_and_one_gap(tmp_path: Path) -> None:
    first = record(tmp_path, make_units(4), 1)
    after = record(
        tmp_path, shifted(make_units(4), media_90k=60 * SECOND, capture_us=60_000_000), 2, opened_cause="camera-lost"
    )
    planned = plan_parts([first, after], UTC, asked(10, 50))
    assert (planned.parts, planned.headers, planned.delivered) == ((), (), None)
    assert [(seconds(gap), gap.cause) for gap in planned.gaps] == [((10.0, 50.0), "camera-lost")]
    assert plan_parts([], UTC, asked(10, 50)).gaps[0].cause == "unknown"


def two_segments(
    tmp_path: Path,
    hole_s: float,
    *,
    other: Stream | None = None,
    deployment_id: str = "bench",
    run_id: str = RUN_ID,
) -> tuple[list[SegmentInfo], Stream]:
    """4 s of footage, a hole, 4 s of footage; also as one stream."""
    one, two = make_units(4), other or make_units(4)
    later = shifted(two, media_90k=round((4 + hole_s) * SECOND), capture_us=round((4 + hole_s) * 1e6))
    first = record(tmp_path, one, 1)
    second = record(tmp_path, later, 2, opened_cause="camera-lost", deployment_id=deployment_id, run_id=run_id)
    return [first, second], Stream(one.config, one.units + later.units)


@pytest.mark.parametrize("hole_s", [0.2, 1.96, 2.0])
def test_a_short_hole_lengthens_the_picture_before_it(tmp_path: Path, hole_s: float) -> None:
    segments, stream = two_segments(tmp_path, hole_s)
    planned = plan_parts(segments, UTC, asked(1, 7))
    assert len(planned.parts) == 1
    assert planned.gaps == ()
    (path,) = part_files(tmp_path, planned)
    assert shown_frames(path) == expected_frames(stream, asked(1, 7))
    assert planned.parts[0].duration_90k == 6 * SECOND


def test_a_long_hole_makes_two_parts_and_a_gap_with_its_cause(tmp_path: Path) -> None:
    segments, stream = two_segments(tmp_path, 2.2)
    planned = plan_parts(segments, UTC, asked(1, 9))
    assert [seconds(part.interval) for part in planned.parts] == [(1.0, 4.0), (6.2, 9.0)]
    assert [part.index for part in planned.parts] == [1, 2]
    assert [(seconds(gap), gap.cause) for gap in planned.gaps] == [((4.0, 6.2), "camera-lost")]
    first, second = part_files(tmp_path, planned)
    assert shown_frames(first) == expected_frames(stream, asked(1, 4))
    assert shown_frames(second) == expected_frames(stream, asked(6, 9))
    assert planned.delivered is not None
    assert seconds(planned.delivered) == (1.0, 9.0)


def test_a_cause_that_the_caller_knows_goes_before_what_the_files_say(tmp_path: Path) -> None:
    segments, _ = two_segments(tmp_path, 5)
    known = [
        Gap(start_us=WALL_US + 3_900_000, end_us=WALL_US + 9_000_000, cause="overload"),
        Gap(start_us=WALL_US + 13_000_000, end_us=WALL_US + 90_000_000, cause="stopped"),
        Gap(start_us=WALL_US - 9_000_000, end_us=WALL_US - 8_000_000, cause="storage-error"),
    ]
    planned = plan_parts(segments, UTC, asked(1, 30), known)
    assert [(seconds(gap), gap.cause) for gap in planned.gaps] == [
        ((4.0, 9.0), "overload"),
        ((13.0, 30.0), "stopped"),
    ]


@pytest.mark.parametrize(("deployment_id", "run_id"), [("site-2", RUN_ID), ("bench", "d" * 32)])
def test_another_deployment_or_run_is_another_part(tmp_path: Path, deployment_id: str, run_id: str) -> None:
    segments, stream = two_segments(tmp_path, 0, deployment_id=deployment_id, run_id=run_id)
    planned = plan_parts(segments, UTC, asked(1, 7))
    assert [seconds(part.interval) for part in planned.parts] == [(1.0, 4.0), (4.0, 7.0)]
    assert planned.gaps == ()
    shown = [shown_frames(path) for path in part_files(tmp_path, planned)]
    assert shown == [expected_frames(stream, asked(1, 4)), expected_frames(stream, asked(4, 7))]


def test_other_codec_parameters_are_another_part(tmp_path: Path) -> None:
    segments, _ = two_segments(tmp_path, 0, other=make_units(4, width=160, height=112))
    planned = plan_parts(segments, UTC, asked(1, 7))
    assert [(part.width_px, part.samples) for part in planned.parts] == [(128, 75), (160, 75)]
    assert [len(shown_frames(path)) for path in part_files(tmp_path, planned)] == [75, 75]


def without_fragments(segment: SegmentInfo, numbers: set[int]) -> SegmentInfo:
    """The segment as a scan describes it when these fragments have rotted."""
    kept = [entry for entry in segment.fragments if entry.record.number not in numbers]
    table = type(segment.samples)(end_90k=segment.samples.end_90k)
    start = 0
    for entry in segment.fragments:
        stop = start + entry.record.samples
        if entry in kept:
            table.key_indices.extend(
                key - start + len(table) for key in segment.samples.key_indices if start <= key < stop
            )
            table.sizes_bytes.extend(segment.samples.sizes_bytes[start:stop])
            table.dts_90k.extend(segment.samples.dts_90k[start:stop])
            table.pts_90k.extend(segment.samples.pts_90k[start:stop])
        start = stop
    return SegmentInfo(
        sequence=segment.sequence,
        file=segment.file,
        header=segment.header,
        header_bytes=segment.header_bytes,
        config=segment.config,
        stsd=segment.stsd,
        fragments=FragmentTable.of(segment.sequence, segment.header.run_id, kept),
        samples=table,
        closed=segment.closed,
    )


def test_a_rotten_fragment_is_left_out_with_what_depends_on_it(tmp_path: Path) -> None:
    stream = make_units(8, gop=50)
    segment = without_fragments(record(tmp_path, stream), {3})
    planned = plan_parts([segment], UTC, asked(0.5, 7))
    (part,) = planned.parts
    assert [digest.number for digest in part.fragments] == [1, 2, 5, 6, 7]
    assert len(part.ranges) == 2
    expected = expected_frames(stream, asked(0.5, 2)) + expected_frames(stream, asked(4, 7))
    assert [digest for _, digest in shown_frames(part_files(tmp_path, planned)[0])] == [
        digest for _, digest in expected
    ]
    assert part.duration_90k == round(6.48 * SECOND)
    assert verify_clip(tmp_path / part.file_name).ok


def test_two_seconds_of_rot_end_the_part(tmp_path: Path) -> None:
    segment = without_fragments(record(tmp_path, make_units(8)), {3, 4, 5})
    planned = plan_parts([segment], UTC, asked(0.5, 7))
    assert [seconds(part.interval) for part in planned.parts] == [(0.52, 2.0), (5.0, 7.0)]
    assert [(seconds(gap), gap.cause) for gap in planned.gaps] == [((2.0, 5.0), "unknown")]
    assert [len(shown_frames(path)) for path in part_files(tmp_path, planned)] == [37, 50]


def test_the_clock_statement_is_the_weakest_of_the_part(tmp_path: Path) -> None:
    segments, _ = two_segments(tmp_path, 0)

    class Growing(LinearUtc):
        def to_utc(self, boot_id: str, monotonic_us: int) -> UtcEstimate:
            source: ClockSource = "kernel" if monotonic_us > CAPTURE_US + 5_000_000 else "gnss"
            return UtcEstimate(monotonic_us + self.offset_us, monotonic_us - CAPTURE_US, source)

    (part,) = plan_parts(segments, Growing(), asked(1, 7)).parts
    assert (part.clock.source, part.clock.bound_us) == ("kernel", 6_000_000)
    (part,) = plan_parts(segments, LinearUtc(bound_us=None, source="unknown"), asked(1, 7)).parts
    assert (part.clock.source, part.clock.bound_us) == ("unknown", None)


def open_groups() -> Stream:
    """Four groups of I P b b with the next I's leading pictures behind it: I0 P3 b1 b2, I6 b4 b5 P9 b7 b8, …"""
    order = [0, 3, 1, 2, *(6 * group + shift for group in range(1, 4) for shift in (0, -2, -1, 3, 1, 2))]
    units = []
    for index, shown in enumerate(order):
        is_key = shown % 6 == 0
        data = bytes([0, 0, 0, 30, 0x65 if is_key else 0x41]) + bytes([index]) * 29
        pts = 900_000 + 18_000 * (shown + 2)
        units.append(AccessUnit(data, pts, 900_000 + 18_000 * index, 18_000, is_key, CAPTURE_US + 200_000 * shown))
    return Stream(golden_segment.CONFIG, tuple(units))


@pytest.mark.parametrize(
    ("from_s", "listed", "shown_s"),
    [
        (1.2, [6, 9, 7, 8, 12, 10, 11, 15, 13, 14, 18, 16, 17, 21, 19, 20], 1.2),  # the key frame itself
        (1.3, [6, 9, 7, 8, 12, 10, 11, 15, 13, 14, 18, 16, 17, 21, 19, 20], 1.4),  # behind it
        (1.0, [0, 3, 1, 2, 6, 4, 5, 9, 7, 8, 12, 10, 11, 15, 13, 14, 18, 16, 17, 21, 19, 20], 1.0),  # leads it
        (2.1, [6, 9, 7, 8, 12, 10, 11, 15, 13, 14, 18, 16, 17, 21, 19, 20], 2.2),  # leads the next one
    ],
)
@pytest.mark.parametrize("longest_90k", [18_000, 36_000, SECOND], ids=["1 a fragment", "2 a fragment", "all"])
def test_pictures_that_lead_a_key_frame_need_the_one_before(
    tmp_path: Path, from_s: float, listed: list[int], shown_s: float, longest_90k: int
) -> None:
    stream = open_groups()
    by_time = {unit.pts_90k: (unit.pts_90k - 900_000) // 18_000 - 2 for unit in stream.units}
    planned = plan_parts([record(tmp_path, stream, longest_90k=longest_90k)], UTC, asked(from_s, 9))
    (part,) = planned.parts
    assert seconds(part.interval)[0] == shown_s
    data = part_files(tmp_path, planned)[0].read_bytes()
    moov = find(data, (b"moov",))
    tables = read_tables(data[moov.offset : moov.end])
    offsets = [chunk.offset + 34 * index for chunk in tables.chunks for index in range(chunk.samples)]
    numbers = {unit.data: by_time[unit.pts_90k] for unit in stream.units}
    assert [numbers[data[offset : offset + 34]] for offset in offsets] == listed
    first_pts = next(unit.pts_90k for unit in stream.units if by_time[unit.pts_90k] == listed[0])
    assert tables.media_time_90k - tables.pts_90k[0] == round(900_000 + 18_000 * (shown_s * 5 + 2)) - first_pts
    assert tables.keys == {listed.index(key) for key in (0, 6, 12, 18) if key in listed}
