"""The ledger: the table of states, bounds, and what is never removed."""

import asyncio
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from edge_agent.clock import FakeClock
from edge_agent.contract.commands import CommandClaims
from edge_agent.contract.ids import make_uuid7
from edge_agent.contract.messages import Receipt
from edge_agent.errors import CommandRejectedError, LedgerError
from edge_agent.uplink import ledger as ledger_module
from edge_agent.uplink.database import LinkDatabase
from edge_agent.uplink.ledger import MAX_OPEN, ClipFacts, Entry, Ledger, NewCommand, Step, fail
from edge_agent.uplink.states import FINAL, REPLY_OF, TRANSITIONS, State, may_follow, reply_goes_on


def new_command(clock: FakeClock, cmd: str = "clip.request", **changes: object) -> NewCommand:
    now_s = clock.wall_us() // 1_000_000
    claims: dict[str, Any] = {
        "iss": "csu",
        "aud": "nomad-07",
        "jti": make_uuid7(clock.wall_us()),
        "iat": now_s,
        "exp": now_s + 600,
        "sub": "a. moreau",
        "role": "operator",
        "cmd": cmd,
        "params": {"camera": "main"},
    }
    return NewCommand(CommandClaims.from_object(claims | changes), "0" * 64)


@pytest.mark.parametrize("there", [True, False])
async def test_nobody_else_reads_the_database(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "link.db"
    if there:
        await asyncio.to_thread(path.touch, 0o644)
    before = os.umask(0o022)
    try:
        database = await LinkDatabase.open(path, 1)
        await database.write(lambda connection: connection.execute("INSERT INTO facts VALUES ('x', 'y')"))
        modes = await asyncio.to_thread(lambda: [file.stat().st_mode & 0o777 for file in tmp_path.iterdir()])
    finally:
        os.umask(before)
    await database.close()
    assert modes == [0o640, 0o640, 0o640]


async def walk(ledger: Ledger, entry: Entry, *states: State) -> Entry:
    for state in states:
        after = await ledger.advance(entry, Step(state))
        assert after is not None
        entry = after
    return entry


def test_every_step_of_the_table_keeps_replies_going_forward() -> None:
    for before, followers in TRANSITIONS.items():
        for after in followers:
            assert reply_goes_on(REPLY_OF[before], REPLY_OF[after]), (before, after)
    assert all(not TRANSITIONS[state] for state in FINAL)
    assert not may_follow(State.DONE, State.DONE)
    assert may_follow(State.RESERVED, State.RESERVED)


async def test_a_command_goes_its_way_and_its_reply_with_it(ledger: Ledger, clock: FakeClock) -> None:
    entry = await ledger.store(new_command(clock))
    assert (entry.state, entry.reply_state) == (State.STORED, None)
    assert await ledger.unsent_ids() == []
    facts = ClipFacts(camera="main", length_bytes=7)
    planned = await ledger.advance(entry, Step(State.PLANNED, facts=facts, result={"clip": 1}))
    assert planned is not None
    assert (planned.reply_state, planned.facts.length_bytes, planned.result) == ("accepted", 7, {"clip": 1})
    assert await ledger.unsent_ids() == [entry.command_id]
    await ledger.mark_sent(planned)
    assert await ledger.unsent_ids() == []
    running = await walk(ledger, planned, State.RUNNING)
    assert running.result == {"clip": 1}
    await ledger.mark_sent(planned)  # late
    assert await ledger.unsent_ids() == [entry.command_id]
    done = await walk(ledger, running, State.DELIVERED, State.DONE)
    assert done.is_final
    assert await ledger.open_entries() == []
    await ledger.mark_sent(done)
    await ledger.send_again(done.command_id)
    assert await ledger.unsent_ids() == [entry.command_id]


async def test_a_step_that_the_table_lacks_is_refused(ledger: Ledger, clock: FakeClock) -> None:
    entry = await ledger.store(new_command(clock))
    with pytest.raises(LedgerError):
        await ledger.advance(entry, Step(State.DELIVERED))
    planned = await walk(ledger, entry, State.PLANNED)
    with pytest.raises(LedgerError):
        await ledger.advance(planned, fail("internal", "no", State.REJECTED))


async def test_a_step_from_a_state_that_is_over_does_nothing(ledger: Ledger, clock: FakeClock) -> None:
    clip = await ledger.store(new_command(clock))
    planned = await walk(ledger, clip, State.PLANNED)
    canceller = await ledger.store(new_command(clock, "clip.cancel", params={"clip_id": clip.command_id}))
    both = await ledger.cancel_clip(canceller, clip.command_id)
    assert both is not None
    assert (both[0].state, both[1].result) == (
        State.CANCELLED,
        {"clip_id": clip.command_id, "state": "cancelled", "cancelled": True},
    )
    assert both[0].cleanup_owed
    assert await ledger.advance(planned, Step(State.RUNNING)) is None
    again = await ledger.cancel_clip(canceller, clip.command_id)
    assert again is not None
    assert again[1].result == both[1].result
    assert [entry.command_id for entry in await ledger.owed_entries()] == [clip.command_id]
    await ledger.settle(both[0])
    assert await ledger.owed_entries() == []


async def test_too_many_open_commands_are_refused_and_their_ids_unused(ledger: Ledger, clock: FakeClock) -> None:
    for _ in range(MAX_OPEN):
        await ledger.store(new_command(clock))
    late = new_command(clock)
    with pytest.raises(CommandRejectedError) as caught:
        await ledger.store(late)
    assert caught.value.code == "too-many"
    assert await ledger.find(late.claims.jti) is None


async def test_finished_commands_stay_while_they_could_be_repeated(
    ledger: Ledger, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "KEEP_FINISHED", 2)
    ids = []
    for _ in range(4):
        entry = await ledger.store(new_command(clock), fail("unknown-camera", "no", State.REJECTED, False))
        await ledger.mark_sent(entry)
        ids.append(entry.command_id)
        clock.advance(1)
    assert await ledger.prune() == 0
    clock.advance(700)
    assert await ledger.prune() == 2
    assert [await ledger.find(command_id) is None for command_id in ids] == [True, True, False, False]
    clock.advance(40 * 24 * 3600)
    assert await ledger.prune() == 2


async def test_what_is_owed_or_unsent_is_not_pruned(ledger: Ledger, clock: FakeClock) -> None:
    owed = await ledger.store(new_command(clock), fail("unknown-camera", "no", State.REJECTED))
    unsent = await ledger.store(new_command(clock), fail("unknown-camera", "no", State.REJECTED, False))
    await ledger.mark_sent(owed)
    clock.advance(40 * 24 * 3600)
    assert await ledger.prune() == 0
    assert await ledger.unsent_ids() == [unsent.command_id]


async def test_the_first_receipt_for_a_manifest_stands(ledger: Ledger, clock: FakeClock) -> None:
    clip = await ledger.store(new_command(clock))
    receipt = Receipt(aud="nomad-07", clip_id=clip.command_id, sha256="a" * 64, verdict="verified", iat=1)
    await ledger.store_receipt(receipt)
    await ledger.store_receipt(receipt.model_copy(update={"verdict": "failed", "reason": "later"}))
    assert await ledger.receipt_of(clip.command_id) == ("a" * 64, "verified", None)
    await ledger.store_receipt(receipt.model_copy(update={"sha256": "b" * 64, "verdict": "failed"}))
    assert await ledger.receipt_of(clip.command_id) == ("b" * 64, "failed", None)
    assert await ledger.receipt_of(make_uuid7(5)) is None


async def test_a_damaged_database_is_set_aside_and_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "link.db"
    path.write_bytes(b"not a database at all" * 100)
    database = await LinkDatabase.open(path, 42)
    assert database.replaced == tmp_path / "link.db.damaged-42"
    assert database.replaced.read_bytes().startswith(b"not a database")
    await database.close()
    again = await LinkDatabase.open(path, 43)
    assert again.replaced is None
    await again.close()


async def test_a_database_of_newer_software_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "link.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(LedgerError):
        await LinkDatabase.open(path, 1)
    assert path.exists()


async def test_a_failed_transaction_leaves_nothing(database: LinkDatabase) -> None:
    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO facts VALUES ('a', '1')")
        connection.execute("INSERT INTO nowhere VALUES (1)")

    with pytest.raises(LedgerError):
        await database.write(half)
    rows = await database.read(lambda connection: connection.execute("SELECT * FROM facts").fetchall())
    assert rows == []
