"""Clips: listed, looked at, their files with ranges."""

import asyncio
import os
from pathlib import Path

from aiohttp import web
from aiohttp.helpers import content_disposition_header

from csu import stored_clips, stored_commands
from csu.api.file_answer import FileAnswer
from csu.api.input import UNIT_ID, NoQuery, PageQuery, read_query
from csu.api.ports import Parts
from csu.api.route import NEXT_CURSOR, Answer, Route, json_list, json_of
from csu.clip_view import kind_of, list_files, open_file, view_of
from csu.errors import RequestRefusedError
from csu.paging import page_of, read_cursor
from csu.records import ClipRecord, CommandState
from csu.views import ClipView
from edge_agent.contract.model import ContractModel

_CURSOR = {NEXT_CURSOR: "`cursor` of the next page; absent after the last one"}
_TYPES = {"part": "video/mp4", "manifest": "application/jose", "other": "application/octet-stream"}
"""RFC 4337 §2, RFC 7515 §9.2.1."""


class FileQuery(ContractModel):
    """`download`: to be kept as a file and not shown."""

    download: str | None = None


class ClipRoutes:
    """Handlers."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def routes(self) -> tuple[Route, ...]:
        """As the table of `csu.api` has them."""
        many = Answer(ClipRecord, is_list=True, headers=_CURSOR)
        one = "/v1/clips/{unit_id}/{clip_id}"
        words = "The file; with `Range`, a part of it (206)."
        file = Answer(
            None, content_type=_TYPES["part"], other_types=(_TYPES["manifest"], _TYPES["other"]), description=words
        )
        return (
            Route("GET", "/v1/clips", self._list, "Delivered clips, newest first", many, PageQuery),
            Route("GET", one, self._one, "A clip", Answer(ClipView), NoQuery, None, (404,), UNIT_ID),
            Route(
                "GET",
                f"{one}/files/{{name}}",
                self._file,
                "A file of a clip",
                file,
                FileQuery,
                None,
                (404, 412, 416),
                UNIT_ID,
            ),
        )

    async def _list(self, request: web.Request) -> web.Response:
        query = read_query(PageQuery, request)
        before = None if query.cursor is None else read_cursor(query.cursor, int, str, str)
        rows = await self._parts.registry.run(stored_clips.load_clips, query.unit_id, query.limit + 1, before)
        page = page_of(rows, query.limit, stored_clips.key_of)
        return await json_list(page.items, page.cursor)

    async def _one(self, request: web.Request) -> web.Response:
        read_query(NoQuery, request)
        clip = await self._load(request)
        files = await asyncio.to_thread(list_files, Path(clip.folder))
        return json_of(view_of(clip, files, await self._state_of(clip)))

    async def _file(self, request: web.Request) -> web.StreamResponse:
        query = read_query(FileQuery, request)
        clip, name = await self._load(request), request.match_info["name"]
        descriptor = await asyncio.to_thread(open_file, Path(clip.folder), name)
        try:
            disposition = "inline" if query.download is None else "attachment"
            headers = {
                "Content-Type": _TYPES[kind_of(name)],
                "Content-Disposition": content_disposition_header(disposition, filename=name),
            }
            return await FileAnswer(descriptor, headers).send(request)
        finally:
            os.close(descriptor)

    async def _load(self, request: web.Request) -> ClipRecord:
        unit_id, clip_id = request.match_info["unit_id"], request.match_info["clip_id"]
        return await self._parts.registry.run(stored_clips.load_clip, unit_id, clip_id)

    async def _state_of(self, clip: ClipRecord) -> CommandState | None:
        try:
            command = await self._parts.registry.run(stored_commands.load_command, clip.clip_id)
        except RequestRefusedError:
            return None  # another centre's
        return command.state if command.unit_id == clip.unit_id else None
