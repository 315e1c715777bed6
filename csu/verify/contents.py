"""What lies in a part's `mdat`: segments' header bytes and fragments, as the unit's ring holds them.

A segment is `ftyp moov uuid` and then `moof mdat uuid` a fragment (`edge_agent.contract.segment_format`). Fragments
carry their own digest. Behind bytes that do not follow this, the next fragment whose digest holds is searched, so
that damage in one place does not hide what lies behind it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from csu.verify.file_bytes import FileBytes
from edge_agent.contract.boxes import find
from edge_agent.contract.errors import FormatError
from edge_agent.contract.segment_format import (
    FRAGMENT_BOX_BYTES,
    FragmentRecord,
    SegmentHeader,
    read_fragment_record,
)

_MAX_BOX_BYTES = 1 << 24
_MAX_FRAGMENT_BYTES = 1 << 28
_STSD_PATH = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")


@dataclass(frozen=True, slots=True)
class FoundSegment:
    """Header bytes of a segment: `boxes` are its `ftyp moov uuid`."""

    header: SegmentHeader
    stsd: bytes
    boxes: bytes
    offset: int
    end: int


@dataclass(frozen=True, slots=True)
class FoundFragment:
    """One fragment; `body` is its record's, `problem` says why it is not good."""

    record: FragmentRecord
    body: bytes
    sha256: str
    offset: int
    payload_offset: int
    payload_end: int
    end: int
    problem: str | None = None


@dataclass(slots=True)
class Contents:
    """Everything found, in the order of the file; `problems` are offsets and what is wrong there."""

    segments: list[FoundSegment] = field(default_factory=list)
    fragments: list[FoundFragment] = field(default_factory=list)
    problems: list[tuple[int, str]] = field(default_factory=list)


def read_contents(file: FileBytes, start: int, end: int) -> Contents:
    """Walk the body of a part's `mdat`; never raises for what it finds there."""
    contents = Contents()
    offset = start
    while offset < end:
        try:
            offset = _read_one(file, offset, end, contents)
        except FormatError as error:
            contents.problems.append((offset, str(error)))
            found = _search(file, offset + 1, end)
            if found is None:
                break
            contents.fragments.append(found)
            offset = found.end
    return contents


def _read_one(file: FileBytes, offset: int, end: int, contents: Contents) -> int:
    kind = file.box(offset, end).kind
    if kind == b"ftyp":
        segment = _read_segment(file, offset, end)
        contents.segments.append(segment)
        return segment.end
    fragment = _read_fragment(file, offset, end)
    contents.fragments.append(fragment)
    return fragment.end


def _read_segment(file: FileBytes, offset: int, end: int) -> FoundSegment:
    ftyp, ftyp_bytes = file.whole_box(offset, end, b"ftyp", _MAX_BOX_BYTES)
    moov, moov_bytes = file.whole_box(ftyp.end, end, b"moov", _MAX_BOX_BYTES)
    own, own_bytes = file.whole_box(moov.end, end, b"uuid", _MAX_BOX_BYTES)
    stsd = find(moov_bytes, _STSD_PATH)
    header = SegmentHeader.from_body(own_bytes[own.head_bytes :])
    boxes = b"".join((ftyp_bytes, moov_bytes, own_bytes))
    return FoundSegment(header, moov_bytes[stsd.offset : stsd.end], boxes, offset, own.end)


def _read_fragment(file: FileBytes, offset: int, end: int) -> FoundFragment:
    moof, _ = file.whole_box(offset, end, b"moof", _MAX_BOX_BYTES)
    mdat = file.box(moof.end, end)
    if mdat.kind != b"mdat":
        raise FormatError(f"offset {moof.end}: box {mdat.kind!r} stands where b'mdat' is expected")
    own, own_bytes = file.whole_box(mdat.end, end, b"uuid", FRAGMENT_BOX_BYTES)
    if own.end - offset > _MAX_FRAGMENT_BYTES:
        raise FormatError(f"offset {offset}: a fragment of {own.end - offset} bytes, at most {_MAX_FRAGMENT_BYTES}")
    body = own_bytes[own.head_bytes :]
    record, digest = read_fragment_record(body, None)
    problem = None
    try:
        read_fragment_record(body, file.read(offset, own.offset - offset))
    except FormatError as error:
        problem = str(error)
    return FoundFragment(record, body, digest.hex(), offset, mdat.body_offset, mdat.end, own.end, problem)


def _search(file: FileBytes, start: int, end: int) -> FoundFragment | None:
    """The next place at which a good fragment begins."""
    for place in _places(file, start, end):
        try:
            fragment = _read_fragment(file, place, end)
        except FormatError:
            continue
        if fragment.problem is None:
            return fragment
    return None


def _places(file: FileBytes, start: int, end: int) -> Iterator[int]:
    """Where box heads that say `moof` begin."""
    overlap = b""
    offset = start
    for block in file.blocks(start, end):
        window, base = overlap + block, offset - len(overlap)
        place = window.find(b"moof", 4)
        while place >= 0:
            yield base + place - 4
            place = window.find(b"moof", place + 4)
        offset += len(block)
        overlap = window[-7:]


def name_places(part: int, contents: Contents, listed: dict[int, tuple[int, int]]) -> Callable[[int], str]:
    """A function that names the place of an offset: segment and fragment, by the manifest's list where there is one.

    Args:
        part: index of the part.
        contents: what was found.
        listed: offset of each fragment to its sequence and number, as the manifest has it.
    """
    names = {fragment.offset: (fragment.record.sequence, fragment.record.number) for fragment in contents.fragments}
    names |= listed

    def name(offset: int) -> str:
        if offset in names:
            sequence, number = names[offset]
            return f"part {part}, segment {sequence}, fragment {number}"
        before = max((place for place in names if place < offset), default=None)
        if before is None:
            return f"part {part}, header of its first segment (offset {offset})"
        sequence, number = names[before]
        return f"part {part}, after segment {sequence}, fragment {number} (offset {offset})"

    return name
