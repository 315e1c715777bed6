"""Alarms with their acknowledgement, and the day in one document."""

import re
from datetime import date
from typing import Annotated

from aiohttp import web
from pydantic import AfterValidator, StringConstraints, WithJsonSchema

from csu.api.input import NoQuery, PageQuery, Truth, read_body, read_query
from csu.api.ports import Parts
from csu.api.route import Answer, Route, json_of
from csu.paging import page_of, read_cursor
from csu.views import AlarmRecord, DaySummary
from edge_agent.contract.commands import ShortText
from edge_agent.contract.model import ContractModel
from edge_agent.contract.names import UNIT_ID_PATTERN

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_UNIT_OR_CENTRE = rf"^(@centre|{UNIT_ID_PATTERN[1:-1]})$"
_MAX_NOTE_CHARACTERS = 2000


def _day(text: str) -> str:
    if not _DAY.fullmatch(text):
        raise ValueError("not YYYY-MM-DD")
    date.fromisoformat(text)
    return text


Day = Annotated[str, AfterValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]


class AlarmQuery(PageQuery):
    """A page of alarms: all, or those that are open, or those that are over."""

    unit_id: Annotated[str, StringConstraints(pattern=_UNIT_OR_CENTRE)] | None = None
    """`@centre`: the centre's own about itself."""
    open: Truth | None = None


class AlarmPage(ContractModel):
    """Answer of `GET /v1/alarms`."""

    items: tuple[AlarmRecord, ...]
    cursor: str | None = None
    """Absent after the last page."""


class Acknowledgement(ContractModel):
    """Body of `POST /v1/alarms/{alarm_id}/acknowledgement`."""

    operator: ShortText
    note: Annotated[str, StringConstraints(max_length=_MAX_NOTE_CHARACTERS)] | None = None


class DayQuery(ContractModel):
    """A day of the centre's time zone; today where none is given."""

    day: Day | None = None


class AlarmRoutes:
    """Handlers."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def routes(self) -> tuple[Route, ...]:
        """As the table of `csu.api` has them."""
        return (
            Route("GET", "/v1/alarms", self._list, "Alarms, newest first", Answer(AlarmPage), AlarmQuery),
            Route(
                "POST",
                "/v1/alarms/{alarm_id}/acknowledgement",
                self._acknowledge,
                "Acknowledge an alarm",
                Answer(AlarmRecord),
                NoQuery,
                Acknowledgement,
                (404, 408, 409, 413),
            ),
            Route("GET", "/v1/summary", self._summary, "A day of the fleet", Answer(DaySummary), DayQuery),
        )

    async def _list(self, request: web.Request) -> web.Response:
        query = read_query(AlarmQuery, request)
        before = None if query.cursor is None else read_cursor(query.cursor, int, str)
        rows = await self._parts.alarms.list(query.unit_id, query.open, query.limit + 1, before)
        page = page_of(rows, query.limit, lambda alarm: (alarm.raised_us, alarm.alarm_id))
        return json_of(AlarmPage(items=page.items, cursor=page.cursor))

    async def _acknowledge(self, request: web.Request) -> web.Response:
        read_query(NoQuery, request)
        said = await read_body(Acknowledgement, request)
        return json_of(await self._parts.alarms.acknowledge(request.match_info["alarm_id"], said.operator, said.note))

    async def _summary(self, request: web.Request) -> web.Response:
        return json_of(await self._parts.summarise(read_query(DayQuery, request).day))
