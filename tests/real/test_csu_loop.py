"""The whole service in this process, under the guard that fails what blocks the event loop."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from csu.serve_settings import ServeSettings
from csu.service import Service
from csu.service_info import ServiceInfo, token_file
from edge_agent.clock import SystemClock
from edge_agent.contract.jws import SigningKey
from edge_agent.contract.times import format_utc
from tests.real.fake_unit import CLIP_END_US, CLIP_START_US, FakeUnit, Identity, deliver

pytestmark = pytest.mark.real

CLIP: dict[str, Any] = {
    "unit_id": "nomad-07",
    "cmd": "clip.request",
    "params": {"camera": "main", "from": format_utc(CLIP_START_US), "to": format_utc(CLIP_END_US)},
    "operator": "a",
    "reference": "R",
    "purpose": "P",
}


async def test_a_clip_comes_and_the_loop_never_blocks(tmp_path: Path) -> None:
    ready: asyncio.Future[ServiceInfo] = asyncio.get_running_loop().create_future()
    service = Service(ServeSettings(tmp_path / "csu"), SystemClock())
    running = asyncio.create_task(service.run(ready.set_result))
    await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)  # type: ignore[type-var]  # both are awaited
    info = ready.result()
    token = await asyncio.to_thread(token_file(tmp_path / "csu").read_text)
    async with aiohttp.ClientSession(info.api_url, headers={"Authorization": f"Bearer {token}"}) as session:
        unit = await enrolled_unit(session, tmp_path)
        try:
            clip = await clip_of(session)
        finally:
            await asyncio.to_thread(unit.stop)
    assert clip["verdict"] == "verified"
    service.stop()
    await running


async def enrolled_unit(session: aiohttp.ClientSession, directory: Path) -> FakeUnit:
    key = SigningKey.generate()
    async with session.post("/v1/units", json={"unit_id": "nomad-07", "jwk": key.public_jwk()}) as answer:
        given = await answer.json()
    identity = Identity(
        "nomad-07", key, given["mqtt_url"], given["upload_url"], given["password"], given["command_keys"]
    )
    unit = FakeUnit(identity, deliver, directory / "unit")
    await asyncio.to_thread(unit.start)
    return unit


async def clip_of(session: aiohttp.ClientSession) -> dict[str, Any]:
    async with session.post("/v1/commands", json=CLIP) as answer:
        command_id = (await answer.json())["command_id"]
    async with asyncio.timeout(120):
        while True:
            async with session.get(f"/v1/commands/{command_id}") as answer:
                clip = (await answer.json())["clip"]
            if clip is not None and clip["verdict"] != "pending":
                return dict(clip)
            await asyncio.sleep(0.05)
