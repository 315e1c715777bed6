"""Debian's Firefox, headless, driven over WebDriver BiDi (W3C Working Draft): one page of a profile of its own."""

import asyncio
import base64
import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.polling import until_answered

START_TIMEOUT_S = 60.0
TIMEOUT_S = 30.0
"""Generous: the machine may be busy."""

_END_TIMEOUT_S = 20.0
_LISTENS = re.compile(r"WebDriver BiDi listening on (ws://\S+)")
_PREFERENCES: dict[str, str | int | bool] = {"media.autoplay.default": 0, "intl.accept_languages": "en-GB, en"}
"""A video may play without anybody having clicked; the language is not the machine's."""


class Firefox:
    """One page; what it complains of is noted with each answer that comes."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._count = 0
        self._context = ""
        self.complaints: list[str] = []
        """Errors of scripts and breaches of the content policy."""

    async def begin(self) -> None:
        """A session, told of what the page logs."""
        await self._call("session.new", capabilities={})
        await self._call("session.subscribe", events=["log.entryAdded"])
        tree = await self._call("browsingContext.getTree")
        self._context = tree["contexts"][0]["context"]

    async def resize(self, width: int, height: int) -> None:
        """In CSS pixels."""
        await self._here("setViewport", viewport={"width": width, "height": height})

    async def open(self, url: str) -> None:
        """Go there; returns when all of it is loaded."""
        await self._here("navigate", url=url, wait="complete")

    async def evaluate(self, expression: str) -> Any:  # noqa: ANN401 -- whatever JSON can say
        """What an expression comes to, awaited; it has to be something that JSON can say."""
        script = f"(async () => JSON.stringify((await ({expression})) ?? null))()"
        answer = await self._call(
            "script.evaluate", expression=script, target={"context": self._context}, awaitPromise=True
        )
        assert answer["type"] == "success", answer["exceptionDetails"]["text"]
        return json.loads(answer["result"]["value"])

    async def until(self, expression: str, *, what: str, timeout_s: float = TIMEOUT_S) -> None:
        """Ask again and again until it is true."""
        try:
            await until_answered(lambda: self.evaluate(f"Boolean({expression})"), what=what, timeout_s=timeout_s)
        except AssertionError as error:
            error.add_note(f"shown is {await self.evaluate('document.body.innerText')!r}")
            raise

    async def press(self, *keys: str) -> None:
        """Key after key, each released again; those without a character by their code point of WebDriver."""
        strokes = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        source = {"type": "key", "id": "keyboard", "actions": strokes}
        await self._call("input.performActions", context=self._context, actions=[source])

    async def screenshot(self, path: Path) -> None:
        """Of what is in view, as a PNG."""
        taken = await self._here("captureScreenshot")
        await asyncio.to_thread(path.write_bytes, base64.b64decode(taken["data"]))

    async def _here(self, command: str, **parameters: object) -> dict[str, Any]:
        return await self._call(f"browsingContext.{command}", context=self._context, **parameters)

    async def _call(self, method: str, **parameters: object) -> dict[str, Any]:
        self._count += 1
        await self._socket.send_json({"id": self._count, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=TIMEOUT_S)
            if message.get("id") == self._count:
                assert message["type"] == "success", message
                result: dict[str, Any] = message["result"]
                return result
            if message.get("method") == "log.entryAdded" and message["params"]["level"] == "error":
                self.complaints.append(str(message["params"]["text"]))


@asynccontextmanager
async def firefox(profile: Path, **preferences: str | int | bool) -> AsyncIterator[Firefox]:
    """A running browser, its profile in an empty folder; its page must have nothing to complain of.

    Args:
        profile: an empty folder.
        preferences: as `about:config` has them, with `__` for each dot.
    """
    program = await asyncio.to_thread(shutil.which, "firefox-esr")
    assert program, "Debian's firefox-esr package is missing"
    settings = _PREFERENCES | {name.replace("__", "."): value for name, value in preferences.items()}
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in settings.items()]
    await asyncio.to_thread((profile / "user.js").write_text, "\n".join(lines))
    process = await asyncio.create_subprocess_exec(
        *(program, "--headless", "--no-remote", "--remote-debugging-port", "0", "--profile", profile),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    reading = None
    try:
        assert process.stderr is not None
        address = await asyncio.wait_for(_address(process.stderr), START_TIMEOUT_S)
        reading = asyncio.create_task(_drain(process.stderr))
        async with aiohttp.ClientSession() as http, http.ws_connect(f"{address}/session", max_msg_size=0) as socket:
            page = Firefox(socket)
            await page.begin()
            yield page
            assert not page.complaints, page.complaints
    finally:
        await _end(process)
        if reading is not None:
            await reading


async def _address(errors: asyncio.StreamReader) -> str:
    said = []
    while line := (await errors.readline()).decode(errors="replace"):
        if found := _LISTENS.search(line):
            return found[1]
        said.append(line)
    raise AssertionError(f"Firefox ended: {''.join(said)}")


async def _drain(errors: asyncio.StreamReader) -> None:
    """So that what it says does not fill the pipe and stop it."""
    while await errors.read(65_536):
        continue


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _END_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
