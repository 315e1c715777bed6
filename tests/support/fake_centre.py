"""The page's server without a centre behind it: the real files of the page, made-up answers, events on demand."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from csu.api.assets import Assets, load_assets
from csu.records import CommandRecord
from csu.views import ClipEstimate, ClipView, UnitSummary
from edge_agent.contract.model import ContractModel
from tests.support import fake_fleet

PAGE = Path(__file__).parents[2] / "csu" / "page"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""As the service has it where no tiles are configured."""


class FakeCentre:
    """What the page is told; tests change it and publish what changed."""

    def __init__(self, units: list[UnitSummary] | None = None) -> None:
        self.units = {unit.unit_id: unit for unit in (fake_fleet.small_fleet() if units is None else units)}
        self.page: dict[str, Any] = {"software_version": "0.1.0", "zone": "Europe/Paris"}
        self.alarms = {alarm.alarm_id: alarm for alarm in fake_fleet.some_alarms()}
        self.commands: dict[str, CommandRecord] = {fake_fleet.COMMAND_ID: fake_fleet.command()}
        self.clip: ClipView = fake_fleet.clip_view(fake_fleet.clip_files([("part1.mp4", 148_000_000)]))
        self.files: dict[str, Path] = {}
        self.views: dict[str, dict[str, Any]] = {}
        self.estimate: ClipEstimate | dict[str, Any] = fake_fleet.estimate()
        self.refusals: dict[str, tuple[int, str, str]] = {}
        """By the last part of a path: status, code, message of what is answered instead."""
        self.posted: list[dict[str, Any]] = []
        self.signed_out = False
        self._assets: Assets | None = None
        self._streams: set[asyncio.Queue[bytes | None]] = set()
        self._runner: web.AppRunner | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def listeners(self) -> int:
        """Pages that listen to the stream."""
        return len(self._streams)

    # -- its life

    async def open(self) -> None:
        """Serve, at the port of the last time where there was one."""
        self._assets = await asyncio.to_thread(load_assets, PAGE)
        self._runner = web.AppRunner(self._application(), shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """As if the service had ended."""
        for queue in self._streams:
            queue.put_nowait(None)
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def publish(self, event: str, body: ContractModel | dict[str, Any]) -> None:
        """One event to every page that listens."""
        data = body if isinstance(body, dict) else body.to_object()
        frame = f"event: {event}\ndata: {json.dumps(data)}\n\n".encode()
        for queue in self._streams:
            queue.put_nowait(frame)

    def change(self, unit: UnitSummary) -> None:
        """A unit stands differently."""
        self.units[unit.unit_id] = unit
        self.publish("unit", unit)

    def change_command(self, command: CommandRecord) -> None:
        self.commands[command.command_id] = command
        self.publish("command", command)

    # -- routes

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._guard])
        get, post = application.router.add_get, application.router.add_post
        get("/", self._document)
        get("/assets/{path:.+}", self._asset)
        get("/v1/page", self._page)
        get("/v1/stream", self._stream)
        get("/v1/units/{unit}/view", self._unit)
        get("/v1/units/{unit}/estimate", self._estimate)
        get("/v1/alarms", self._alarm_list)
        post("/v1/alarms/{alarm}/acknowledgement", self._acknowledge)
        get("/v1/commands", self._command_list)
        post("/v1/commands", self._give)
        get("/v1/commands/{command}", self._command)
        get("/v1/clips", self._clip_list)
        get("/v1/clips/{unit}/{clip}", self._clip)
        get("/v1/clips/{unit}/{clip}/files/{name}", self._file)
        get("/v1/summary", self._summary)
        return application

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/v1/") and self.signed_out:
            return web.json_response({"error": {"code": "not-authorised", "message": "sign in"}}, status=401)
        status, code, message = self.refusals.get(request.path.rsplit("/", 1)[-1], (0, "", ""))
        if status:
            return web.json_response({"error": {"code": code, "message": message}}, status=status)
        return await handler(request)

    async def _document(self, _: web.Request) -> web.Response:
        assert self._assets is not None
        assert self._assets.document is not None
        headers = {"Content-Security-Policy": CSP, "Cache-Control": "no-cache"}
        return web.Response(body=self._assets.document.content, content_type="text/html", headers=headers)

    async def _asset(self, request: web.Request) -> web.Response:
        assert self._assets is not None
        found = self._assets.find(request.match_info["path"])
        if found is None:
            raise web.HTTPNotFound
        asset, _ = found
        headers = {"Content-Type": asset.content_type, "Cache-Control": "public, max-age=31536000, immutable"}
        if asset.packed is not None:
            return web.Response(body=asset.packed, headers=headers | {"Content-Encoding": "gzip"})
        return web.Response(body=asset.content, headers=headers)

    async def _page(self, _: web.Request) -> web.Response:
        return web.json_response(self.page)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(10_000)
        hello = json.dumps(fake_fleet.fleet_view(list(self.units.values())).to_object())
        await response.write(f"event: hello\ndata: {hello}\n\n".encode())
        self._streams.add(queue)
        try:
            while (frame := await queue.get()) is not None:
                await response.write(frame)
        finally:
            self._streams.discard(queue)
        return response

    async def _unit(self, request: web.Request) -> web.Response:
        unit = self.units.get(request.match_info["unit"])
        if unit is None:
            return _refuse(404, "unknown-unit", "no such unit")
        return web.json_response(fake_fleet.unit_view(unit).to_object() | self.views.get(unit.unit_id, {}))

    async def _estimate(self, _: web.Request) -> web.Response:
        found = self.estimate
        return web.json_response(found if isinstance(found, dict) else found.to_object())

    async def _alarm_list(self, request: web.Request) -> web.Response:
        wanted, unit = request.query.get("open"), request.query.get("unit_id")
        items = [
            alarm.to_object()
            for alarm in self.alarms.values()
            if unit in {None, alarm.unit_id}
            and wanted in {None, str(alarm.cleared_us is None or alarm.acknowledged_us is None).lower()}
        ]
        return web.json_response({"items": items})

    async def _acknowledge(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.posted.append(body)
        taken = {
            "acknowledged_us": fake_fleet.now_us(),
            "acknowledged_by": body["operator"],
            "note": body.get("note"),
        }
        alarm = self.alarms[request.match_info["alarm"]].model_copy(update=taken)
        self.alarms[alarm.alarm_id] = alarm
        self.publish("alarm", alarm)
        if unit := self.units.get(alarm.unit_id):
            waiting = max(0, unit.unacknowledged_alarms - 1)
            self.change(unit.model_copy(update={"unacknowledged_alarms": waiting}))
        return web.json_response(alarm.to_object())

    async def _command_list(self, request: web.Request) -> web.Response:
        unit = request.query.get("unit_id")
        return web.json_response([one.to_object() for one in self.commands.values() if unit in {None, one.unit_id}])

    async def _give(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.posted.append(body)
        more = {name: body[name] for name in ("unit_id", "cmd", "params", "operator") if name in body}
        about = {"reference": body.get("reference"), "purpose": body.get("purpose")}
        given = fake_fleet.command("waiting", command_id=fake_fleet.new_id(), replied_us=None, **more, **about)
        self.commands[given.command_id] = given
        self.publish("command", given)
        return web.json_response(given.to_object(), status=201)

    async def _command(self, request: web.Request) -> web.Response:
        command = self.commands.get(request.match_info["command"])
        if command is None:
            return _refuse(404, "unknown-command", "no such command")
        return web.json_response({"command": command.to_object(), "clip": None})

    async def _clip_list(self, request: web.Request) -> web.Response:
        mine = request.query.get("unit_id") in {None, "nomad-07"}
        return web.json_response([fake_fleet.clip_record().to_object()] if mine else [])

    async def _clip(self, _: web.Request) -> web.Response:
        return web.json_response(self.clip.to_object())

    async def _file(self, request: web.Request) -> web.StreamResponse:
        path = self.files.get(request.match_info["name"])
        if path is None:
            raise web.HTTPNotFound
        return web.FileResponse(path, headers={"Content-Type": "video/mp4"})

    async def _summary(self, request: web.Request) -> web.Response:
        return web.json_response(fake_fleet.day_summary(request.query["day"], list(self.units.values())).to_object())


def _refuse(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"error": {"code": code, "message": message}}, status=status)


@asynccontextmanager
async def fake_centre(units: list[UnitSummary] | None = None) -> AsyncIterator[FakeCentre]:
    """One that is served while the block lasts."""
    centre = FakeCentre(units)
    await centre.open()
    try:
        yield centre
    finally:
        await centre.close()
