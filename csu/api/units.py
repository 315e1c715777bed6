"""Units: enrolment, how they stand, what they said, what a clip of them would cost."""

from typing import Any

from aiohttp import web
from pydantic import Field

from csu import stored_units
from csu.api.input import UNIT_ID, Limit, ListQuery, NoQuery, read_body, read_query
from csu.api.ports import Enrolment, EnrolRequest, Expulsion, Parts
from csu.api.route import Answer, Route, json_list, json_of
from csu.estimate import estimate_clip
from csu.records import HeardState, UnitRecord
from csu.service_info import ServiceInfo
from csu.views import ClipEstimate, FleetView, Said, UnitView
from edge_agent.contract.messages import Event, HistoryKind
from edge_agent.contract.model import ContractModel
from edge_agent.contract.names import CameraName
from edge_agent.contract.times import UtcText

_MAX_SAMPLES = 1000


class ServiceView(ServiceInfo):
    """Answer of `GET /v1/service`."""

    broker_connected: bool
    messages_of_strangers: int


class EstimateQuery(ContractModel):
    """The interval of a clip that might be asked for."""

    camera: CameraName
    from_us: UtcText = Field(alias="from")
    to_us: UtcText = Field(alias="to")


class HistoryQuery(ContractModel):
    """Samples of a kind, of an interval."""

    kind: HistoryKind
    from_us: UtcText | None = Field(default=None, alias="from")
    to_us: UtcText | None = Field(default=None, alias="to")
    limit: Limit = _MAX_SAMPLES


class Samples(ContractModel):
    """Answer of `GET /v1/units/{unit_id}/history`."""

    samples: tuple[dict[str, Any], ...]
    """Bodies of `up/health` or `up/position`, oldest first."""
    left_out: int
    """Samples that the unit is known to have left out for space."""


class UnitRoutes:
    """Handlers."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def routes(self) -> tuple[Route, ...]:
        """As the table of `csu.api` has them."""
        one = "/v1/units/{unit_id}"
        return (
            Route("GET", "/v1/service", self._service, "The service itself", Answer(ServiceView), NoQuery),
            Route("GET", "/v1/fleet", self._fleet, "The fleet, trouble first", Answer(FleetView), NoQuery),
            Route("GET", "/v1/units", self._units, "All units", Answer(UnitRecord, is_list=True), NoQuery),
            Route(
                "POST",
                "/v1/units",
                self._add,
                "Let a unit in",
                Answer(Enrolment, status=201),
                NoQuery,
                EnrolRequest,
                errors=(408, 413),
            ),
            Route("GET", one, self._unit, "One unit", Answer(UnitRecord), NoQuery, None, (404,), UNIT_ID),
            Route("DELETE", one, self._remove, "Shut a unit out", Answer(Expulsion), NoQuery, None, (404,), UNIT_ID),
            Route(
                "GET", f"{one}/view", self._view, "All of a unit", Answer(UnitView), NoQuery, None, (404,), UNIT_ID
            ),
            Route(
                "GET",
                f"{one}/estimate",
                self._estimate,
                "What a clip would cost",
                Answer(ClipEstimate),
                EstimateQuery,
                None,
                (404,),
                UNIT_ID,
            ),
            Route(
                "GET",
                f"{one}/history",
                self._history,
                "What a unit noted",
                Answer(Samples),
                HistoryQuery,
                None,
                (404,),
                UNIT_ID,
            ),
            Route("GET", "/v1/events", self._events, "Events, oldest first", Answer(Event, is_list=True), ListQuery),
        )

    async def _service(self, request: web.Request) -> web.Response:
        read_query(NoQuery, request)
        return web.json_response(self._parts.describe())

    async def _fleet(self, request: web.Request) -> web.Response:
        read_query(NoQuery, request)
        return json_of(await self._parts.fleet.view())

    async def _units(self, request: web.Request) -> web.Response:
        read_query(NoQuery, request)
        return await json_list(await self._parts.registry.run(stored_units.load_units))

    async def _unit(self, request: web.Request) -> web.Response:
        read_query(NoQuery, request)
        return json_of(await self._load(request))

    async def _add(self, request: web.Request) -> web.Response:
        read_query(NoQuery, request)
        return json_of(await self._parts.enrol(await read_body(EnrolRequest, request)), 201)

    async def _remove(self, request: web.Request) -> web.Response:
        read_query(NoQuery, request)
        return json_of(await self._parts.expel(request.match_info["unit_id"]))

    async def _view(self, request: web.Request) -> web.Response:
        read_query(NoQuery, request)
        unit = await self._load(request)
        summary = await self._parts.fleet.summary_of(unit.unit_id)
        said: dict[str, Any] = {topic: _said(state) for topic, state in unit.states.items() if topic in _SHOWN}
        return json_of(UnitView(summary=summary, enrolled_us=unit.enrolled_us, ignored=unit.ignored, **said))

    async def _estimate(self, request: web.Request) -> web.Response:
        query = read_query(EstimateQuery, request)
        unit = await self._load(request)
        now_us = self._parts.clock.wall_us()
        return json_of(estimate_clip(unit, query.camera, query.from_us, query.to_us, now_us))

    async def _history(self, request: web.Request) -> web.Response:
        query = read_query(HistoryQuery, request)
        unit = await self._load(request)
        samples, left_out = await self._parts.history.load(
            unit.unit_id, query.kind, query.from_us, query.to_us, query.limit
        )
        return json_of(Samples(samples=tuple(samples), left_out=left_out))

    async def _events(self, request: web.Request) -> web.Response:
        query = read_query(ListQuery, request)
        events = await self._parts.registry.run(stored_units.recent_events, query.unit_id, query.limit)
        return await json_list(events)

    async def _load(self, request: web.Request) -> UnitRecord:
        return await self._parts.registry.run(stored_units.load_unit, request.match_info["unit_id"])


_SHOWN = {"status", "position", "health", "coverage"}


def _said(state: HeardState) -> Said:
    return Said(heard_us=state.heard_us, body=state.body)
