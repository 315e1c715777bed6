"""What the ring knows of a segment: enough to plan a clip without opening its file."""

from __future__ import annotations  # array[int] is an annotation only before Python 3.12

from array import array
from dataclasses import dataclass, field
from typing import Protocol

from edge_agent.buffer.fragment_table import FragmentTable
from edge_agent.contract.access_unit import CodecConfig
from edge_agent.contract.segment_format import ClockSource, SegmentHeader


@dataclass(slots=True)
class SampleTable:
    """Samples of a segment in decode order, fragment after fragment.

    Attributes:
        sizes_bytes: array("I").
        dts_90k: array("q"), decode times on the run's media time line.
        pts_90k: array("q"), presentation times on the same line; may be `dts_90k` itself in a table that nobody
            adds to.
        key_indices: array("I"), rising indices of the samples where decoding can begin.
        end_90k: decode time at which the last sample ends.
    """

    sizes_bytes: array[int] = field(default_factory=lambda: array("I"))
    dts_90k: array[int] = field(default_factory=lambda: array("q"))
    pts_90k: array[int] = field(default_factory=lambda: array("q"))
    key_indices: array[int] = field(default_factory=lambda: array("I"))
    end_90k: int = 0

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.sizes_bytes)


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """A segment, whole: closed, or open up to its last synced fragment.

    Attributes:
        sequence: ever-increasing number in its ring.
        file: path relative to the camera's ring directory.
        header: the document in its first `uuid` box.
        header_bytes: length of `ftyp moov uuid`, where the first fragment begins.
        config: codec parameters as they stand in its `moov`.
        stsd: the whole `stsd` box of its `moov`, copied into clips.
        fragments: synced ones, in order.
        samples: of those fragments.
        closed: nothing will be appended any more.
    """

    sequence: int
    file: str
    header: SegmentHeader
    header_bytes: int
    config: CodecConfig
    stsd: bytes
    fragments: FragmentTable
    samples: SampleTable
    closed: bool

    @property
    def size_bytes(self) -> int:
        """Length of the file up to the last synced fragment."""
        fragments = self.fragments
        return fragments.offsets[-1] + fragments.lengths_bytes[-1] if fragments else self.header_bytes


@dataclass(frozen=True, slots=True)
class UtcEstimate:
    """UTC of an instant as best known now; `bound_us` is None when nobody vouched for it."""

    utc_us: int
    bound_us: int | None
    source: ClockSource


class UtcMap(Protocol):
    """Monotonic time of a boot to UTC and back; continuous and strictly rising within a boot."""

    def to_utc(self, boot_id: str, monotonic_us: int) -> UtcEstimate:
        """UTC of a monotonic instant of a boot."""
        ...

    def to_monotonic(self, boot_id: str, utc_us: int) -> int:
        """The monotonic instant of a boot at which it was so late; may lie outside the boot."""
        ...
