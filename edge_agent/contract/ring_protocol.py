"""What may be asked of a recorder on its Unix socket `run/<camera>.sock` under the data directory.

One JSON object a line each way, one request a connection at a time: `{"op": …, …}` gets `{"ok": true, "result": …}`
or `{"ok": false, "error": {"code", "message"}}`. A line is at most `MAX_LINE_BYTES`. A client may end its requests
(shutdown(2), SHUT_WR) and still reads its answers; what one that closed the connection had asked is not begun.

| op | parameters | result |
|---|---|---|
| `state` | – | `RecorderState` |
| `plan` | `PlanRequest` | `PlanResult` |
| `release` | `clip_id` | `{"released": bool}`: the plan and its pins are gone; safe to repeat |
| `plans` | – | `{"clip_ids": […]}` |
| `coverage` | `CoverageRequest` | `CameraCoverage` |
| `coverage_query` | `CoveragePageRequest` | `CoveragePage` |
| `position` | `PositionNotice` | `{"taken": true}`: new segments say it; while the unit moves they are short |
| `clock` | `ClockOffer` | `{"taken": true}`: kept; what the clock model learns from it, `state` tells |
| `still` | `StillRequest` | `StillAnswer`: a picture of what is being recorded |
"""

from typing import Literal

from pydantic import Field, field_validator

from edge_agent.contract.access_unit import GapCause
from edge_agent.contract.clip import Interval, Requester
from edge_agent.contract.messages import CoverageInterval
from edge_agent.contract.model import ContractModel
from edge_agent.contract.names import CameraName, HexId, Uuid
from edge_agent.contract.segment_format import ClockSource, PositionStamp
from edge_agent.contract.times import UtcMicros, parse_utc

MAX_STILL_BYTES = 20_000_000
"""The largest JPEG: twice that of a sensor with 12 million pixels."""
MAX_LINE_BYTES = 28_000_000
"""A still in base64, and what else stands in its answer."""
MAX_STILL_WAIT_S = 8.0
_LARGEST_ERROR_M = 1e6


class PlanRequest(ContractModel):
    """Plan a clip and pin its segments; the same `clip_id` again returns the plan that is there.

    When `interval.end_us` lies in the future by at most `commands.MAX_FUTURE_S`, a `reserved` plan is made: what
    is there is pinned, and the request is made again once the end was recorded.
    """

    op: Literal["plan"] = "plan"
    clip_id: Uuid
    interval: Interval
    requester: Requester


class PlanResult(ContractModel):
    """Where the durable plan lies, relative to the data directory, and its summary."""

    state: Literal["reserved", "planned"]
    plan_file: str
    length_bytes: int
    parts: int
    delivered: Interval | None = None
    ready_at_us: UtcMicros | None = None
    """Reserved plans: when asking again is worth while."""
    overwrite_at_us: UtcMicros | None = None
    """When the oldest byte of the clip would be overwritten if nothing pinned it; null when it would not be."""


class CoverageRequest(ContractModel):
    """Coverage for `up/coverage`."""

    op: Literal["coverage"] = "coverage"
    max_intervals: int = Field(default=60, ge=1, le=2000)


class CoveragePageRequest(ContractModel):
    """Intervals and gaps between two instants, a page at a time."""

    op: Literal["coverage_query"] = "coverage_query"
    interval: Interval
    cursor: str | None = None
    max_intervals: int = Field(default=80, ge=1, le=2000)


class CoveragePage(ContractModel):
    """One page; `cursor` is null on the last."""

    intervals: tuple[CoverageInterval, ...]
    cursor: str | None = None


class PositionNotice(ContractModel):
    """Where the unit is, as its link knows; the newest one counts, and grows old when no other follows."""

    op: Literal["position"] = "position"
    position: PositionStamp | None = None
    """None: not known."""
    monotonic_us: int | None = Field(default=None, ge=0, lt=1 << 63)
    """When the receiver's fix was, on this boot's monotonic clock; the recorder reckons the age from it. None: the
    place is from the settings, or of an earlier boot."""
    moving: bool
    """Faster, or further from where it stood, than drift explains: segments are cut every few seconds."""

    @field_validator("position")
    @classmethod
    def _check_stamp(cls, stamp: PositionStamp | None) -> PositionStamp | None:
        """It goes into the header of every segment as it is: what cannot be written there would end the recording."""
        if stamp is None:
            return stamp
        if stamp.source not in {"gnss", "settings"}:
            raise ValueError("source: expected gnss or settings")
        if not 0 <= (stamp.accuracy_m or 0.0) <= _LARGEST_ERROR_M or (stamp.age_s or 0.0) < 0:
            raise ValueError(f"accuracy_m is 0 to {_LARGEST_ERROR_M:.0f}, age_s is not below 0")
        return stamp


EARLIEST_GNSS_US = parse_utc("2026-01-01T00:00:00Z")
"""When this software was written: no receiver that is right says an earlier time."""
LATEST_GNSS_US = EARLIEST_GNSS_US + 1024 * 7 * 86_400 * 1_000_000
"""1,024 weeks on, after which the week number of GPS starts again (IS-GPS-200 §20.3.3.3.1.1). So a time that is off
by whole roll-overs lies outside, unless gpsd has moved it (3.22 adds roll-overs to what is before its release)."""


class ClockOffer(ContractModel):
    """A reading of UTC that does not come from this machine's wall clock: GNSS time."""

    op: Literal["clock"] = "clock"
    source: Literal["gnss"] = "gnss"
    boot_id: HexId
    monotonic_us: int = Field(ge=0, lt=1 << 63)
    utc_us: UtcMicros
    bound_us: int = Field(ge=0, le=60_000_000)
    """Largest error of the pair, µs."""

    @field_validator("utc_us")
    @classmethod
    def _check_year(cls, utc_us: int) -> int:
        if not EARLIEST_GNSS_US <= utc_us < LATEST_GNSS_US:
            raise ValueError(f"{utc_us} µs since 1970 is no time that a receiver can have seen")
        return utc_us


class StillRequest(ContractModel):
    """A picture of now, masked as all that is recorded; the recording goes on meanwhile."""

    op: Literal["still"] = "still"
    wait_s: float = Field(default=3.0, gt=0, le=MAX_STILL_WAIT_S)
    """How long a new picture is waited for; then the newest key picture will do, if it is at most 15 s old."""


class StillAnswer(ContractModel):
    """The picture."""

    jpeg_base64: str = Field(max_length=MAX_STILL_BYTES // 3 * 4 + 4)
    width_px: int = Field(gt=0)
    height_px: int = Field(gt=0)
    at_us: UtcMicros
    """When it was taken."""
    age_s: float = Field(ge=0)
    """How long before the answer that was."""
    clock: "ClockState"
    """What `at_us` is worth."""


class ClockState(ContractModel):
    """What the recorder believes of the clock."""

    source: ClockSource
    bound_us: int | None = None
    utc_us: UtcMicros


class CaptureFigures(ContractModel):
    """What a source and its encoders say of themselves; counters since the recorder began."""

    device: str = ""
    """Which camera; empty before one was opened."""
    format: str = ""
    """What comes from it."""
    width_px: int | None = None
    height_px: int | None = None
    """What it was really configured to, read back from it."""
    promised_fps: float | None = None
    """Pictures a second, as it says."""
    detail: str = ""
    encoder: str = ""
    """Which one works; empty where the camera encodes, and where none works."""
    encoder_detail: str = ""
    """What of the settings it does not follow."""
    encoder_failures: int = 0
    encoder_fault: str = ""
    """Why the last one failed."""
    notes: dict[str, str] = Field(default_factory=dict)
    """What is not as it was asked: a code, and a sentence with the remedy."""
    pictures: int = 0
    """That went through the frame hook."""
    unmasked: int = 0
    """That were not recorded because the masks could not be drawn on them."""
    text_skipped: int = 0
    samples_skipped: int = 0
    """Left out because the time that a picture may take was over."""
    hook_fault: str = ""
    mean_luma: float | None = None
    """16 (black) to 235 (white), of the last picture that was looked at."""


class RecorderState(ContractModel):
    """A recorder's figures, all measured by itself; rates over the last 10 s."""

    camera: CameraName
    recording: bool
    """A stream is open and its last frame is young."""
    cause: GapCause | None = None
    """Why it is not recording."""
    detail: str = ""
    since_us: UtcMicros
    """When `recording` last changed."""
    last_frame_age_s: float | None = None
    frames_per_second: float
    bitrate_kbps: float
    width_px: int | None = None
    height_px: int | None = None
    codec: str | None = None
    warnings: tuple[str, ...] = ()
    dropped_units: int
    """Access units that were left out because the disk could not keep up."""
    stream_restarts: int
    oldest_us: UtcMicros | None = None
    newest_us: UtcMicros | None = None
    size_bytes: int
    pinned_bytes: int
    free_bytes: int | None = None
    write_errors: int
    space_errors: int = 0
    """Writes that found no space and went through as soon as the oldest footage was given up."""
    sync_p50_ms: float | None = None
    sync_max_ms: float | None = None
    storage_ok: bool
    storage_detail: str = ""
    clock: ClockState
    boot_id: str
    run_id: str
    capture: CaptureFigures | None = None
    """None of a ring whose stream is made by another camera's recorder."""
