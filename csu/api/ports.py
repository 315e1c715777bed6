"""What the API asks of the rest of the centre, and in what words."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from pydantic import Field, WithJsonSchema

from csu.commander import Commander
from csu.feed import Feed
from csu.paging import Key
from csu.registry import Registry
from csu.views import AlarmRecord, DaySummary, FleetView, UnitSummary
from edge_agent.clock import Clock
from edge_agent.contract.commands import Role, ShortText
from edge_agent.contract.messages import HistoryKind
from edge_agent.contract.model import ContractModel
from edge_agent.contract.names import UnitId

_JWK = {
    "type": "object",
    "required": ["kty", "crv", "x"],
    "properties": {
        "kty": {"const": "OKP"},
        "crv": {"const": "Ed25519"},
        "x": {"type": "string", "pattern": "^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$"},
    },
    "not": {"required": ["d"]},
    "description": "The unit's public key (RFC 8037 §2); `edge-agent identity` prints it.",
}
_JWK_OR_SET = {
    "type": "object",
    "anyOf": [
        _JWK,
        {
            "required": ["keys"],
            "properties": {"keys": {"type": "array", "items": _JWK, "minItems": 1, "maxItems": 1}},
        },
    ],
}


class EnrolRequest(ContractModel):
    """Body of `POST /v1/units`."""

    unit_id: UnitId
    jwk: Annotated[dict[str, Any], WithJsonSchema(_JWK_OR_SET)]


class Enrolment(ContractModel):
    """What a unit needs to speak to this centre; the password is shown this once."""

    unit_id: str
    mqtt_url: str
    topic_prefix: str
    password: str | None = None
    """None with a broker that is not the service's own."""
    upload_url: str
    command_keys: dict[str, Any]


class Expulsion(ContractModel):
    """A unit that is shut out."""

    unit_id: str
    own_broker: bool
    """False: its user at the broker is left, which is not the service's own."""


class CommandRequest(ContractModel):
    """Body of `POST /v1/commands`."""

    unit_id: UnitId
    cmd: ShortText
    params: dict[str, Any] = Field(default_factory=dict)
    operator: ShortText
    role: Role = "operator"
    reference: ShortText | None = None
    purpose: ShortText | None = None
    lifetime_s: int | None = Field(default=None, ge=1)


class PageInfo(ContractModel):
    """Answer of `GET /v1/page`: what the page has to know before it draws anything."""

    software_version: str
    zone: str
    """IANA name of the time zone that times are shown in."""
    tile_url: str | None = None
    """With `{z}`, `{x}`, `{y}`; absent: a plain plan."""
    tile_attribution: str | None = None
    operator: str | None = None
    """Proposed in forms."""


class FleetPort(Protocol):
    """How the units stand."""

    async def view(self) -> FleetView:
        """All of them, trouble first."""
        ...

    async def summary_of(self, unit_id: str) -> UnitSummary:
        """One; raises RequestRefusedError when it is not known."""
        ...


class AlarmPort(Protocol):
    """Alarms and who acknowledged them; `csu.alarm_book.AlarmBook`."""

    async def list(
        self, unit_id: str | None, is_open: bool | None, limit: int, before: Key | None = None
    ) -> "list[AlarmRecord]":
        """Newest first, those after the row of key `before`: `(raised_us, alarm_id)`."""
        ...

    async def acknowledge(self, alarm_id: str, operator: str, note: str | None = None) -> AlarmRecord:
        """Once; raises RequestRefusedError when it is not known, or another did so before."""
        ...


class HistoryPort(Protocol):
    """What units said of their health and place, by time."""

    async def load(
        self, unit_id: str, kind: HistoryKind, from_us: int | None, to_us: int | None, limit: int
    ) -> tuple[list[dict[str, Any]], int]:
        """Samples, oldest first, and how many are known to be left out."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes work with.

    Attributes:
        registry: of units, commands, clips, events.
        commander: gives commands.
        feed: of what happens.
        fleet: how the units stand.
        alarms: and who acknowledged them.
        history: of units.
        summarise: a day (`YYYY-MM-DD`) of the fleet.
        enrol: lets a unit in.
        expel: shuts one out.
        describe: the body of `GET /v1/service`.
        clock: of the service.
        token: of the API.
        page: what the page is told.
    """

    registry: Registry
    commander: Commander
    feed: Feed
    fleet: FleetPort
    alarms: AlarmPort
    history: HistoryPort
    summarise: Callable[[str | None], Awaitable[DaySummary]]
    enrol: Callable[[EnrolRequest], Awaitable[Enrolment]]
    expel: Callable[[str], Awaitable[Expulsion]]
    describe: Callable[[], dict[str, Any]]
    clock: Clock
    token: str
    page: PageInfo
