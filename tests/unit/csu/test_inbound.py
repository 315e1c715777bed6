import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csu import stored_commands, stored_units
from csu.commander import Commander
from csu.feed import Feed
from csu.inbound import _MAX_COMPLAINTS, Inbound
from csu.keys import KeyStore
from csu.mqtt_connection import Message
from csu.registry import Registry
from edge_agent.clock import FakeClock
from edge_agent.contract.messages import Event, Status
from tests.unit.csu.replies import COMMAND_ID, NOW_US, make_command, make_reply

NAMES = ("status", "position", "health", "coverage", "alarms", "event", "reply", "other")


class Heard:
    """An inbound side with its registry and what watchers were told."""

    def __init__(self, registry: Registry, keys: KeyStore) -> None:
        self.registry = registry
        self.feed = Feed()
        clock = FakeClock(wall_us=NOW_US)
        self.commander = Commander(registry, keys.signing_key, "csu/v1", self._publish, self.feed, clock)
        self.inbound = Inbound(registry, self.commander, keys, self.feed, "csu/v1", clock)

    async def _publish(self, topic: str, payload: bytes, expiry_s: int) -> None:
        raise AssertionError(f"nothing is sent here: {topic}")

    async def hear(self, topic: str, payload: bytes) -> None:
        await self.inbound.handle(Message(topic, payload, 1, 1))

    async def ignored(self) -> int:
        return (await self.registry.run(stored_units.load_unit, "nomad-07")).ignored


@pytest.fixture
async def heard(registry: Registry, keys: KeyStore) -> Heard:
    return Heard(registry, keys)


def make_event(number: int) -> Event:
    body: dict[str, Any] = {
        "unit_id": "nomad-07",
        "boot_id": "b0" * 16,
        "at": NOW_US,
        "seq": number,
        "clock_source": "chrony",
        "event_id": f"0197a1b2-0000-7000-8000-{number:012}",
        "name": "camera-lost",
        "state": "raised",
    }
    return Event.from_object(body)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    st.sampled_from(NAMES),
    st.one_of(
        st.binary(max_size=300),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=20),
            lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
            max_leaves=10,
        ).map(lambda value: json.dumps(value).encode()),
    ),
)
async def test_garbage_is_counted_and_never_raises(heard: Heard, name: str, payload: bytes) -> None:
    before = await heard.ignored()
    await heard.hear(f"csu/v1/nomad-07/up/{name}", payload)
    assert await heard.ignored() == before + 1


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("event", make_event(1).to_object() | {"at": 10**25}),
        ("status", {"state": "online", "unit_id": "nomad-07", "boot_id": "0" * 32, "at": -(10**25)}),
        ("alarms", {"at": 0, "alarms": [{"name": "camera-lost", "since": 10**25}]}),
    ],
)
async def test_an_instant_beyond_the_calendar_is_garbage_too(
    heard: Heard, name: str, body: dict[str, object]
) -> None:
    await heard.hear(f"csu/v1/nomad-07/up/{name}", json.dumps(body).encode())
    assert await heard.ignored() == 1


@pytest.mark.parametrize(
    "topic", ["", "csu/v1/nomad-08/up/status", "csu/v2/nomad-07/up/status", "csu/v1/../up/status", "csu/v1"]
)
async def test_strangers_are_counted_apart(heard: Heard, topic: str) -> None:
    await heard.hear(topic, b"{}")
    assert heard.inbound.strangers == 1
    assert await heard.ignored() == 0


async def test_a_status_is_kept_and_only_news_are_told(heard: Heard) -> None:
    body = Status(state="online", unit_id="nomad-07", boot_id="b0" * 16).to_json()
    with heard.feed.watch() as queue:
        await heard.hear("csu/v1/nomad-07/up/status", body)
        await heard.hear("csu/v1/nomad-07/up/status", body)
        assert queue.qsize() == 1
    unit = await heard.registry.run(stored_units.load_unit, "nomad-07")
    assert unit.is_online
    assert unit.states["status"].heard_us == NOW_US


async def test_a_body_that_speaks_for_another_unit_is_refused(heard: Heard) -> None:
    for name, body in (
        ("status", Status(state="online", unit_id="nomad-08", boot_id="b0" * 16)),
        ("reply", make_reply("done", unit_id="nomad-08")),
    ):
        await heard.hear(f"csu/v1/nomad-07/up/{name}", body.to_json())
    assert await heard.ignored() == 2


async def test_an_event_that_comes_twice_is_told_once(heard: Heard) -> None:
    with heard.feed.watch() as queue:
        for number in (1, 2, 1, 2):
            await heard.hear("csu/v1/nomad-07/up/event", make_event(number).to_json())
        assert queue.qsize() == 2


async def test_a_reply_moves_its_command(heard: Heard) -> None:
    await heard.registry.run(stored_commands.add_command, make_command())
    await heard.hear("csu/v1/nomad-07/up/reply", make_reply("running").to_json())
    record = await heard.registry.run(stored_commands.load_command, COMMAND_ID)
    assert record.state == "running"


async def test_made_up_topics_fill_neither_memory_nor_log(heard: Heard, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(_MAX_COMPLAINTS + 5):
        await heard.hear(f"csu/v1/nomad-07/up/{number}" + "x" * 1000, b"{")
    assert await heard.ignored() == _MAX_COMPLAINTS + 5
    assert len(caplog.records) == _MAX_COMPLAINTS
    assert max(len(record.getMessage()) for record in caplog.records) < 300
