"""The application: all routes behind the guard."""

from pathlib import Path

from aiohttp import web
from yarl import URL

from csu.api.alarms import AlarmRoutes
from csu.api.assets import load_assets
from csu.api.clips import ClipRoutes
from csu.api.commands import CommandRoutes
from csu.api.guard import Guard
from csu.api.input import MAX_BODY_BYTES, NoQuery, read_query
from csu.api.openapi import make_document
from csu.api.page import PageRoutes
from csu.api.ports import Parts
from csu.api.route import Answer, Route
from csu.api.stream import StreamRoutes
from csu.api.units import UnitRoutes
from csu.page_session import Sessions

PAGE_DIRECTORY = Path(__file__).parents[1] / "page"


class Api:
    """The application; `app` is what an aiohttp runner serves. Reads the page's files: make it off the event loop."""

    def __init__(self, parts: Parts, page_directory: Path = PAGE_DIRECTORY) -> None:
        sessions = Sessions(parts.token, parts.clock)
        guard = Guard(parts.token, sessions, _origin_of(parts.page.tile_url))
        page = PageRoutes(parts, guard, sessions, load_assets(page_directory))
        subjects = (UnitRoutes, CommandRoutes, ClipRoutes, AlarmRoutes, StreamRoutes)
        self.routes: tuple[Route, ...] = (
            *page.routes(),
            *(route for subject in subjects for route in subject(parts).routes()),
            Route("GET", "/v1/openapi.json", self._openapi, "This document", Answer(None), NoQuery),
        )
        self._document = make_document(self.routes, parts.page.software_version)
        self.app = web.Application(middlewares=[guard.middleware], client_max_size=MAX_BODY_BYTES)
        self.app.on_response_prepare.append(guard.add_headers)
        self.app.add_routes([*page.other_routes(), *(route.of_aiohttp() for route in self.routes)])

    async def _openapi(self, request: web.Request) -> web.Response:
        read_query(NoQuery, request)
        return web.json_response(self._document)


def _origin_of(url: str | None) -> str | None:
    """The origin of a tile URL for the content policy; `{s}`, a host of several, becomes any host of that name."""
    if url is None:
        return None
    origin = URL(url.replace("{s}.", "any-tile-host.")).origin()
    return str(origin).replace("any-tile-host.", "*.")
