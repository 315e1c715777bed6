"""Server-sent events: the fleet, then what happens; a slow page gets the newest, and is let go when far behind."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from csu.api import stream
from csu.api.stream import Outbox, frame_of
from csu.feed import Feed
from csu.keys import KeyStore
from csu.registry import Registry
from edge_agent.clock import FakeClock
from tests.support.polling import until
from tests.unit.csu.api_parts import BEARER, make_parts, serving, summary


@pytest.fixture
def feed() -> Feed:
    return Feed()


@pytest.fixture
async def client(registry: Registry, keys: KeyStore, feed: Feed) -> AsyncIterator[aiohttp.ClientSession]:
    async with serving(make_parts(registry, keys, feed)) as client:
        client.headers.update(BEARER)
        yield client


def unit_item(number: int, **more: object) -> dict[str, Any]:
    return {"kind": "unit"} | summary(f"nomad-{number:02}", **more).to_object()


async def next_event(answer: aiohttp.ClientResponse) -> tuple[str, Any]:
    lines = (await answer.content.readuntil(b"\n\n")).decode().split("\n")
    event, data = (line.partition(": ") for line in lines[:2])
    assert (event[0], data[0]) == ("event", "data")
    return event[2], json.loads(data[2])


async def test_the_fleet_comes_first_and_then_what_happens(client: aiohttp.ClientSession, feed: Feed) -> None:
    async with client.get("/v1/stream") as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        name, fleet = await next_event(answer)
        assert (name, [unit["unit_id"] for unit in fleet["units"]]) == ("hello", ["nomad-07"])
        feed.publish(unit_item(7, open_alarms=2))
        assert (await next_event(answer))[1]["open_alarms"] == 2
        feed.publish({"kind": "event", "unit_id": "nomad-07"})  # not of the stream
        feed.publish({"kind": "alarm", "alarm_id": "é\n\r\u2028"})
        assert await next_event(answer) == ("alarm", {"alarm_id": "é\n\r\u2028"})
        feed.publish({"kind": "service", "broker_connected": False})
        assert await next_event(answer) == ("service", {"broker_connected": False})
        feed.close()
        assert await answer.content.read() == b""


async def test_of_a_unit_the_newest_state_waits() -> None:
    outbox = Outbox()
    for alarms in range(10_000):
        outbox.put(unit_item(1, open_alarms=alarms))
        outbox.put(unit_item(2, open_alarms=alarms))
    outbox.put({"kind": "command", "command_id": "a"})
    items = await outbox.take()
    assert [item.get("open_alarms") for item in items] == [None, 9_999, 9_999]
    assert not outbox.is_over


async def test_what_waits_of_a_unit_does_not_outlive_it() -> None:
    outbox = Outbox()
    outbox.put(unit_item(1))
    outbox.put(unit_item(2))
    outbox.put({"kind": "unit-removed", "unit_id": unit_item(1)["unit_id"]})
    kinds = [(item["kind"], item["unit_id"]) for item in await outbox.take()]
    assert kinds == [("unit-removed", unit_item(1)["unit_id"]), ("unit", unit_item(2)["unit_id"])]


async def test_who_is_far_behind_is_ended() -> None:
    outbox = Outbox()
    for number in range(501):
        outbox.put({"kind": "command", "command_id": str(number)})
    assert outbox.is_over


async def test_a_page_that_reads_nothing_is_let_go(
    registry: Registry,
    keys: KeyStore,
    feed: Feed,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(stream, "_WRITE_TIMEOUT_S", 0.3)
    async with serving(make_parts(registry, keys, feed)) as client, asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", client._base_url.port, limit=1024)  # type: ignore[union-attr]  # has one
        head = f"GET /v1/stream HTTP/1.1\r\nHost: a\r\nAuthorization: {BEARER['Authorization']}\r\n\r\n"
        writer.write(head.encode())
        await reader.readuntil(b"hello")
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # of a socket
        details = "x" * 100_000
        while feed._followers:
            feed.publish({"kind": "command", "details": details})
            await asyncio.sleep(0.01)
        writer.transport.abort()
    assert not [record for record in caplog.records if record.exc_info], "no defect of this service"


async def test_silence_is_filled_with_pings(client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PING_INTERVAL_S", 0.05)
    async with client.get("/v1/stream") as answer:
        await next_event(answer)
        for _ in range(2):
            assert await answer.content.readuntil(b"\n\n") == b": ping\n\n"


async def test_a_step_of_the_clock_begins_anew(
    registry: Registry, keys: KeyStore, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "PING_INTERVAL_S", 0.05)
    clock = FakeClock()
    async with serving(make_parts(registry, keys, feed, clock=clock)) as client:
        client.headers.update(BEARER)
        async with client.get("/v1/stream") as answer:
            await next_event(answer)
            clock.advance(86_400)
            assert await answer.content.readuntil(b"\n\n") == b": ping\n\n"
            clock.step_wall(-3600)
            assert set((await answer.content.read()).split(b"\n\n")) <= {b": ping", b""}


async def test_streams_leave_room_for_others(
    client: aiohttp.ClientSession, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "_MAX_STREAMS", 2)
    async with client.get("/v1/stream") as one, client.get("/v1/watch") as other:
        assert (one.status, other.status) == (200, 200)
        for path in ("/v1/stream", "/v1/watch"):
            async with client.get(path) as answer:
                assert (answer.status, (await answer.json())["error"]["code"]) == (503, "unavailable")
        async with client.get("/v1/fleet") as answer:
            assert answer.status == 200
    await all_gone(feed)
    async with client.get("/v1/stream") as answer:
        assert answer.status == 200


async def all_gone(feed: Feed) -> None:
    """Until nobody follows: who left is noticed when something is to be told."""

    def is_alone() -> bool:
        feed.publish(unit_item(1))
        return not feed._followers

    await until(is_alone, what="the end of what followed")


async def test_pages_that_went_are_forgotten(client: aiohttp.ClientSession, feed: Feed) -> None:
    for _ in range(3):
        async with client.get("/v1/stream") as answer:
            await next_event(answer)
            assert feed._followers
    await all_gone(feed)


async def test_a_defect_in_mid_stream_ends_it_and_puts_no_answer_into_it(
    client: aiohttp.ClientSession, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with client.get("/v1/stream") as answer:
        await next_event(answer)
        monkeypatch.setattr(stream, "frame_of", lambda *_: 1 / 0)
        feed.publish(unit_item(1))
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.content.read()


async def test_nothing_endless_answers_head(client: aiohttp.ClientSession) -> None:
    for path in ("/v1/stream", "/v1/watch"):
        async with client.head(path) as answer:
            assert answer.status == 405


def test_a_frame_is_three_lines_whatever_it_holds() -> None:
    frame = frame_of("alarm", {"words": "a\nb\r\nevent: evil\n\n\u2029\x00"})
    assert frame.count(b"\n") == 3
    assert b"\r" not in frame
    assert frame.endswith(b"\n\n")


async def test_a_hundred_units_reach_ten_pages_at_once(client: aiohttp.ClientSession, feed: Feed) -> None:
    async def hear() -> int:
        units = set[str]()
        async with client.get("/v1/stream") as answer:
            while len(units) < 100:
                name, data = await next_event(answer)
                if name == "unit":
                    units.add(data["unit_id"])
        return len(units)

    pages = [asyncio.create_task(hear()) for _ in range(10)]
    async with asyncio.timeout(60):
        await until(lambda: len(feed._followers) == 10, what="ten pages")
        for number in range(100):
            feed.publish(unit_item(number))
        assert await asyncio.gather(*pages) == [100] * 10
