"""What of too many events is left out: the oldest of whatever speaks most."""

import asyncio
import json
from typing import Any

import pytest

from edge_agent.clock import FakeClock
from edge_agent.contract.event_names import EventName
from edge_agent.contract.names import Topics
from edge_agent.contract.times import parse_utc
from edge_agent.uplink import event_bound
from edge_agent.uplink.database import LinkDatabase
from edge_agent.uplink.events import Events
from edge_agent.uplink.stamps import Stamper

LOST = EventName.EVENTS_LOST.value


@pytest.fixture
def events(
    database: LinkDatabase, stamper: Stamper, topics: Topics, wake: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> Events:
    monkeypatch.setattr(event_bound, "MAX_WAITING", 40)
    return Events(database, stamper, topics, wake)


async def bodies(events: Events) -> list[dict[str, Any]]:
    found = []
    while (item := await events.next()) is not None:
        found.append(json.loads(item.messages[0].payload))
    return found


async def flap(events: Events, camera: str, times: int) -> None:
    for _ in range(times):
        await events.observe({(EventName.CAMERA_LOST.value, camera): {"cause": "camera-lost"}})
        await events.observe({(EventName.CAMERA_LOST.value, camera): None})


async def test_what_flaps_pushes_nothing_else_out(events: Events) -> None:
    await events.occurred(EventName.LEDGER_REPLACED, {"number": 1})
    await flap(events, "main", 300)
    await events.observe({(EventName.STORAGE_LOW.value, None): {"state": "warning"}})
    await flap(events, "rear", 2)
    told = await bodies(events)
    assert len(told) <= 40
    names = [(body["name"], body.get("camera")) for body in told]
    assert names[0] == ("ledger-replaced", None)
    assert names[-5:] == [("storage-low", None), *[("camera-lost", "rear")] * 4]
    (lost,) = [body for body in told if body["name"] == LOST]
    flapped = sum(name == ("camera-lost", "main") for name in names)
    assert lost["details"] == {"count": 600 - flapped, "of": {"camera-lost": 600 - flapped}}
    assert names.index((LOST, None)) < names.index(("camera-lost", "main"))


async def test_several_that_flap_are_all_counted(events: Events) -> None:
    for _ in range(100):
        await flap(events, "main", 1)
        await flap(events, "rear", 2)
        await events.occurred(EventName.RECEIPT_REFUSED, {})
    told = await bodies(events)
    assert len(told) <= 40
    (lost,) = [body for body in told if body["name"] == LOST]
    assert lost["details"]["count"] == 700 - (len(told) - 1)
    assert lost["details"]["count"] == sum(lost["details"]["of"].values())


async def test_a_count_from_before_is_added_to(events: Events, database: LinkDatabase) -> None:
    """As older software wrote it: without names."""
    await events.occurred(EventName.EVENTS_LOST, {"count": 7})
    await flap(events, "main", 60)
    told = await bodies(events)
    (lost,) = [body for body in told if body["name"] == LOST]
    assert lost["details"]["count"] == 7 + 120 - (len(told) - 1)
    assert lost["details"]["of"][LOST] == 7


async def test_an_event_of_a_boot_without_a_clock_gets_its_instant_once_it_is_known(
    events: Events, stamper: Stamper, clock: FakeClock
) -> None:
    true_us = clock.wall_us()
    stamper.belief.source = "unknown"
    clock.step_wall(-40 * 365 * 86_400)
    await events.occurred(EventName.LEDGER_REPLACED, {})
    clock.advance(100)
    (before,) = await bodies(events)
    stamper.belief.source = "chrony"
    clock.step_wall(40 * 365 * 86_400)
    events.reconnected()
    (after,) = await bodies(events)
    assert before["at"].startswith("1986")
    assert before["clock_source"] == "unknown"
    assert after["clock_source"] == "chrony"
    assert parse_utc(after["at"]) == true_us
    assert after["event_id"] == before["event_id"]
