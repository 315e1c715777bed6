"""The two `uuid` boxes that make a segment tell its own story.

A segment file is `ftyp moov uuid(header)` and then, a fragment, `moof mdat uuid(fragment)`.

The header's body is its user type and a canonical JSON document (`SegmentHeader`).

The fragment record's body is fixed, 144 bytes, big endian:

    offset  size  field
         0    16  user type 8e4ad1f6-6d0c-4c4a-9f0e-3b7c52a0c1f2
        16     1  version, 1
        17     1  flags: 1 begins with a key frame; 2 closed before its time (stall or stop)
        18     1  clock source: 0 unknown, 1 kernel, 2 chrony, 3 gnss
        19     1  key pictures to go back from its own for exact pictures (gradual refresh); 63 never, 0 none
        20     4  number of the fragment in its segment, from 1
        24     8  sequence number of the segment
        32    16  run id
        48     8  presentation time of the first sample, 1/90,000 s on the run's media time line
        56     8  monotonic capture time of that sample, µs
        64     8  UTC of that sample as estimated when it was written, µs since 1970
        72     8  bound of that estimate's error, µs; -1 when unknown
        80     4  samples
        84    28  header tag: first 28 bytes of the SHA-256 of the segment's `ftyp moov uuid`; 0 when not said
       112    32  SHA-256 of `moof`, `mdat` and the record's bytes 0..111

A torn or zero-filled tail fails the digest; a fragment moved from another segment fails sequence or run; a header
that was changed afterwards fails the tags of all its fragments. So no byte of a segment goes unvouched for.
"""

import hashlib
import struct
import uuid
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from edge_agent.contract.access_unit import NEVER_EXACT, Codec, GapCause
from edge_agent.contract.boxes import build
from edge_agent.contract.errors import FormatError
from edge_agent.contract.model import ContractModel, canonical_json
from edge_agent.contract.names import CameraName, HexId, UnitId

HEADER_USER_TYPE = uuid.UUID("5f6e0b3c-0c5b-4e0e-8d5a-6a2f0c9d7b41").bytes
FRAGMENT_USER_TYPE = uuid.UUID("8e4ad1f6-6d0c-4c4a-9f0e-3b7c52a0c1f2").bytes

FRAGMENT_RECORD_BYTES = 144
FRAGMENT_BOX_BYTES = 8 + FRAGMENT_RECORD_BYTES

ClockSource = Literal["unknown", "kernel", "chrony", "gnss"]
"""Who vouched for the wall clock."""

CLOCK_SOURCES: tuple[ClockSource, ...] = ("unknown", "kernel", "chrony", "gnss")
"""In the order of the fragment record's byte 18."""

_FIELDS = struct.Struct(">16sBBBBIQ16sqqqqI28x")
_DIGEST_OFFSET = 112
_TAG = slice(84, 112)
_NO_TAG = bytes(28)
_KEY_FLAG = 1
_EARLY_FLAG = 2


class PositionStamp(ContractModel):
    """Where the unit stood when a segment was opened."""

    longitude_deg: Annotated[float, Field(ge=-180, le=180)]
    latitude_deg: Annotated[float, Field(ge=-90, le=90)]
    accuracy_m: float | None = None
    source: str
    """`settings` or `gnss`."""
    fix: Literal["none", "2d", "3d"] | None = None
    """Of the receiver when it was stamped; `none`: the place is the last known one. None with `settings`."""
    age_s: float | None = None
    """Between the receiver's fix and the stamp, by the monotonic clock; None when the fix is of an earlier boot."""


class SegmentHeader(ContractModel):
    """Who, where and under what a segment was recorded; the clock as it was believed at opening."""

    schema_: Literal["segment/1"] = Field("segment/1", alias="schema")
    unit_id: UnitId
    camera: CameraName
    sequence: int
    boot_id: HexId
    run_id: HexId
    deployment_id: str
    position: PositionStamp | None = None
    codec: Codec
    width_px: int
    height_px: int
    frame_rate_fps: float
    opened_cause: GapCause
    wall_us: int
    monotonic_us: int
    clock_source: ClockSource
    clock_bound_us: int | None = None
    warnings: tuple[str, ...] = ()
    software_version: str

    def to_box(self) -> bytes:
        """The whole `uuid` box."""
        return build(b"uuid", HEADER_USER_TYPE, canonical_json(self.to_object()))

    @classmethod
    def from_body(cls, body: bytes) -> "SegmentHeader":
        """Read the body of a header `uuid` box.

        Raises:
            FormatError: another user type, or not a segment header.
        """
        if body[:16] != HEADER_USER_TYPE:
            raise FormatError("uuid box is not a segment header")
        try:
            return cls.from_json(body[16:])
        except ValueError as error:
            raise FormatError(f"segment header: {error}") from error


class FragmentRecord(NamedTuple):
    """What the `uuid` box after a fragment says; fields as in the module's table.

    A named tuple, because a clip's first byte waits for thousands of them: a frozen data class takes four times as
    long to make.
    """

    number: int
    sequence: int
    run_id: str
    first_pts_90k: int
    monotonic_us: int
    utc_us: int
    bound_us: int | None
    clock_source: ClockSource
    samples: int
    is_key: bool
    closed_early: bool = False
    keys_back: int = 0

    def _packed(self) -> bytes:
        flags = (_KEY_FLAG if self.is_key else 0) | (_EARLY_FLAG if self.closed_early else 0)
        return _FIELDS.pack(
            FRAGMENT_USER_TYPE,
            1,
            flags,
            CLOCK_SOURCES.index(self.clock_source),
            self.keys_back,
            self.number,
            self.sequence,
            bytes.fromhex(self.run_id),
            self.first_pts_90k,
            self.monotonic_us,
            self.utc_us,
            -1 if self.bound_us is None else self.bound_us,
            self.samples,
        )

    def to_box(self, moof_and_mdat: bytes, tag: bytes = _NO_TAG) -> bytes:
        """The whole `uuid` box that follows the given fragment bytes; `tag` is the segment's `header_tag`."""
        fields = self._packed()[: _TAG.start] + tag
        digest = hashlib.sha256(moof_and_mdat)
        digest.update(fields)
        return build(b"uuid", fields, digest.digest())


def header_tag(header_boxes: bytes) -> bytes:
    """What each fragment's record says of its segment's `ftyp moov uuid`, 28 bytes."""
    return hashlib.sha256(header_boxes).digest()[: len(_NO_TAG)]


def tag_agrees(body: bytes, header_boxes: bytes) -> bool:
    """Whether a fragment record's body vouches for these header boxes, or says nothing of them."""
    return body[_TAG] in {_NO_TAG, header_tag(header_boxes)}


def read_fragment_record(body: bytes, moof_and_mdat: bytes | memoryview | None) -> tuple[FragmentRecord, bytes]:
    """Read the body of a fragment's `uuid` box and check its digest.

    Args:
        body: the box's body, user type included.
        moof_and_mdat: the bytes that the digest covers; None reads the fields without checking.

    Returns:
        The record and its SHA-256 digest.

    Raises:
        FormatError: not a fragment record, an unknown version, or the digest does not match.
    """
    if len(body) != FRAGMENT_RECORD_BYTES or body[:16] != FRAGMENT_USER_TYPE:
        raise FormatError("uuid box is not a fragment record")
    digest = bytes(body[_DIGEST_OFFSET:])
    if moof_and_mdat is not None:
        computed = hashlib.sha256(moof_and_mdat)
        computed.update(body[:_DIGEST_OFFSET])
        if computed.digest() != digest:
            raise FormatError("fragment bytes do not match their SHA-256")
    return _record_of(body), digest


def _record_of(body: bytes) -> FragmentRecord:
    _, version, flags, source, keys_back, number, *rest = _FIELDS.unpack_from(body)
    sequence, run, pts, mono, utc, bound, samples = rest
    if version != 1:
        raise FormatError(f"fragment record version {version} is not known")
    if source >= len(CLOCK_SOURCES):
        raise FormatError(f"clock source {source} is not known")
    return FragmentRecord(
        number=number,
        sequence=sequence,
        run_id=run.hex(),
        first_pts_90k=pts,
        monotonic_us=mono,
        utc_us=utc,
        bound_us=None if bound < 0 else bound,
        clock_source=CLOCK_SOURCES[source],
        samples=samples,
        is_key=bool(flags & _KEY_FLAG),
        closed_early=bool(flags & _EARLY_FLAG),
        keys_back=min(keys_back, NEVER_EXACT),
    )
