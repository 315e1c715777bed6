"""Commands: the signed envelope's claims, the parameters of each command, who may give it."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from edge_agent.contract.model import ContractModel
from edge_agent.contract.names import CameraName, UnitId, Uuid
from edge_agent.contract.times import UtcText

MAX_CLIP_S = 24 * 3600
"""The longest interval of one clip."""

MAX_FUTURE_S = 60
"""How far an interval may reach into the future: the unit waits for it."""

MAX_LIFETIME_S = 31 * 24 * 3600
"""The longest time between `iat` and `exp`."""

ShortText = Annotated[str, StringConstraints(min_length=1, max_length=200)]
NumericDate = Annotated[int, Field(ge=0, lt=2**53)]
"""Whole seconds since 1970 (RFC 7519 §2), within the integers that every JSON parser keeps (RFC 8259 §6)."""

Role = Literal["operator", "investigator", "technician", "administrator", "system"]
Priority = Literal["urgent", "normal", "background"]


class CommandClaims(ContractModel):
    """Claims of a command (RFC 7519 names; times in whole seconds since 1970, as that RFC has it)."""

    iss: ShortText
    aud: UnitId
    jti: Uuid
    iat: NumericDate
    exp: NumericDate
    sub: ShortText
    role: Role
    cmd: ShortText
    params: dict[str, Any] = Field(default_factory=dict)
    reference: ShortText | None = None
    purpose: ShortText | None = None


class ClipRequest(ContractModel):
    """`clip.request`: deliver footage of one camera; needs `reference` and `purpose`. The clip's id is the `jti`."""

    camera: CameraName
    from_us: UtcText = Field(alias="from")
    to_us: UtcText = Field(alias="to")
    priority: Priority = "normal"
    upload: str | None = Field(default=None, max_length=2000)
    """tus creation URL; the unit's own when absent; its origin must be one that the unit was given."""


class ClipCancel(ContractModel):
    """`clip.cancel`: end a clip request, in whatever state short of done."""

    clip_id: Uuid


class ClipList(ContractModel):
    """`clip.list`: the clips that the unit knows, newest first."""

    offset: int = Field(default=0, ge=0, le=1_000_000)
    limit: int = Field(default=20, ge=1, le=50)


class CommandQuery(ContractModel):
    """`command.query`: the current reply of a durable command."""

    command_id: Uuid


class CoverageQuery(ContractModel):
    """`coverage.query`: held intervals and gaps; `cursor` of the last answer continues it."""

    camera: CameraName
    from_us: UtcText = Field(alias="from")
    to_us: UtcText = Field(alias="to")
    cursor: str | None = Field(default=None, max_length=40)


class UnitCheck(ContractModel):
    """`unit.check`: run every probe now and answer with what they say."""


DURABLE: dict[str, type[ContractModel]] = {
    "clip.request": ClipRequest,
    "clip.cancel": ClipCancel,
    "clip.list": ClipList,
    "command.query": CommandQuery,
    "coverage.query": CoverageQuery,
}
"""Stored before they are acknowledged; take effect once."""

EPHEMERAL: dict[str, type[ContractModel]] = {"unit.check": UnitCheck}
"""Never stored; they expire in seconds."""

MAX_EPHEMERAL_S = 30
"""The longest life of an ephemeral command."""

NEEDS_REFERENCE = frozenset({"clip.request"})
"""Commands that touch footage: `reference` and `purpose` are asked for."""

ROLES: dict[str, frozenset[Role]] = {
    "clip.request": frozenset({"operator", "investigator", "administrator"}),
    "clip.cancel": frozenset({"operator", "investigator", "administrator"}),
    "clip.list": frozenset({"operator", "investigator", "administrator", "system"}),
    "command.query": frozenset({"operator", "investigator", "technician", "administrator", "system"}),
    "coverage.query": frozenset({"operator", "investigator", "technician", "administrator", "system"}),
    "unit.check": frozenset({"operator", "technician", "administrator", "system"}),
}
"""Who may give which command."""
