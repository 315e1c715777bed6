import json
import sqlite3
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csu import stored_commands, stored_units
from csu.alarm_book import AlarmBook
from csu.commander import Commander
from csu.feed import Feed
from csu.fleet import Fleet
from csu.history_book import HistoryBook
from csu.inbound import _MAX_COMPLAINTS, Inbound
from csu.keys import KeyStore
from csu.mqtt_connection import Message
from csu.registry import Registry
from edge_agent.clock import FakeClock
from edge_agent.contract.messages import Event, Status
from tests.unit.csu.replies import COMMAND_ID, NOW_US, make_command, make_reply

NAMES = ("status", "position", "health", "coverage", "alarms", "event", "reply", "history", "other")


class Heard:
    """An inbound side with its registry and what watchers were told."""

    def __init__(self, registry: Registry, keys: KeyStore) -> None:
        self.registry = registry
        self.feed = Feed()
        clock = FakeClock(wall_us=NOW_US)
        self.commander = Commander(registry, keys.signing_key, "csu/v1", self._publish, self.feed, clock)
        self.alarms = AlarmBook(registry, self.feed, clock)
        self.fleet = Fleet(registry, self.alarms, self.feed, clock, lambda: True, lambda: None)
        self.inbound = Inbound(registry, self.commander, keys, self.feed, self.fleet, self.alarms, "csu/v1", clock)

    async def _publish(self, topic: str, payload: bytes, expiry_s: int) -> None:
        raise AssertionError(f"nothing is sent here: {topic}")

    async def hear(self, topic: str, payload: bytes) -> None:
        await self.inbound.handle(Message(topic, payload, 1, 1))

    async def ignored(self) -> int:
        if self.inbound._counting is not None:
            await self.inbound._counting
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


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


NASTY_VALUES: list[Any] = [
    10**25,
    -(10**25),
    2**63,
    10**4500,
    1e308,
    float("nan"),
    float("inf"),
    "\ud800",
    "\x00",
    "\x1b[2J",
    "x" * 20_000,
    "9999-12-31T23:59:59.999999-23:59",
    "0001-01-01T00:00:00+23:59",
    deep(50),
    deep(900),
    {"a": deep(50)},
    {"\ud800": 1},
    {"": None},
    None,
    True,
    [],
    {},
]


def valid_bodies() -> dict[str, dict[str, Any]]:
    """One valid body a topic, with what may be in it."""
    at = "2026-03-29T00:00:00.000Z"
    probes = {
        name: {"state": "ok", "figure": 1} for name in ("camera", "storage", "power", "network", "clock", "system")
    }
    place = {"schema": "position/1", "fix": "fixed", "accuracy_m": 1.5, "source": "s", "deployment_id": "d"}
    interval = {"from": at, "to": at, "held": False, "cause": None}
    day = {"day": "2026-03-29", "held_s": 1, "lost_s": 1}
    camera = {"camera": "main", "oldest": at, "newest": at, "size_bytes": 1, "days": [day], "last_24h": [interval]}
    alarm = {"name": "camera-lost", "camera": "main", "since": at, "details": {"a": [1]}}
    return {
        "status": Status(state="online", unit_id="nomad-07", boot_id="b0" * 16).to_object(),
        "position": {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [1.5, 2.5]},
            "properties": place,
        },
        "health": {"schema": "health/1", "at": at} | probes,
        "coverage": {"schema": "coverage/1", "at": at, "cameras": [camera]},
        "alarms": {"schema": "alarms/1", "at": at, "alarms": [alarm]},
        "event": make_event(1).to_object() | {"details": {"a": [1]}, "camera": "main"},
        "reply": make_reply("running", progress={"sent_bytes": 1, "total_bytes": 4}).to_object(),
        "history": {
            "schema": "history/1",
            "history_id": COMMAND_ID,
            "unit_id": "nomad-07",
            "boot_id": "b0" * 16,
            "kind": "health",
            "samples": [{"at": at, "boot_id": "b0" * 16, "camera": {"state": "ok"}}],
            "left_out": 1,
        },
    }


def places_of(value: object, place: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Paths to everything inside a JSON value."""
    inner: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [found for key, one in inner for found in [(*place, key), *places_of(one, (*place, key))]]


def changed(body: dict[str, Any], place: tuple[str | int, ...], value: object) -> bytes:
    """The body with another value at one place."""
    copy = json.loads(json.dumps(body))
    target = copy
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = "@"
    # Put in as text: the parser for huge numbers and deep lists is the centre's, not the test's.
    return json.dumps(copy).replace('"@"', spelled(value)).encode()


def spelled(value: object) -> str:
    if isinstance(value, int) and abs(value) > 10**4000:
        return "1" + "0" * 4500
    return json.dumps(value)


@pytest.mark.parametrize("name", sorted(valid_bodies()))
async def test_one_odd_field_of_a_valid_body_harms_nothing(heard: Heard, name: str) -> None:
    body = valid_bodies()[name]
    await heard.fleet.load()
    heard.fleet.link(True)
    with heard.feed.watch() as queue:
        await heard.hear(f"csu/v1/nomad-07/up/{name}", json.dumps(body).encode())
        assert await heard.ignored() == 0, "the body has to be valid before it is changed"
        for place in places_of(body):
            for value in NASTY_VALUES:
                await heard.hear(f"csu/v1/nomad-07/up/{name}", changed(body, place, value))
                await heard.fleet.refresh()
                while not queue.empty():
                    json.dumps(queue.get_nowait(), ensure_ascii=False).encode()  # as watchers are told
        await heard.fleet.view()
        # What was stored can be handed out again, as JSON that every reader takes.
        units = [unit.to_object() for unit in await heard.registry.run(stored_units.load_units)]
        events = await heard.registry.run(stored_units.recent_events, None, 1000)
        json.dumps([units, events], ensure_ascii=False, allow_nan=False).encode()
    assert await heard.ignored() > 0


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
        items = [queue.get_nowait() for _ in range(queue.qsize())]
        assert [item["seq"] for item in items if item is not None and item["kind"] == "event"] == [1, 2]


async def test_history_is_kept_and_speaks_for_its_own_unit(heard: Heard) -> None:
    body = valid_bodies()["history"]
    for _ in range(2):
        await heard.hear("csu/v1/nomad-07/up/history", json.dumps(body).encode())
    other = body | {"unit_id": "nomad-08", "history_id": COMMAND_ID[:-1] + "2"}
    await heard.hear("csu/v1/nomad-07/up/history", json.dumps(other).encode())
    assert await HistoryBook(heard.registry).load("nomad-07", "health", None, None, 10) == (body["samples"], 1)
    assert await heard.ignored() == 1


async def test_a_reply_moves_its_command(heard: Heard) -> None:
    await heard.registry.run(stored_commands.add_command, make_command())
    await heard.hear("csu/v1/nomad-07/up/reply", make_reply("running").to_json())
    record = await heard.registry.run(stored_commands.load_command, COMMAND_ID)
    assert record.state == "running"


async def test_nonsense_costs_no_transaction_each(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[dict[str, int]] = []
    count = stored_units.count_ignored

    def noted(connection: sqlite3.Connection, counts: dict[str, int]) -> None:
        written.append(counts)
        count(connection, counts)

    monkeypatch.setattr(stored_units, "count_ignored", noted)
    for _ in range(300):
        await heard.hear("csu/v1/nomad-07/up/other", b"{")
    assert await heard.ignored() == 300
    assert written == [{"nomad-07": 300}]


async def test_made_up_topics_fill_neither_memory_nor_log(heard: Heard, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(_MAX_COMPLAINTS + 5):
        await heard.hear(f"csu/v1/nomad-07/up/{number}" + "x" * 1000, b"{")
    assert await heard.ignored() == _MAX_COMPLAINTS + 5
    assert len(caplog.records) == _MAX_COMPLAINTS
    assert max(len(record.getMessage()) for record in caplog.records) < 300
