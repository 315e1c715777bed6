"""A page that plays clips in a browser and hands over what it shows, served with byte ranges on loopback.

A canvas gives the pictures as raw pixels, so that whoever asks reads them with the means of his choice.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from aiohttp import web
from numpy.typing import NDArray

_MAX_PICTURE_BYTES = 64_000_000
_LUMA_OF_RGB = np.array([0.299, 0.587, 0.114])

_PAGE = """<!doctype html><meta charset="utf-8"><title>clips</title><body>
<script>
const SLOWEST = 0.0625;
const HALF_A_PICTURE_S = 0.02;
const LOOKS = 10;  // a browser on a busy machine skips pictures, even at its slowest: another look then
const canvas = document.createElement("canvas");
const draw = canvas.getContext("2d", {willReadFrequently: true});

function tell(path, fields, body) {
  return fetch(path + "?" + new URLSearchParams(fields), {method: "POST", body});
}
function happens(video, event) {
  return new Promise((done, fail) => {
    video.addEventListener(event, done, {once: true});
    video.addEventListener("error", () => fail(video.error.message), {once: true});
  });
}
function open(clip) {
  const video = document.createElement("video");
  video.muted = true;
  video.preload = "auto";
  video.src = `clip-${clip}.mp4`;
  document.body.replaceChildren(video);
  return video;
}
function grab(video, time) {
  const width = canvas.width = video.videoWidth, height = canvas.height = video.videoHeight;
  draw.drawImage(video, 0, 0);
  return [{time, width, height}, draw.getImageData(0, 0, width, height).data];
}
function presented(video) {
  return new Promise((done) => {
    video.requestVideoFrameCallback((_, frame) => done(grab(video, frame.mediaTime)));
  });
}
async function look(clip, seeks) {
  const video = open(clip);
  const [first] = await Promise.all([presented(video), happens(video, "loadeddata")]);
  await tell(`${clip}/first`, ...first);
  for (const time of seeks) {
    const sought = Promise.all([presented(video), happens(video, "seeked")]);
    video.currentTime = time;
    await tell(`${clip}/sought`, ...(await sought)[0]);
  }
  await tell(`${clip}/looked`, {duration: video.duration});
}
async function playedFirst(clip) {
  const video = open(clip);
  const first = presented(video);
  video.defaultPlaybackRate = video.playbackRate = SLOWEST;
  await video.play();
  return [...await first, video.currentTime > HALF_A_PICTURE_S];
}
async function play(clip) {
  for (let left = LOOKS; left > 0; left--) {
    const [fields, pixels, isLate] = await playedFirst(clip);
    if ((fields.time > 0 || isLate) && left > 1) continue;
    return tell(`${clip}/played`, fields, pixels);
  }
}
async function watch(jobs) {
  for (const [clip, seeks] of jobs.entries()) { await look(clip, seeks); await play(clip); }
}
watch(JOBS).then(() => tell("end", {}), (error) => tell("end", {error}));
</script>
"""


@dataclass(frozen=True)
class Picture:
    """What a player shows at a time of its own time line."""

    time_s: float
    luma: NDArray[np.uint8]
    """Full range, of the canvas's RGB by the weights of ITU-R BT.601."""


@dataclass
class Watched:
    """A clip in a player.

    Attributes:
        first: what is drawn once the clip is loaded, before anything was pressed.
        sought: what is drawn after each seek.
        played: the first picture presented after play was pressed; its time is the picture's own.
        duration_s: of the clip, as the player says.
        requests: made to the server until the last seek.
    """

    first: Picture
    played: Picture
    sought: list[Picture] = field(default_factory=list)
    duration_s: float = 0.0
    requests: int = 0


class PlayerPage:
    """What the page is served and what it tells."""

    def __init__(self, jobs: Sequence[tuple[Path, Sequence[float]]]) -> None:
        self.url = ""
        self._jobs = jobs
        self._requests = [0] * len(jobs)
        nothing = Picture(-1.0, np.zeros((0, 0), dtype=np.uint8))
        self._watched = [Watched(nothing, nothing) for _ in jobs]
        self._end: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

    async def watched(self, timeout_s: float) -> list[Watched]:
        """What each clip showed, when the page is through with all of them."""
        error = await asyncio.wait_for(self._end, timeout_s)
        assert error is None, f"the browser says: {error}"
        return self._watched

    def application(self) -> web.Application:
        application = web.Application(client_max_size=_MAX_PICTURE_BYTES)
        application.router.add_get("/", self._page)
        application.router.add_get(r"/clip-{clip:\d+}.mp4", self._video)
        application.router.add_post(r"/{clip:\d+}/{what}", self._told)
        application.router.add_post("/end", self._ended)
        return application

    async def _page(self, _: web.Request) -> web.Response:
        jobs = json.dumps([list(seeks_s) for _, seeks_s in self._jobs])
        return web.Response(text=_PAGE.replace("JOBS", jobs), content_type="text/html")

    async def _video(self, request: web.Request) -> web.FileResponse:
        clip = int(request.match_info["clip"])
        self._requests[clip] += 1
        return web.FileResponse(self._jobs[clip][0], headers={"Content-Type": "video/mp4"})

    async def _told(self, request: web.Request) -> web.Response:
        clip = int(request.match_info["clip"])
        watched, what = self._watched[clip], request.match_info["what"]
        if what == "looked":
            watched.duration_s = float(request.query["duration"])
            watched.requests = self._requests[clip]
        elif what == "sought":
            watched.sought.append(await _picture(request))
        else:
            setattr(watched, what, await _picture(request))
        return web.Response()

    async def _ended(self, request: web.Request) -> web.Response:
        if not self._end.done():
            self._end.set_result(request.query.get("error"))
        return web.Response()


async def _picture(request: web.Request) -> Picture:
    query = request.query
    pixels = np.frombuffer(await request.read(), dtype=np.uint8)
    rgba = pixels.reshape(int(query["height"]), int(query["width"]), 4)
    luma = np.rint(rgba[:, :, :3] @ _LUMA_OF_RGB).astype(np.uint8)
    return Picture(float(query["time"]), luma)


@asynccontextmanager
async def player_page(jobs: Sequence[tuple[Path, Sequence[float]]]) -> AsyncIterator[PlayerPage]:
    """Serve the page for clips and the times to seek to in each."""
    page = PlayerPage(jobs)
    runner = web.AppRunner(page.application())
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        page.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        yield page
    finally:
        await runner.cleanup()
