"""The JSON API of the service, on loopback, for its own command line and for integrators on the same machine.

Every request carries `Authorization: Bearer <token>`; the token lies in `api.token` (mode 0600) under the service's
directory. No cross-origin access: no CORS header is ever sent, and the token is no cookie.

| request | answer |
|---|---|
| `GET /v1/service` | `ServiceInfo`, whether the broker is reached, messages of strangers |
| `GET /v1/units`, `GET /v1/units/{unit_id}` | `UnitRecord` |
| `POST /v1/units` `{"unit_id", "jwk"}` | what the unit needs: `Enrolment` |
| `DELETE /v1/units/{unit_id}` | `Expulsion`: the unit is shut out |
| `GET /v1/events?unit_id&limit` | events, oldest first |
| `GET /v1/commands?unit_id&limit`, `GET /v1/commands/{id}` | `CommandRecord`; the latter `{"command", "clip"}` |
| `POST /v1/commands` `{"unit_id", "cmd", "params", "operator", …}` | `CommandRecord` |
| `GET /v1/clips?unit_id&limit` | `ClipRecord` |
| `GET /v1/watch?unit_id` | one JSON object a line, as things happen; empty lines keep it alive |

Errors: `{"error": {"code", "message"}}` with a fitting status.
"""

import asyncio
import hmac
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, get_args

from aiohttp import web
from pydantic import Field, ValidationError

from csu import stored_clips, stored_commands, stored_units
from csu.commander import Commander, CommandOrder
from csu.errors import ContractError, CsuError, CsuSettingsError, RequestRefusedError
from csu.feed import TOO_SLOW, Feed
from csu.records import ClipRecord, CommandRecord
from csu.registry import Registry
from csu.service_info import ServiceInfo
from edge_agent.contract.commands import Role, ShortText
from edge_agent.contract.model import ContractModel
from edge_agent.contract.names import UnitId

_log = logging.getLogger(__name__)

_MAX_BODY_BYTES = 65_536
_MAX_LIST = 1000
_ALIVE_INTERVAL_S = 15.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


_EXPECTED = {
    "unit_id": "2 to 31 lower-case letters, digits and hyphens, such as nomad-07",
    "jwk": "the unit's public key as a JSON object (RFC 7517)",
    "cmd": "the name of a command, such as clip.request",
    "params": "the command's parameters as a JSON object",
    "operator": "who gives it, 1 to 200 characters",
    "role": f"one of {', '.join(get_args(Role))}",
    "reference": "that of the requisition, 1 to 200 characters",
    "purpose": "1 to 200 characters",
    "lifetime_s": "a whole number of seconds, 1 or more",
}
"""What a field of a request has to be, for who wrote it; of the others the model's words are told."""


class EnrolRequest(ContractModel):
    """Body of `POST /v1/units`."""

    unit_id: UnitId
    jwk: dict[str, Any]


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


Body = TypeVar("Body", bound=ContractModel)


async def _read(model: type[Body], request: web.Request) -> Body:
    """A request's body.

    Raises:
        ContractError: it is not of that shape; the message names the first wrong field and what is expected there.
    """
    try:
        return model.from_json(await request.read(), _MAX_BODY_BYTES)
    except ContractError as error:
        if not isinstance(error.__cause__, ValidationError):
            raise
        field = next(iter(error.__cause__.errors(include_url=False)[0]["loc"]), None)
        if field not in _EXPECTED:
            raise
        raise ContractError(f"{field}: expected {_EXPECTED[str(field)]}") from error


class Api:
    """The application; `app` is what an aiohttp runner serves."""

    def __init__(
        self,
        registry: Registry,
        commander: Commander,
        feed: Feed,
        enrol: Callable[[EnrolRequest], Awaitable[Enrolment]],
        expel: Callable[[str], Awaitable[Expulsion]],
        describe: Callable[[], dict[str, Any]],
        token: str,
    ) -> None:
        self._registry = registry
        self._commander = commander
        self._feed = feed
        self._enrol = enrol
        self._expel = expel
        self._describe = describe
        self._token = token
        self.app = web.Application(middlewares=[self._guard], client_max_size=_MAX_BODY_BYTES)
        self.app.add_routes(
            [
                web.get("/v1/service", self._service),
                web.get("/v1/units", self._units),
                web.post("/v1/units", self._add_unit),
                web.get("/v1/units/{unit_id}", self._unit),
                web.delete("/v1/units/{unit_id}", self._remove_unit),
                web.get("/v1/events", self._events),
                web.get("/v1/commands", self._commands),
                web.post("/v1/commands", self._add_command),
                web.get("/v1/commands/{command_id}", self._command),
                web.get("/v1/clips", self._clips),
                web.get("/v1/watch", self._watch),
            ]
        )

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
            return _error("not-authorised", "the token in api.token is missing or wrong", 401)
        try:
            return await handler(request)
        except RequestRefusedError as error:
            return _error(error.code, str(error), error.status)
        except (ContractError, CsuSettingsError) as error:
            return _error("parameters-invalid", str(error), 400)
        except CsuError as error:
            return _error("unavailable", str(error), 503)
        except web.HTTPException as error:
            return _error("refused", error.reason, error.status)
        except ConnectionError:
            raise  # nobody is left to answer
        except OSError as error:
            _log.exception("%s %s: storage", request.method, request.path)
            return _error("storage-error", f"storage: {error.strerror}", 503)
        except (ValueError, OverflowError) as error:  # what passes the models and no calendar or database holds
            return _error("parameters-invalid", f"a value cannot be used: {error}"[:300], 400)

    async def _service(self, _request: web.Request) -> web.Response:
        return web.json_response(self._describe())

    async def _units(self, _request: web.Request) -> web.Response:
        return _json(await self._registry.run(stored_units.load_units))

    async def _unit(self, request: web.Request) -> web.Response:
        unit = await self._registry.run(stored_units.load_unit, request.match_info["unit_id"])
        return web.json_response(unit.to_object())

    async def _add_unit(self, request: web.Request) -> web.Response:
        enrolment = await self._enrol(await _read(EnrolRequest, request))
        return web.json_response(enrolment.to_object(), status=201)

    async def _remove_unit(self, request: web.Request) -> web.Response:
        return web.json_response((await self._expel(request.match_info["unit_id"])).to_object())

    async def _events(self, request: web.Request) -> web.Response:
        unit_id, limit = _filter(request)
        return web.json_response(await self._registry.run(stored_units.recent_events, unit_id, limit))

    async def _commands(self, request: web.Request) -> web.Response:
        return _json(await self._registry.run(stored_commands.load_commands, *_filter(request)))

    async def _command(self, request: web.Request) -> web.Response:
        command_id = request.match_info["command_id"]
        command = await self._registry.run(stored_commands.load_command, command_id)
        clip = await self._clip_of(command) if command.cmd == "clip.request" else None
        return web.json_response({"command": command.to_object(), "clip": None if clip is None else clip.to_object()})

    async def _clip_of(self, command: CommandRecord) -> ClipRecord | None:
        try:
            return await self._registry.run(stored_clips.load_clip, command.unit_id, command.command_id)
        except RequestRefusedError:
            return None  # nothing was delivered so far

    async def _add_command(self, request: web.Request) -> web.Response:
        wanted = await _read(CommandRequest, request)
        await self._registry.run(stored_units.load_unit, wanted.unit_id)
        order = CommandOrder(**{name: getattr(wanted, name) for name in type(wanted).model_fields})
        return web.json_response((await self._commander.issue(order)).to_object(), status=201)

    async def _clips(self, request: web.Request) -> web.Response:
        return _json(await self._registry.run(stored_clips.load_clips, *_filter(request)))

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        unit_id, _ = _filter(request)
        if unit_id is not None:
            await self._registry.run(stored_units.load_unit, unit_id)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        with self._feed.watch() as queue:
            await response.prepare(request)
            while True:
                try:
                    async with asyncio.timeout(_ALIVE_INTERVAL_S):
                        item = await queue.get()
                except TimeoutError:
                    await response.write(b"\n")
                    continue
                if item is None:
                    return response
                if unit_id in {None, item.get("unit_id")} or item is TOO_SLOW:
                    await response.write(json.dumps(item, ensure_ascii=False).encode() + b"\n")


def describe_service(info: ServiceInfo, connected: bool, strangers: int) -> dict[str, Any]:
    """Body of `GET /v1/service`."""
    return info.to_object() | {"broker_connected": connected, "messages_of_strangers": strangers}


def _filter(request: web.Request) -> tuple[str | None, int]:
    text = request.query.get("limit", "100")
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise RequestRefusedError("parameters-invalid", f"limit={text!r:.20}: expected a number up to {_MAX_LIST}")
    return request.query.get("unit_id"), min(_MAX_LIST, int(text))


def _json(records: "list[Any]") -> web.Response:
    return web.json_response([record.to_object() for record in records])


def _error(code: str, message: str, status: int) -> web.Response:
    return web.json_response({"error": {"code": code, "message": message}}, status=status)
