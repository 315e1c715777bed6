"""Rows that cannot be read are set aside at the start, told once, and keep nothing else from going on."""

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from edge_agent.clock import FakeClock
from edge_agent.contract.event_names import EventName
from edge_agent.contract.ids import make_uuid7
from edge_agent.contract.messages import Event, Receipt
from edge_agent.contract.names import Topics
from edge_agent.errors import LedgerError
from edge_agent.uplink.boot_clocks import BootClocks
from edge_agent.uplink.damage import set_damaged_rows_aside
from edge_agent.uplink.database import LinkDatabase
from edge_agent.uplink.events import Events
from edge_agent.uplink.history import History
from edge_agent.uplink.ledger import Entry, Ledger, Step, fail
from edge_agent.uplink.newest import NewestIat
from edge_agent.uplink.replies import Replies
from edge_agent.uplink.stamps import Stamper
from edge_agent.uplink.states import State
from tests.unit.uplink.test_ledger import new_command


class Start:
    """What the link reads when it starts."""

    def __init__(
        self, database: LinkDatabase, ledger: Ledger, clock: FakeClock, stamper: Stamper, topics: Topics
    ) -> None:
        self.database, self.ledger, self.clock = database, ledger, clock
        self.clocks = BootClocks(database, stamper)
        self.events = Events(database, stamper, topics, asyncio.Event(), self.clocks)
        self.replies = Replies(ledger, stamper, topics, asyncio.Event())
        self.history = History(database, stamper, self.clocks, topics, asyncio.Event())

    async def execute(self, sql: str, *arguments: object) -> list[tuple[Any, ...]]:
        return await self.database.write(lambda connection: connection.execute(sql, arguments).fetchall())

    async def run(self) -> tuple[int, list[dict[str, Any]], list[dict[str, Any]]]:
        """How many rows were set aside; the replies and the events that wait."""
        count = await set_damaged_rows_aside(self.database, self.events, self.clock)
        await self.clocks.load()
        await self.replies.load()
        await self.events.load()
        assert await self.history.next() is None
        await NewestIat.load(self.database)
        await self.ledger.open_entries()
        await self.ledger.owed_entries()
        return count, await bodies(self.replies), await bodies(self.events)


async def bodies(source: Replies | Events) -> list[dict[str, Any]]:
    found = []
    while (item := await source.next()) is not None:
        found.append(json.loads(item.messages[0].payload))
    return found


@pytest.fixture
def start(database: LinkDatabase, ledger: Ledger, clock: FakeClock, stamper: Stamper, topics: Topics) -> Start:
    return Start(database, ledger, clock, stamper, topics)


async def open_clip(start: Start) -> Entry:
    entry = await start.ledger.store(new_command(start.clock))
    planned = await start.ledger.advance(entry, Step(State.PLANNED, result={"clip": {}}))
    assert planned is not None
    return planned


async def test_sound_rows_stay_as_they_are(start: Start) -> None:
    await open_clip(start)
    done = await start.ledger.store(new_command(start.clock, "clip.list"), Step(State.DONE, result={"clips": []}))
    await start.ledger.store_receipt(
        Receipt(aud="nomad-07", clip_id=done.command_id, sha256="a" * 64, verdict="failed", reason="no", iat=1)
    )
    await start.events.observe({(EventName.CAMERA_LOST.value, "main"): {"cause": "x"}})
    await (await NewestIat.load(start.database)).note(1_790_000_000)
    count, replies, events = await start.run()
    assert (count, len(replies), len(events)) == (0, 2, 1)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("state", "nonsense"),
        ("state", "done"),
        ("facts", "{"),
        ("facts", 7),
        ("reply", "[]"),
        ("reply", '{"result":3}'),
        ("reply", b"\xff"),
        ("received_us", "xx"),
        ("received_us", 2**62),
        ("response_topic", b"\x05"),
    ],
)
async def test_a_command_whose_claims_are_whole_ends(start: Start, column: str, value: object) -> None:
    entry = await open_clip(start)
    other = await open_clip(start)
    sql = f"UPDATE commands SET {column} = ? WHERE command_id = ?"
    await start.execute(sql, value, entry.command_id)
    count, replies, events = await start.run()
    assert count == 1
    assert [event["name"] for event in events] == ["ledger-rows-damaged"]
    assert events[0]["details"]["rows"][0]["key"] == entry.command_id
    ended = await start.ledger.find(entry.command_id)
    assert ended is not None
    assert ended.is_final
    assert ended.cleanup_owed
    states = {reply["command_id"]: reply["state"] for reply in replies}
    assert states == {entry.command_id: ended.reply_state, other.command_id: "accepted"}
    assert (await start.run())[0] == 0
    assert len(await start.execute("SELECT * FROM damaged")) == 1


async def test_the_end_of_a_command_stays_its_end(start: Start) -> None:
    entry = await start.ledger.store(new_command(start.clock), fail("unknown-camera", "no", State.REJECTED, False))
    await start.ledger.mark_sent(entry)
    await start.execute("UPDATE commands SET reply = '{'")
    count, replies, _ = await start.run()
    assert (count, replies) == (1, [])
    kept = await start.ledger.find(entry.command_id)
    assert kept is not None
    assert (kept.state, kept.body_sha256) == (State.REJECTED, entry.body_sha256)


@pytest.mark.parametrize("value", ["{", "{}", b"\xff", 5])
async def test_a_command_whose_claims_are_gone_leaves_the_ledger(start: Start, value: object) -> None:
    entry = await open_clip(start)
    await start.execute("UPDATE commands SET claims = ?", value)
    count, replies, events = await start.run()
    assert (count, replies, len(events)) == (1, [], 1)
    assert await start.ledger.find(entry.command_id) is None
    ((kept,),) = await start.execute("SELECT row FROM damaged")
    assert json.loads(kept)["command_id"] == entry.command_id


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO alarms VALUES ('camera-lost', 'Bad Name', 1, '{}')",
        "INSERT INTO alarms VALUES ('camera-lost', 'main', 1, '{')",
        "INSERT INTO alarms VALUES ('camera-lost', 'main', 'xx', '{}')",
        "INSERT INTO alarms VALUES (CAST(X'ff' AS TEXT), 'main', 1, '{}')",
        "INSERT INTO facts VALUES ('newest_iat_s', 'xx')",
        "INSERT INTO facts VALUES ('newest_iat_s', '99999999999999999999')",
        "INSERT INTO events (body) VALUES ('{}')",
        "INSERT INTO events (body) VALUES (CAST(X'ff' AS TEXT))",
        "INSERT INTO receipts VALUES ('x', 'y', 'perhaps', NULL, 1)",
        "INSERT INTO history VALUES (1, 'weather', 'b', 1, 1, 'chrony', 0, '{}')",
        "INSERT INTO history VALUES (1, 'health', 'b', 'xx', 1, 'chrony', 0, '{}')",
        f"INSERT INTO history VALUES (1, 'health', 'b', 1, {2**62}, 'chrony', 0, '{{}}')",
        "INSERT INTO history VALUES (1, 'health', 'b', 1, 1, 'sundial', 0, '{}')",
        "INSERT INTO history VALUES (1, 'health', 'b', 1, 1, 'chrony', 0, '{')",
        "INSERT INTO history VALUES (1, 'health', 'b', 1, 1, 'chrony', 0, '[]')",
        "INSERT INTO history VALUES (1, 'health', 'b', 1, 1, 'chrony', 'x', '{}')",
        "INSERT INTO history VALUES (1, 'health', CAST(X'ff' AS TEXT), 1, 1, 'chrony', 0, '{}')",
        f"INSERT INTO history VALUES (1, 'health', 'b', 1, 1, 'chrony', 0, '{{\"a\":\"{'x' * 16000}\"}}')",
        "INSERT INTO history_left_out VALUES ('health', 'many')",
        "INSERT INTO history_left_out VALUES ('health', -1)",
        "INSERT INTO history_batches (body) VALUES ('{}')",
        "INSERT INTO boots (boot_id, offset_us, source) VALUES ('b', 'xx', 'chrony')",
        "INSERT INTO boots (boot_id, offset_us, source) VALUES ('b', 1, 'sundial')",
        "INSERT INTO alarm_origins VALUES ('x', 'main', 1, 'no id', 'b0', 1, 'chrony')",
        "INSERT INTO alarm_origins VALUES ('x', '', 1, '019ab000-0000-7000-8000-000000000000', 'b0', 'y', 'chrony')",
        "INSERT INTO alarm_origins VALUES ('x', '', 1, '019ab000-0000-7000-8000-000000000000', 'b0', 1, 'sundial')",
        "INSERT INTO alarm_origins VALUES ('x', '', 1, '019ab000-0000-7000-8000-000000000000', 'boot', 1, 'ntp')",
    ],
)
async def test_a_bad_row_of_another_table_is_moved(start: Start, sql: str) -> None:
    await open_clip(start)
    await start.execute(sql)
    count, replies, events = await start.run()
    assert (count, len(replies)) == (1, 1)
    assert [event["name"] for event in events] == ["ledger-rows-damaged"]
    assert (await start.run())[0] == 0


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE events SET body = json_set(body, '$.monotonic_us', 1 << 62)",
        "UPDATE boots SET offset_us = (1 << 63) - 1 - 300000000",
        "UPDATE boots SET offset_us = -(1 << 62)",
        "UPDATE history SET monotonic_us = 1 << 62",
    ],
)
async def test_figures_that_lead_out_of_the_calendar_keep_nothing_from_being_sent(start: Start, sql: str) -> None:
    """One bit of a number is enough; what the wall clock said then stands."""
    other = "c" * 32
    event = Event(
        event_id=make_uuid7(start.clock.wall_us()),
        name="reboot",
        state="occurred",
        unit_id="nomad-07",
        seq=0,
        boot_id=other,
        at=start.clock.wall_us(),
        clock_source="unknown",
        monotonic_us=5,
    )
    await start.execute("INSERT INTO events (body) VALUES (?)", event.to_json().decode())
    await start.execute(
        "INSERT INTO boots (boot_id, offset_us, source) VALUES (?, 1790000000000000, 'chrony')", other
    )
    await start.execute(
        "INSERT INTO history (kind, boot_id, monotonic_us, at_us, clock_source, is_change, body)"
        " VALUES ('health', ?, 5, ?, 'unknown', 1, '{}')",
        other,
        start.clock.wall_us(),
    )
    await start.execute(sql)
    await set_damaged_rows_aside(start.database, start.events, start.clock)
    await start.clocks.load()
    told = await bodies(start.events)
    assert "reboot" in {body["name"] for body in told}
    assert await start.history.next() is not None


async def test_rows_stay_when_the_storage_refuses(start: Start) -> None:
    await start.execute("INSERT INTO facts VALUES ('newest_iat_s', 'xx')")
    await start.database.read(lambda connection: connection.execute("PRAGMA query_only=1"))
    with pytest.raises(LedgerError):
        await start.run()
    await start.database.read(lambda connection: connection.execute("PRAGMA query_only=0"))
    assert (await start.run())[0] == 1


@pytest.mark.parametrize("sql", ["DROP TABLE receipts", "ALTER TABLE commands DROP COLUMN reply"])
async def test_a_database_without_its_tables_is_set_aside(tmp_path: Path, sql: str) -> None:
    path = tmp_path / "link.db"
    await (await LinkDatabase.open(path, 1)).close()
    with sqlite3.connect(path) as connection:
        connection.execute(sql)
    connection.close()
    database = await LinkDatabase.open(path, 2)
    await database.close()
    assert database.replaced is not None
