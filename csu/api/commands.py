"""Commands: given, looked up, listed."""

from aiohttp import web

from csu import stored_clips, stored_commands, stored_units
from csu.api.input import NoQuery, PageQuery, read_body, read_query
from csu.api.ports import CommandRequest, Parts
from csu.api.route import NEXT_CURSOR, Answer, Route, json_list, json_of
from csu.commander import CommandOrder
from csu.errors import RequestRefusedError
from csu.paging import page_of, read_cursor
from csu.records import ClipRecord, CommandRecord
from edge_agent.contract.model import ContractModel

_CURSOR = {NEXT_CURSOR: "`cursor` of the next page; absent after the last one"}


class CommandAndClip(ContractModel):
    """Answer of `GET /v1/commands/{command_id}`."""

    command: CommandRecord
    clip: ClipRecord | None
    """What was delivered for it; null before, and for other commands."""


class CommandRoutes:
    """Handlers."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def routes(self) -> tuple[Route, ...]:
        """As the table of `csu.api` has them."""
        many = Answer(CommandRecord, is_list=True, headers=_CURSOR)
        given = Answer(CommandRecord, status=201)
        one = "/v1/commands/{command_id}"
        return (
            Route("GET", "/v1/commands", self._list, "Commands, newest first", many, PageQuery),
            Route(
                "POST",
                "/v1/commands",
                self._give,
                "Give a command",
                given,
                NoQuery,
                CommandRequest,
                (403, 404, 408, 413),
            ),
            Route("GET", one, self._one, "A command and its clip", Answer(CommandAndClip), NoQuery, None, (404,)),
        )

    async def _list(self, request: web.Request) -> web.Response:
        query = read_query(PageQuery, request)
        before = None if query.cursor is None else read_cursor(query.cursor, int, str)
        rows = await self._parts.registry.run(stored_commands.load_commands, query.unit_id, query.limit + 1, before)
        page = page_of(rows, query.limit, stored_commands.key_of)
        return await json_list(page.items, page.cursor)

    async def _one(self, request: web.Request) -> web.Response:
        read_query(NoQuery, request)
        command_id = request.match_info["command_id"]
        command = await self._parts.registry.run(stored_commands.load_command, command_id)
        clip = await self._clip_of(command) if command.cmd == "clip.request" else None
        return web.json_response({"command": command.to_object(), "clip": None if clip is None else clip.to_object()})

    async def _clip_of(self, command: CommandRecord) -> ClipRecord | None:
        try:
            return await self._parts.registry.run(stored_clips.load_clip, command.unit_id, command.command_id)
        except RequestRefusedError:
            return None  # nothing was delivered so far

    async def _give(self, request: web.Request) -> web.Response:
        read_query(NoQuery, request)
        wanted = await read_body(CommandRequest, request)
        await self._parts.registry.run(stored_units.load_unit, wanted.unit_id)
        order = CommandOrder(**{name: getattr(wanted, name) for name in type(wanted).model_fields})
        return json_of(await self._parts.commander.issue(order), 201)
