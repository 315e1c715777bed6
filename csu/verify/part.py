"""One part: container, fragments, sample tables and pictures, against one another and against the manifest."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from csu.verify.contents import Contents, FoundFragment, FoundSegment, name_places, read_contents
from csu.verify.dating import is_same_run, shown_span
from csu.verify.file_bytes import FileBytes
from csu.verify.frames import decode_frames
from csu.verify.places import is_dated_by_part, place_problems
from csu.verify.progress import Progress
from csu.verify.tables import ListedChunk, Tables, read_tables
from csu.verify.verdict import Findings, PartReport, Severity
from edge_agent.contract.boxes import Box
from edge_agent.contract.clip import Manifest, ManifestPart
from edge_agent.contract.errors import ContractError, FormatError
from edge_agent.contract.fragment_digests import FragmentDigest
from edge_agent.contract.segment_format import tag_agrees
from edge_agent.contract.times import format_utc

_MAX_HEADER_BYTES = 1 << 28

_SAME_DATE_US = 1_000_000
"""Dates this close, beyond both bounds, count as the same: what is owed is an error of at most a second."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a manifest says of a part."""

    manifest: Manifest
    part: ManifestPart


def _read_boxes(file: FileBytes) -> tuple[bytes, Box]:
    """The `moov`, and the head of the `mdat` that fills the rest of the file."""
    ftyp, _ = file.whole_box(0, file.size_bytes, b"ftyp", _MAX_HEADER_BYTES)
    moov, moov_bytes = file.whole_box(ftyp.end, file.size_bytes, b"moov", _MAX_HEADER_BYTES)
    mdat = file.box(moov.end, file.size_bytes)
    if mdat.kind != b"mdat" or mdat.end != file.size_bytes:
        raise FormatError(f"offset {mdat.offset}: no mdat that reaches to the end of the file")
    return moov_bytes, mdat


class PartCheck:
    """The checks of one part file; each adds findings and none raises for what the file holds."""

    def __init__(self, path: Path, index: int, claim: Claim | None, findings: Findings, progress: Progress) -> None:
        self._path = path
        self._progress = progress
        self._part = f"part {index}"
        self._index = index
        self._claim = claim
        self._findings = findings
        self._name: Callable[[int], str] = lambda _: self._part

    def run(self, *, decode: bool) -> PartReport:
        """Check everything; pictures are decoded only when nothing else was wrong with the part."""
        before = self._findings.errors
        try:
            with FileBytes(self._path, self._progress, self._note_unreadable) as file:
                report = self._check_file(file)
        except FormatError as error:
            self._findings.error(self._part, f"{self._path.name}: {error}")
            return PartReport(self._path.name, 0)
        if self._findings.errors > before or not decode:
            return report
        return self._check_frames(report)

    def _note_unreadable(self) -> None:
        self._findings.is_unreadable = True

    def _check_file(self, file: FileBytes) -> PartReport:
        before = self._findings.errors
        digest_holds = self._check_whole(file)
        tables, mdat = self._read_header(file)
        contents = read_contents(file, mdat.body_offset, mdat.end) if mdat else Contents()
        self._check_contents(contents)
        if tables is not None:
            self._check_tables(tables, contents)
        if not digest_holds and self._findings.errors == before + 1:
            self._findings.error(
                f"{self._part}, header of the file", "changed: all segments are as they were recorded"
            )
        return PartReport(
            file_name=self._path.name,
            length_bytes=file.size_bytes,
            fragments=len(contents.fragments),
            samples=len(tables.sizes_bytes) if tables else 0,
            shown=tables.shown if tables else 0,
            duration_s=tables.shown_90k / 90_000 if tables else 0.0,
        )

    def _check_whole(self, file: FileBytes) -> bool:
        if self._claim is None:
            return True
        part = self._claim.part
        if file.size_bytes != part.length_bytes:
            self._findings.error(self._part, f"{file.size_bytes} bytes, the manifest says {part.length_bytes}")
            return False
        if file.sha256() != part.sha256:
            self._findings.error(self._part, "its SHA-256 is not the manifest's")
            return False
        return True

    def _read_header(self, file: FileBytes) -> tuple[Tables | None, Box | None]:
        """Sample tables, and where the `mdat` lies; None for what cannot be read."""
        place = f"{self._part}, header of the file"
        try:
            moov_bytes, mdat = _read_boxes(file)
        except FormatError as error:
            self._findings.error(place, str(error))
            return None, self._claimed_mdat(file)
        if self._claim is not None and mdat.body_offset != self._claim.part.header_bytes:
            self._findings.error(
                place, f"{mdat.body_offset} bytes, the manifest says {self._claim.part.header_bytes}"
            )
        try:
            return read_tables(moov_bytes), mdat
        except FormatError as error:
            self._findings.error(place, str(error))
            return None, mdat

    def _claimed_mdat(self, file: FileBytes) -> Box | None:
        """Where the manifest says that the body lies, so that its fragments are checked in spite of the header."""
        if self._claim is None or not 16 <= self._claim.part.header_bytes < file.size_bytes:
            return None
        offset = self._claim.part.header_bytes - 16
        return Box(b"mdat", offset, file.size_bytes - offset, 16)

    def _check_contents(self, contents: Contents) -> None:
        listed = {one.offset: (one.sequence, one.number) for one in self._claim.part.fragments} if self._claim else {}
        self._name = name_places(self._index, contents, listed)
        for offset, message in contents.problems:
            self._findings.error(self._name(offset), message)
        for fragment in contents.fragments:
            if fragment.problem is not None:
                self._findings.error(self._name(fragment.offset), fragment.problem)
        self._check_segments(contents)
        if self._claim is not None:
            self._check_listed(contents, self._claim.part.fragments)

    def _check_segments(self, contents: Contents) -> None:
        """Each fragment lies behind its own segment's header, and the headers are of one recording."""
        if not contents.segments:
            self._findings.error(self._part, "no segment header: nothing says who, where and when")
        starts = [segment.offset for segment in contents.segments]
        for fragment in contents.fragments:
            index = bisect_right(starts, fragment.offset) - 1
            self._check_owner(fragment, contents.segments[index] if index >= 0 else None)
        for segment in contents.segments:
            self._check_segment_header(segment.header.sequence, segment.header.to_object())
        if self._claim is not None and contents.segments:
            headers = [segment.header for segment in contents.segments]
            for sequence, message in place_problems(self._claim.part, headers):
                self._findings.error(f"{self._part}, header of segment {sequence}", message)

    def _check_owner(self, fragment: FoundFragment, owner: FoundSegment | None) -> None:
        record = fragment.record
        place = f"{self._part}, header of segment {record.sequence}"
        if owner is None:
            self._findings.error(place, f"missing before fragment {record.number}")
        elif (owner.header.sequence, owner.header.run_id) != (record.sequence, record.run_id):
            said = f"segment {owner.header.sequence}, run {owner.header.run_id}"
            self._findings.error(place, f"what stands before its fragments is the header of {said}")
        elif fragment.problem is None and not tag_agrees(fragment.body, owner.boxes):
            self._findings.error(place, "not the one that its fragments were written under")

    def _check_segment_header(self, sequence: int, header: dict[str, object]) -> None:
        if self._claim is None:
            return
        manifest, part = self._claim.manifest, self._claim.part
        expected: dict[str, object] = {
            "unit_id": manifest.unit_id,
            "camera": manifest.camera,
            "deployment_id": part.deployment_id,
            "boot_id": part.boot_id,
            "run_id": part.run_id,
            "codec": part.codec,
            "width_px": part.width_px,
            "height_px": part.height_px,
        }
        for name, value in expected.items():
            if header[name] != value:
                place = f"{self._part}, header of segment {sequence}"
                self._findings.error(place, f"{name} is {header[name]!r:.60}, the manifest says {value!r:.60}")

    def _check_listed(self, contents: Contents, listed: Sequence[FragmentDigest]) -> None:
        found = {fragment.offset: fragment for fragment in contents.fragments}
        for one in listed:
            place = f"{self._part}, segment {one.sequence}, fragment {one.number}"
            fragment = found.pop(one.offset, None)
            if fragment is None:
                self._findings.error(place, f"not found at offset {one.offset}")
                continue
            record = fragment.record
            if (record.sequence, record.number) != (one.sequence, one.number):
                self._findings.error(place, f"it says of itself segment {record.sequence}, fragment {record.number}")
            if fragment.sha256 != one.sha256 or fragment.end - fragment.offset != one.length_bytes:
                self._findings.error(place, "its digest or length is not the one that the manifest lists")
        for fragment in found.values():
            self._findings.error(self._name(fragment.offset), "the manifest does not list it")

    def _check_tables(self, tables: Tables, contents: Contents) -> None:
        place, before = f"{self._part}, header of the file", self._findings.errors
        if any(segment.stsd != tables.stsd for segment in contents.segments):
            self._findings.error(place, "its codec parameters are not those of the segments")
        if tables.movie_90k != tables.shown_90k:
            self._findings.error(place, "the movie's duration is not that of the edit list")
        if tables.media_time_90k not in set(tables.pts_90k):
            self._findings.error(place, "the edit list does not begin with a picture")
        if self._claim is not None:
            self._check_claimed_times(tables, self._claim.part, place)
        if not contents.problems:  # else what is missing would be blamed on its neighbours
            _ChunkCheck(tables, contents.fragments, place, self._name, self._findings).run()
            if self._claim is not None and contents.fragments and contents.fragments[0].problem is None:
                self._check_date(tables, contents.fragments[0], self._claim.part)
            is_good = all(fragment.problem is None for fragment in contents.fragments)
            if self._claim is not None and is_good and self._findings.errors == before:
                self._check_span(tables, contents, self._claim.part)

    def _check_span(self, tables: Tables, contents: Contents, part: ManifestPart) -> None:
        """The pictures last as long as the manifest says, and positions are dated as they are."""
        span = shown_span(tables, contents.fragments)
        if span is None:
            return
        said_us = part.interval.end_us - part.interval.start_us
        if not is_same_run(said_us, span.lasts_us):
            self._findings.error(self._part, f"its interval lasts {said_us} µs, its pictures {span.lasts_us} µs")
        headers = [segment.header for segment in contents.segments]
        if not is_dated_by_part(part, headers, span.beginning):
            self._findings.error(f"{self._part}, positions", "their times are not those of the part's pictures")

    def _check_date(self, tables: Tables, entry: FoundFragment, part: ManifestPart) -> None:
        """The first picture is dated as it was when it was recorded, unless the clock became better known since."""
        record, clock = entry.record, part.clock
        offset_90k = tables.media_time_90k - tables.pts_90k[0]
        dated_then_us = record.utc_us + offset_90k * 100 // 9
        apart_us = part.interval.start_us - dated_then_us
        if abs(apart_us) <= (record.bound_us or 0) + (clock.bound_us or 0) + _SAME_DATE_US:
            return
        severity: Severity = "note" if record.bound_us is None else "warning"
        self._findings.add(
            severity,
            f"{self._part}, date",
            f"{format_utc(part.interval.start_us)} ({clock.source}), but {_date(dated_then_us)}"
            f" ({record.clock_source}) when it was recorded: the unit corrected its clock since",
        )

    def _check_claimed_times(self, tables: Tables, part: ManifestPart, place: str) -> None:
        said = {
            "samples": (len(tables.sizes_bytes), part.samples),
            "duration_90k": (tables.shown_90k, part.duration_90k),
            "preroll_90k": (tables.media_time_90k - tables.pts_90k[0], part.preroll_90k),
        }
        for name, (here, claimed) in said.items():
            if here != claimed:
                self._findings.error(place, f"{name} is {here}, the manifest says {claimed}")

    def _check_frames(self, report: PartReport) -> PartReport:
        place = f"{self._part}, pictures"
        try:
            frames = decode_frames(self._path, self._progress)
        except FormatError as error:
            self._findings.error(place, str(error))
            return report
        missing = report.shown - frames.count
        if not frames.are_plausible(report.shown):
            self._findings.error(place, f"{frames.count} came out of the decoder, {report.shown} are listed")
        is_late = frames.first_90k > 0 and missing <= 0
        if is_late or frames.first_90k < 0 or frames.last_90k >= round(report.duration_s * 90_000):
            first, last = frames.first_90k, frames.last_90k
            self._findings.error(place, f"they are shown from {first} to {last}/90000 s, not in the edit list's time")
        elif missing + frames.corrupt > 0:
            unseen = f", {missing} of them cannot be shown" if missing > 0 else ""
            message = f"{missing + frames.corrupt} of {report.shown} reached the unit damaged{unseen}"
            self._findings.add("warning", place, message)
        return PartReport(**{**report.to_object(), "decoded": frames.count})


def _date(instant_us: int) -> str:
    try:
        return format_utc(instant_us)
    except ContractError:
        return f"{instant_us} µs since 1970"


class _ChunkCheck:
    """The sample tables list the fragments' own samples, in place, in order, and in time."""

    def __init__(
        self,
        tables: Tables,
        fragments: list[FoundFragment],
        place: str,
        name: Callable[[int], str],
        findings: Findings,
    ) -> None:
        self._tables = tables
        self._fragments = fragments
        self._starts = [fragment.payload_offset for fragment in fragments]
        self._place = place
        self._name = name
        self._findings = findings
        self._shift_90k: int | None = None

    def run(self) -> None:
        listed = [0] * len(self._fragments)
        for chunk in self._tables.chunks:
            index = bisect_right(self._starts, chunk.offset) - 1
            if index < 0:
                self._findings.error(self._place, f"its tables point to {chunk.offset}, before the first fragment")
                continue
            self._check_chunk(chunk, self._fragments[index])
            listed[index] += chunk.samples
        for index, fragment in enumerate(self._fragments):
            inside = 0 < index < len(self._fragments) - 1 and not self._may_lead(listed[: index + 1])
            samples = fragment.record.samples
            if listed[index] > samples or (inside and listed[index] != samples):
                self._error(fragment, f"list {listed[index]} of the {samples} samples")

    def _may_lead(self, listed: Sequence[int]) -> bool:
        """Whether a fragment's first samples may be pictures that lead the entry point: after it, none was listed."""
        return listed[0] == 1 and not any(listed[1:-1])

    def _error(self, fragment: FoundFragment, message: str) -> None:
        name = self._name(fragment.offset).partition(", ")[2]
        self._findings.error(self._place, f"its tables {message} of {name}")

    def _check_chunk(self, chunk: ListedChunk, fragment: FoundFragment) -> None:
        size_bytes = sum(self._tables.sizes_bytes[chunk.first : chunk.first + chunk.samples])
        if chunk.offset + size_bytes > fragment.payload_end:
            self._error(fragment, "point out of the payload")
        if chunk.offset != fragment.payload_offset:
            return
        if chunk.samples == fragment.record.samples and chunk.offset + size_bytes != fragment.payload_end:
            self._error(fragment, "have sizes that do not fill the payload")
        is_exact_key = fragment.record.is_key and not fragment.record.keys_back
        if is_exact_key and chunk.first not in self._tables.keys:
            self._error(fragment, "do not list the key frame")
        shift_90k = fragment.record.first_pts_90k - self._tables.pts_90k[chunk.first]
        if self._shift_90k is None:
            self._shift_90k = shift_90k
        if shift_90k != self._shift_90k:
            self._error(fragment, "contradict the time")
