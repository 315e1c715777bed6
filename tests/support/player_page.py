"""A page that plays a clip in a browser and tells which pictures it drew, served with byte ranges on loopback."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.support.numbered import BITS, CELL_PX

_PAGE = """<!doctype html><meta charset="utf-8"><title>clip</title>
<video id="v" src="clip.mp4" muted preload="auto"></video>
<script>
const video = document.getElementById("v"), canvas = document.createElement("canvas"), seeks = SEEKS, shown = [];
const draw = canvas.getContext("2d", {willReadFrequently: true});
function number() {
  canvas.width = video.videoWidth; canvas.height = video.videoHeight;
  draw.drawImage(video, 0, 0);
  const row = draw.getImageData(0, video.videoHeight / 2, video.videoWidth, 1).data;
  let value = 0;
  for (let bit = 0; bit < BITS; bit++) value = value * 2 + (row[4 * (bit * CELL + CELL / 2)] > 128 ? 1 : 0);
  return value;
}
function report(more) {
  fetch("report", {method: "POST", body: JSON.stringify({shown, duration: video.duration, ...more})});
}
function next() {
  if (seeks.length) video.currentTime = seeks.shift(); else report({});
}
video.addEventListener("error", () => report({error: video.error.message}));
video.addEventListener("loadeddata", () => { shown.push([video.currentTime, number()]); next(); }, {once: true});
video.addEventListener("seeked", () => { shown.push([video.currentTime, number()]); next(); });
</script>
"""


@dataclass
class Playing:
    """What the page reports, and what it asked of the server."""

    url: str
    report: "asyncio.Future[dict[str, Any]]"
    ranges: list[str] = field(default_factory=list)


@asynccontextmanager
async def player_page(clip: Path, seeks_s: list[float]) -> AsyncIterator[Playing]:
    """Serve the page: it draws the first picture, then the one at each of these times, and reports."""
    playing = Playing("", asyncio.get_running_loop().create_future())
    body = _PAGE.replace("SEEKS", str(seeks_s)).replace("BITS", str(BITS)).replace("CELL", str(CELL_PX))

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=body, content_type="text/html")

    async def video(request: web.Request) -> web.FileResponse:
        playing.ranges.append(request.headers.get("Range", ""))
        return web.FileResponse(clip, headers={"Content-Type": "video/mp4"})

    async def report(request: web.Request) -> web.Response:
        if not playing.report.done():
            playing.report.set_result(await request.json())
        return web.Response()

    application = web.Application()
    application.router.add_get("/", page)
    application.router.add_get("/clip.mp4", video)
    application.router.add_post("/report", report)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        playing.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        yield playing
    finally:
        await runner.cleanup()
