"""The clip: its durable plan inside the unit, and the signed manifest that leaves with it."""

from typing import Literal

from pydantic import Field

from edge_agent.contract.access_unit import Codec, GapCause
from edge_agent.contract.fragment_digests import FragmentDigests, ListedFragments
from edge_agent.contract.model import ContractModel
from edge_agent.contract.names import CameraName, HexId, Sha256Hex, UnitId, Uuid
from edge_agent.contract.segment_format import ClockSource, PositionStamp
from edge_agent.contract.times import UtcMicros

MAX_PLAN_BYTES = 64_000_000
"""The largest plan or manifest that is read; a day at one fragment a second is about 16 MB."""


class Interval(ContractModel):
    """Half open: `start_us` belongs to it, `end_us` does not."""

    start_us: UtcMicros
    end_us: UtcMicros


class Gap(ContractModel):
    """Footage that the asked interval should hold and the ring does not."""

    start_us: UtcMicros
    end_us: UtcMicros
    cause: GapCause


class ByteRange(ContractModel):
    """Bytes of one ring file, unchanged since they were synced."""

    sequence: int
    file: str
    """Relative to the camera's ring directory."""
    offset: int
    length_bytes: int


class ClockStatement(ContractModel):
    """How far the times of a clip can be trusted."""

    source: ClockSource
    bound_us: int | None = None
    """Largest bound of the error over the part, µs; null when nobody vouched for the clock."""


class PositionAt(PositionStamp):
    """Where the unit stood at an instant of the footage: what the segment that begins there says of itself."""

    at_us: UtcMicros = Field(alias="at")
    sequence: int
    """Of the segment; its header lies in the clip and says the same."""


class Part(ContractModel):
    """One progressive MP4: header bytes, then ring ranges; the same codec parameters and deployment throughout."""

    index: int
    file_name: str
    """Such as `nomad-07_main_20260329T013000.000Z_part1.mp4`."""
    interval: Interval
    """Delivered: presentation of the first shown picture, to the end of the last one."""
    duration_90k: int
    """Of the edit list, 1/90,000 s."""
    preroll_90k: int
    """From the entry point to the first shown picture: players that ignore edit lists start so much earlier."""
    samples: int
    """In the file, pre-roll included."""
    length_bytes: int
    header_offset: int
    """Where its header's bytes lie in the plan's file; they come first."""
    header_bytes: int
    ranges: tuple[ByteRange, ...]
    deployment_id: str
    position: PositionStamp | None = None
    """Of the first segment."""
    positions: tuple[PositionAt, ...] = ()
    """Of every touched segment whose place differs from the one before; empty when none is known."""
    codec: Codec
    width_px: int
    height_px: int
    frame_rate_fps: float
    boot_id: HexId
    run_id: HexId
    clock: ClockStatement
    warnings: tuple[str, ...] = ()
    fragments: FragmentDigests


class Requester(ContractModel):
    """Who asked, by what right; copied from the signed command or the local command line."""

    operator: str
    role: str
    reference: str
    purpose: str


class ClipPlan(ContractModel):
    """What a clip is, decided once; durable, and its existence pins the segments that it names.

    `state` is `reserved` while the interval's end is not recorded yet: such a plan has no parts and pins whatever
    overlaps `asked`.
    """

    schema_: Literal["plan/1"] = Field("plan/1", alias="schema")
    clip_id: Uuid
    unit_id: UnitId
    camera: CameraName
    state: Literal["reserved", "planned"]
    asked: Interval
    delivered: Interval | None = None
    gaps: tuple[Gap, ...] = ()
    parts: tuple[Part, ...] = ()
    created_us: UtcMicros
    requester: Requester
    software_version: str

    @property
    def length_bytes(self) -> int:
        """Of all parts together."""
        return sum(part.length_bytes for part in self.parts)


class ManifestPart(ContractModel):
    """A part as delivered; the fields of `Part` that hold outside the unit, and the digest of the whole file."""

    index: int
    file_name: str
    interval: Interval
    duration_90k: int
    preroll_90k: int
    samples: int
    length_bytes: int
    header_bytes: int
    sha256: Sha256Hex
    deployment_id: str
    position: PositionStamp | None = None
    """Of the first segment."""
    positions: tuple[PositionAt, ...] = ()
    """Of every touched segment whose place differs from the one before; empty when none is known."""
    codec: Codec
    width_px: int
    height_px: int
    frame_rate_fps: float
    boot_id: HexId
    run_id: HexId
    clock: ClockStatement
    warnings: tuple[str, ...] = ()
    fragments: ListedFragments


class Manifest(ContractModel):
    """What a clip is, signed by the unit (JWS compact serialisation, RFC 7515, of this document's canonical JSON)."""

    schema_: Literal["manifest/1"] = Field("manifest/1", alias="schema")
    clip_id: Uuid
    unit_id: UnitId
    camera: CameraName
    asked: Interval
    delivered: Interval
    gaps: tuple[Gap, ...] = ()
    parts: tuple[ManifestPart, ...]
    requester: Requester
    created_us: UtcMicros
    clock_source: ClockSource
    clock_bound_us: int | None = None
    software_version: str
