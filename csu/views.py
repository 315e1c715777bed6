"""What the page and integrators see: JSON models of the API that are reckoned from what the registry holds.

Nothing is `ok` that was not heard: a unit's standing falls by itself when its word grows old, and all of them fall
when the centre itself has no broker.
"""

from typing import Any, Literal

from pydantic import Field

from csu.records import ClipVerdict, CommandState
from edge_agent.contract.messages import Amount, PositionFix, ProbeState
from edge_agent.contract.model import ContractModel
from edge_agent.contract.times import UtcMicros

Standing = Literal["trouble", "lost", "unheard", "warning", "ok"]
"""Worst first. `trouble`: it does not record, or something is critical. `lost`: it was heard and is no longer.
`unheard`: enrolled, never heard, or the centre cannot hear anybody. `ok`: heard lately, and all is well."""

Severity = Literal["critical", "warning"]


class Reason(ContractModel):
    """Why a unit does not stand `ok`: a code that the page has words for, and what belongs into them."""

    code: str
    camera: str | None = None
    since_us: UtcMicros | None = Field(default=None, alias="since")
    details: dict[str, Any] = Field(default_factory=dict)


class Place(ContractModel):
    """Where a unit said it is."""

    longitude_deg: float
    latitude_deg: float
    altitude_m: float | None = None
    fix: PositionFix
    accuracy_m: float | None = None
    last_known: bool = False
    """Not where it is by satellites now, but where it was last."""
    said_us: UtcMicros | None = Field(default=None, alias="said_at")
    """By the unit's clock."""
    fixed_us: UtcMicros | None = Field(default=None, alias="fixed_at")
    """When the place itself was measured; null for one from the settings."""
    source: str


class CameraView(ContractModel):
    """A camera, as the unit's last health said."""

    name: str
    state: ProbeState
    recording: bool | None = None
    """None: not known."""
    cause: str | None = None
    frames_per_second: float | None = None
    bitrate_kbps: float | None = None
    last_frame_age_s: float | None = None


class UnitSummary(ContractModel):
    """One line of the fleet's list, and one mark on its plan."""

    unit_id: str
    standing: Standing
    reasons: tuple[Reason, ...] = ()
    """Worst first."""
    online: bool
    """Its last status said so and nothing contradicts it."""
    heard_us: UtcMicros | None = Field(default=None, alias="heard_at")
    """Its last message of any kind."""
    place: Place | None = None
    cameras: tuple[CameraView, ...] = ()
    open_alarms: int = 0
    unacknowledged_alarms: int = 0
    open_commands: int = 0
    software_version: str | None = None
    deployment_id: str | None = None


class FleetView(ContractModel):
    """Answer of `GET /v1/fleet`, trouble first."""

    at: UtcMicros
    broker_connected: bool
    counts: dict[Standing, int]
    units: tuple[UnitSummary, ...]
    not_recording: tuple[str, ...]
    """Units of which a camera, at least one, is known or must be feared not to record."""
    not_heard: tuple[str, ...]
    """Units that are lost or unheard."""


class Said(ContractModel):
    """The last body of a topic, and its age."""

    heard_us: UtcMicros = Field(alias="heard_at")
    body: dict[str, Any]


class UnitView(ContractModel):
    """Answer of `GET /v1/units/{unit_id}/view`."""

    summary: UnitSummary
    enrolled_us: UtcMicros = Field(alias="enrolled_at")
    status: Said | None = None
    position: Said | None = None
    health: Said | None = None
    coverage: Said | None = None
    ignored: int
    """Bodies under its topics that could not be read."""


class AlarmRecord(ContractModel):
    """An alarm of a unit, or the centre's own about it, from its raising to its acknowledgement."""

    alarm_id: str
    """Stable; safe in a URL."""
    unit_id: str
    name: str
    """Of `EventName`, or the centre's own: `not-heard`, `clip-failed`."""
    camera: str | None = None
    origin: Literal["unit", "centre"]
    severity: Severity
    raised_us: UtcMicros = Field(alias="raised_at")
    cleared_us: UtcMicros | None = Field(default=None, alias="cleared_at")
    acknowledged_us: UtcMicros | None = Field(default=None, alias="acknowledged_at")
    acknowledged_by: str | None = None
    note: str | None = None
    details: dict[str, Any] = Field(default_factory=dict)


class ClipEstimate(ContractModel):
    """Answer of `GET /v1/units/{unit_id}/estimate`: what a request would cost, before it is sent."""

    size_bytes: Amount
    held_s: float
    """Footage in the interval, as the unit's last word on its coverage has it."""
    missing_s: float
    gaps: tuple[dict[str, Any], ...] = ()
    """`{"from", "to", "cause"}` inside the interval."""
    expected_s: float | None = None
    """Of the transfer; null when no upload rate of this unit is known."""
    rate_kbps: float | None = None
    rate_basis: Literal["measured", "unknown"]
    overwrite_us: UtcMicros | None = Field(default=None, alias="overwrite_at")
    """When the oldest footage of the interval is given up, if nothing asks for it."""
    overwrite_risk: Literal["none", "soon", "before-end", "gone", "unknown"]
    """`soon`: within a day. `before-end`: before the transfer would end. `gone`: it is overwritten already."""
    coverage_heard_us: UtcMicros | None = Field(default=None, alias="coverage_heard_at")
    """How old the word is that this was reckoned from."""
    problem: str | None = None
    """Code of why the unit would reject it, where that can be told: `interval-invalid`, `interval-empty`, …"""


class ClipFile(ContractModel):
    """One file of a clip that arrived."""

    name: str
    size_bytes: Amount
    kind: Literal["part", "manifest", "other"]
    url: str
    """Under the API; answers ranges (RFC 9110 §14)."""
    sha256: str | None = None
    """Of a part: its digest as the signed manifest has it, hex."""
    codec: str | None = None
    """`h264` or `h265`: no common browser is sure to play the latter."""
    start_us: UtcMicros | None = Field(default=None, alias="from")
    end_us: UtcMicros | None = Field(default=None, alias="to")
    preroll_s: float | None = None
    """Before the first shown picture, for players that ignore edit lists."""


class ClipView(ContractModel):
    """Answer of `GET /v1/clips/{unit_id}/{clip_id}`."""

    clip_id: str
    unit_id: str
    completed_us: UtcMicros = Field(alias="completed_at")
    verdict: ClipVerdict
    reason: str | None = None
    camera: str | None = None
    asked: dict[str, Any] | None = None
    delivered: dict[str, Any] | None = None
    gaps: tuple[dict[str, Any], ...] = ()
    clock_source: str | None = None
    clock_bound_ms: float | None = None
    positions: tuple[dict[str, Any], ...] = ()
    warnings: tuple[str, ...] = ()
    files: tuple[ClipFile, ...] = ()
    command_state: CommandState | None = None


class DaySummary(ContractModel):
    """Answer of `GET /v1/summary`: one day of the fleet, in a time zone of the centre's choice."""

    day: str
    zone: str
    units: int
    standing_now: dict[Standing, int]
    recorded_share: float | None = None
    """Seconds held by seconds expected, of all cameras that said; null when none did."""
    lost_s: Amount
    alarms_raised: int
    alarms_open: int
    alarms_unacknowledged: int
    clips_delivered: int
    clips_failed: int
    not_recording: tuple[str, ...]
    not_heard: tuple[str, ...]
    rows: tuple[dict[str, Any], ...] = ()
    """A unit each: `unit_id`, `standing`, `held_s`, `lost_s`, `alarms`, `clips`, `offline_s`."""
