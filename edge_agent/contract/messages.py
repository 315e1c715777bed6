"""What the unit publishes, and the receipt that it gets back."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from edge_agent.contract.access_unit import GapCause
from edge_agent.contract.model import ContractModel
from edge_agent.contract.names import CameraName, HexId, Sha256Hex, UnitId, Uuid
from edge_agent.contract.segment_format import ClockSource
from edge_agent.contract.times import UtcMicros

ProbeState = Literal["ok", "warning", "critical", "unknown"]
ReplyState = Literal["accepted", "rejected", "running", "done", "failed", "cancelled"]

Amount = Annotated[int, Field(ge=0, lt=1 << 63)]
"""Bytes, seconds or a number of things, as SQLite and every reader can hold it."""

REPLY_RANK: dict[ReplyState, int] = {
    "accepted": 0,
    "running": 1,
    "rejected": 2,
    "done": 2,
    "failed": 2,
    "cancelled": 2,
}
"""A reply's state never goes back in this order; rank 2 is final."""


class Status(ContractModel):
    """`up/status`: retained; sent on every connection. The last will is the same with `offline` and fewer fields."""

    schema_: Literal["status/1"] = Field("status/1", alias="schema")
    state: Literal["online", "offline"]
    unit_id: UnitId
    boot_id: HexId
    software_version: str | None = None
    capabilities: tuple[str, ...] | None = None
    deployment_id: str | None = None
    nonce: str | None = None
    at: UtcMicros | None = None


PositionFix = Literal["none", "2d", "3d", "fixed"]
"""How the place is known: by satellites in two or three dimensions, from the settings, or not at present."""


class PositionProperties(ContractModel):
    """Properties of the position feature; with `fix` `none` its geometry is the last known place, or null."""

    schema_: Literal["position/1"] = Field("position/1", alias="schema")
    fix: PositionFix
    accuracy_m: Annotated[float, Field(ge=0)] | None = None
    """Radius of the horizontal error at 95 %, metres."""
    age_s: Annotated[float, Field(ge=0)] | None = None
    """How old the place was when this was said."""
    speed_mps: Annotated[float, Field(ge=0)] | None = None
    source: str
    """`gnss`, `settings`, or `none`."""
    deployment_id: str
    at: UtcMicros | None = None
    """When this was said, by the unit's clock."""
    last_known: bool | None = None
    """The place is from an earlier life of the unit, or the receiver has lost its fix since."""
    satellites_used: Annotated[int, Field(ge=0, le=255)] | None = None
    satellites_seen: Annotated[int, Field(ge=0, le=255)] | None = None
    detail: Annotated[str, StringConstraints(max_length=200)] | None = None
    """Why there is no fix, in words."""


class PointGeometry(ContractModel):
    """GeoJSON Point (RFC 7946 §3.1.2): longitude and latitude in degrees, altitude in metres where known."""

    type: Literal["Point"] = "Point"
    coordinates: Annotated[tuple[float, ...], Field(min_length=2, max_length=3)]


class Position(ContractModel):
    """`up/position`: retained GeoJSON Feature (RFC 7946 §3.2); geometry null while the place is unknown."""

    type: Literal["Feature"] = "Feature"
    geometry: PointGeometry | None
    properties: PositionProperties

    def to_object(self) -> dict[str, Any]:
        """As the base does, but `geometry` stays when it is null: RFC 7946 wants the member."""
        return {"geometry": None} | super().to_object()


class Probe(ContractModel):
    """One object of `up/health`: a state and the figures of that probe, whatever their names."""

    model_config = ContractModel.model_config | {"extra": "allow"}
    state: ProbeState


class Health(ContractModel):
    """`up/health`: retained; figures that were not measured are absent, probes without a source are `unknown`."""

    schema_: Literal["health/1"] = Field("health/1", alias="schema")
    at: UtcMicros
    camera: Probe
    storage: Probe
    power: Probe
    network: Probe
    clock: Probe
    system: Probe


HistoryKind = Literal["health", "position"]


class History(ContractModel):
    """`up/history`: what the unit noted while nobody heard it, oldest first; not retained, sent once."""

    schema_: Literal["history/1"] = Field("history/1", alias="schema")
    history_id: Uuid
    """Known already when it comes twice."""
    unit_id: UnitId
    boot_id: HexId
    """Of the boot in which it is sent; each sample says its own."""
    kind: HistoryKind
    samples: Annotated[tuple[dict[str, Any], ...], Field(min_length=1, max_length=200)]
    """Bodies of `up/health` or `up/position`, fewer with age; each with `at`, `boot_id`, `monotonic_us` and
    `clock_source` beside its own fields: `at` as it was believed when the batch was made."""
    left_out: Amount = 0
    """Samples of this kind that were noted and are not sent: thinned with age, or dropped for space, since the last
    batch."""


class CoverageInterval(ContractModel):
    """A stretch of footage, or a gap with its cause (`held` false)."""

    start_us: UtcMicros = Field(alias="from")
    end_us: UtcMicros = Field(alias="to")
    held: bool
    cause: GapCause | None = None


class DayCoverage(ContractModel):
    """Seconds held and lost of one UTC day."""

    day: str
    held_s: Amount
    lost_s: Amount


class CameraCoverage(ContractModel):
    """What one camera's ring holds."""

    camera: CameraName
    oldest_us: UtcMicros | None = Field(default=None, alias="oldest")
    newest_us: UtcMicros | None = Field(default=None, alias="newest")
    size_bytes: Amount
    hours_until_overwrite: float | None = None
    days: tuple[DayCoverage, ...] = ()
    last_24h: tuple[CoverageInterval, ...] = ()
    truncated: bool = False
    """Older intervals were left out for the message's size; `coverage.query` has them."""


class Coverage(ContractModel):
    """`up/coverage`: retained."""

    schema_: Literal["coverage/1"] = Field("coverage/1", alias="schema")
    at: UtcMicros
    cameras: tuple[CameraCoverage, ...]


class Alarm(ContractModel):
    """Something that is wrong now."""

    name: str
    camera: CameraName | None = None
    since_us: UtcMicros = Field(alias="since")
    """As it is believed now: it may change when the unit learns the time."""
    event_id: Uuid | None = None
    """Of the event that raised it: lists and events that name the same one speak of one alarm."""
    details: dict[str, Any] = Field(default_factory=dict)


class Alarms(ContractModel):
    """`up/alarms`: retained; what is raised now."""

    schema_: Literal["alarms/1"] = Field("alarms/1", alias="schema")
    at: UtcMicros
    alarms: tuple[Alarm, ...]


class Stamp(ContractModel):
    """What every event and reply carries beside its own fields."""

    unit_id: UnitId
    boot_id: HexId
    at: UtcMicros
    seq: Amount
    """Rises by one a message and boot, so that loss shows."""
    clock_source: ClockSource
    clock_bound_ms: Amount | None = None


class Event(Stamp):
    """`up/event`."""

    schema_: Literal["event/1"] = Field("event/1", alias="schema")
    event_id: Uuid
    name: str
    state: Literal["raised", "cleared", "occurred"]
    camera: CameraName | None = None
    details: dict[str, Any] = Field(default_factory=dict)
    monotonic_us: Amount | None = None
    """When it was, since the boot of `boot_id`; `at` is made of it when the clock became known only later."""
    raised_id: Uuid | None = None
    """Of a `cleared` event: the `event_id` of the one that raised the alarm."""


class ReplyError(ContractModel):
    """Why a command was rejected or failed; `code` is one of `codes.ErrorCode`."""

    code: str
    message: str


class Progress(ContractModel):
    """How far a transfer is."""

    sent_bytes: Amount
    total_bytes: Amount
    expected_end_us: UtcMicros | None = Field(default=None, alias="expected_end")
    before_overwrite: bool | None = None


class Reply(Stamp):
    """`up/reply`."""

    schema_: Literal["reply/1"] = Field("reply/1", alias="schema")
    command_id: str
    command: str
    state: ReplyState
    progress: Progress | None = None
    result: dict[str, Any] | None = None
    error: ReplyError | None = None


class Receipt(ContractModel):
    """Claims of `down/receipt` (a signed document): the centre's verdict on a delivered clip.

    `sha256` is the digest of the manifest's JWS text as it was uploaded, which in turn names the digest of every
    part.
    """

    schema_: Literal["receipt/1"] = Field("receipt/1", alias="schema")
    aud: UnitId
    clip_id: Uuid
    sha256: Sha256Hex
    verdict: Literal["verified", "failed"]
    reason: str | None = None
    iat: Amount
