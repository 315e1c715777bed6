import sqlite3
from itertools import product
from pathlib import Path

import pytest

from csu import stored_clips, stored_commands, stored_units
from csu.errors import RegistryError, RequestRefusedError
from csu.records import FINAL_STATES
from csu.registry import Registry
from csu.registry_schema import SCHEMA_VERSION, STEPS
from edge_agent.contract.messages import REPLY_RANK
from tests.unit.csu.replies import COMMAND_ID, NOW_US, make_command, make_reply

FOLLOW_UP_US = NOW_US + 30_000_000


@pytest.mark.parametrize(("first", "second"), list(product(REPLY_RANK, REPLY_RANK)))
async def test_a_state_never_goes_back(registry: Registry, first: str, second: str) -> None:
    await registry.run(stored_commands.add_command, make_command())
    await registry.run(stored_commands.apply_reply, make_reply(first), NOW_US, FOLLOW_UP_US)
    await registry.run(stored_commands.apply_reply, make_reply(second), NOW_US, FOLLOW_UP_US)
    record = await registry.run(stored_commands.load_command, COMMAND_ID)
    forward = first not in FINAL_STATES and REPLY_RANK[second] >= REPLY_RANK[first]  # type: ignore[index]  # keys of it
    assert record.state == (second if forward else first)
    assert (record.next_send_us is None) == (record.state in FINAL_STATES)


async def test_strangers_replies_change_nothing(registry: Registry) -> None:
    await registry.run(stored_commands.add_command, make_command())
    other_unit, other_id = make_reply("done", unit_id="nomad-08"), make_reply("done", command_id="unheard-of")
    for reply in (other_unit, other_id):
        assert await registry.run(stored_commands.apply_reply, reply, NOW_US, FOLLOW_UP_US) is None
    assert (await registry.run(stored_commands.load_command, COMMAND_ID)).state == "waiting"


async def test_a_rejection_that_a_retry_can_mend_leaves_it_waiting(registry: Registry) -> None:
    await registry.run(stored_commands.add_command, make_command())
    reply = make_reply("rejected", error={"code": "too-many", "message": "later"})
    record = await registry.run(stored_commands.apply_reply, reply, NOW_US, FOLLOW_UP_US)
    assert record is not None
    assert record.state == "waiting"
    assert record.error is not None
    assert record.error.message == "later"
    assert record.next_send_us is not None


async def test_a_copy_that_is_turned_away_takes_nothing_back(registry: Registry) -> None:
    await registry.run(stored_commands.add_command, make_command())
    await registry.run(stored_commands.apply_reply, make_reply("running"), NOW_US, FOLLOW_UP_US)
    reply = make_reply("rejected", error={"code": "storage-error", "message": "the ledger cannot be read"})
    assert await registry.run(stored_commands.apply_reply, reply, NOW_US, FOLLOW_UP_US) is None
    assert (await registry.run(stored_commands.load_command, COMMAND_ID)).state == "running"


async def test_an_unanswered_command_expires_and_an_answered_one_does_not(registry: Registry) -> None:
    other = COMMAND_ID[:-1] + "2"
    await registry.run(stored_commands.add_command, make_command())
    await registry.run(stored_commands.add_command, make_command(other))
    await registry.run(stored_commands.apply_reply, make_reply("running", other), NOW_US, FOLLOW_UP_US)
    assert (await registry.run(stored_commands.expire, COMMAND_ID)).state == "expired"
    assert (await registry.run(stored_commands.expire, other)).state == "running"
    assert await registry.run(stored_commands.next_command_us) is None


async def test_a_reply_that_comes_while_a_copy_is_published_ends_the_sending(registry: Registry) -> None:
    await registry.run(stored_commands.add_command, make_command())
    await registry.run(stored_commands.apply_reply, make_reply("done"), NOW_US, FOLLOW_UP_US)
    await registry.run(stored_commands.mark_sent, COMMAND_ID, FOLLOW_UP_US)
    assert await registry.run(stored_commands.next_command_us) is None


async def test_a_delivery_is_remembered_once(registry: Registry) -> None:
    assert await registry.run(stored_clips.add_clip, "nomad-07", COMMAND_ID, "/clips/a", NOW_US)
    assert not await registry.run(stored_clips.add_clip, "nomad-07", COMMAND_ID, "/clips/a", NOW_US + 1)
    (pending,) = await registry.run(stored_clips.pending_clips)
    assert pending.completed_us == NOW_US


async def test_a_verdict_makes_its_receipt_due(registry: Registry) -> None:
    await registry.run(stored_clips.add_clip, "nomad-07", COMMAND_ID, "/clips/a", NOW_US)
    clip = await registry.run(stored_clips.save_verdict, "nomad-07", COMMAND_ID, "torn", {"a": 1}, "r.e.c", NOW_US)
    assert (clip.verdict, clip.reason, clip.report) == ("failed", "torn", {"a": 1})
    (due,) = await registry.run(stored_clips.due_receipts, NOW_US)
    assert due.receipt == "r.e.c"
    await registry.run(stored_clips.mark_receipt_sent, "nomad-07", COMMAND_ID, NOW_US + 5)
    assert await registry.run(stored_clips.next_receipt_us) == NOW_US + 5
    assert await registry.run(stored_clips.pending_clips) == []


async def test_events_are_kept_once_and_in_bounds(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_units, "MAX_EVENTS", 3)
    for number in range(5):
        assert await registry.run(stored_units.save_event, "nomad-07", f"e{number}", {"n": number}, NOW_US)
        assert not await registry.run(stored_units.save_event, "nomad-07", f"e{number}", {"n": number}, NOW_US)
    events = await registry.run(stored_units.recent_events, "nomad-07", 100)
    assert [event["n"] for event in events] == [2, 3, 4]


async def test_what_is_unknown_is_a_404(registry: Registry) -> None:
    for work in (stored_units.load_unit, stored_commands.load_command, nothing_of_nobody):
        with pytest.raises(RequestRefusedError) as caught:
            await registry.run(work, "nothing")
        assert caught.value.status == 404


def nothing_of_nobody(connection: sqlite3.Connection, name: str) -> object:
    return stored_clips.load_clip(connection, "nomad-07", name)


async def test_units_may_deliver_under_the_same_id(registry: Registry) -> None:
    await registry.run(stored_commands.add_command, make_command())
    for unit_id in ("nomad-08", "nomad-07"):
        assert await registry.run(stored_clips.add_clip, unit_id, COMMAND_ID, f"/clips/{unit_id}", NOW_US)
    await registry.run(stored_clips.save_verdict, "nomad-08", COMMAND_ID, "torn", {}, "r.e.c", NOW_US)
    await registry.run(stored_clips.mark_receipt_sent, "nomad-08", COMMAND_ID, NOW_US + 5)
    theirs = await registry.run(stored_clips.load_clip, "nomad-07", COMMAND_ID)
    assert (theirs.folder, theirs.verdict, theirs.receipts_sent) == ("/clips/nomad-07", "pending", 0)
    assert await registry.run(stored_clips.is_request_open, "nomad-07", COMMAND_ID)
    assert await registry.run(stored_clips.is_request_open, "nomad-08", COMMAND_ID) is None


async def test_a_registry_of_the_first_version_is_taken_over(tmp_path: Path) -> None:
    older = sqlite3.connect(tmp_path / "registry.db")
    older.executescript(f"{STEPS[0]} PRAGMA user_version=1;")
    older.execute("INSERT INTO units (unit_id, enrolled_us) VALUES ('nomad-07', 1)")
    row = (COMMAND_ID, "nomad-07", "/clips/a", NOW_US, "failed", "torn", '{"a": 1}', "r.e.c", 2, NOW_US + 5)
    older.execute("INSERT INTO clips VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    older.commit()
    older.close()
    for _ in range(2):
        registry = Registry(tmp_path / "registry.db")
        await registry.open()
        clip = await registry.run(stored_clips.load_clip, "nomad-07", COMMAND_ID)
        assert (clip.folder, clip.completed_us, clip.verdict, clip.reason) == ("/clips/a", NOW_US, "failed", "torn")
        (due,) = await registry.run(stored_clips.due_receipts, NOW_US + 5)
        assert (due.unit_id, due.clip_id, due.receipt, due.sent) == ("nomad-07", COMMAND_ID, "r.e.c", 2)
        await registry.close()


async def test_what_was_written_is_there_after_reopening(tmp_path: Path) -> None:
    first = Registry(tmp_path / "registry.db")
    await first.open()
    await first.run(stored_units.add_unit, "nomad-07", NOW_US)
    await first.close()
    with pytest.raises(RegistryError, match="closed"):
        await first.run(stored_units.load_units)
    second = Registry(tmp_path / "registry.db")
    await second.open()
    assert [unit.unit_id for unit in await second.run(stored_units.load_units)] == ["nomad-07"]
    await second.close()


async def test_a_newer_and_a_foreign_file_are_refused(tmp_path: Path) -> None:
    newer = sqlite3.connect(tmp_path / "newer.db")
    newer.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    newer.close()
    (tmp_path / "garbage.db").write_bytes(b"not a database" * 1000)
    for name, words in (("newer.db", "newer version"), ("garbage.db", "cannot be opened")):
        registry = Registry(tmp_path / name)
        with pytest.raises(RegistryError, match=words):
            await registry.open()
        await registry.close()
