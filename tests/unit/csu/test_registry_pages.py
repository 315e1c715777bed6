"""Every list of the registry is read along an index, however long it is, and pages make up the whole."""

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from csu import stored_clips, stored_commands, stored_units
from csu.errors import RequestRefusedError
from csu.paging import page_of, read_cursor, write_cursor
from csu.registry import Registry
from tests.unit.csu.replies import NOW_US, make_command

BEFORE_COMMAND = (NOW_US, "0")
BEFORE_CLIP = (NOW_US, "nomad-07", "0")


@pytest.mark.parametrize(
    "work",
    [
        lambda connection: stored_commands.load_commands(connection, None, 10),
        lambda connection: stored_commands.load_commands(connection, None, 10, BEFORE_COMMAND),
        lambda connection: stored_commands.load_commands(connection, "nomad-07", 10),
        lambda connection: stored_commands.load_commands(connection, "nomad-07", 10, BEFORE_COMMAND),
        lambda connection: stored_clips.load_clips(connection, None, 10),
        lambda connection: stored_clips.load_clips(connection, None, 10, BEFORE_CLIP),
        lambda connection: stored_clips.load_clips(connection, "nomad-07", 10),
        lambda connection: stored_clips.load_clips(connection, "nomad-07", 10, BEFORE_CLIP),
        lambda connection: stored_units.recent_events(connection, None, 10),
        lambda connection: stored_units.recent_events(connection, "nomad-07", 10),
        lambda connection: stored_units.save_event(connection, "nomad-07", "e", {}, NOW_US),
        stored_clips.pending_clips,
        lambda connection: stored_commands.due_commands(connection, NOW_US),
    ],
)
async def test_nothing_walks_a_table(registry: Registry, work: Callable[[sqlite3.Connection], object]) -> None:
    def plan(connection: sqlite3.Connection) -> list[str]:
        said: list[str] = []
        connection.set_trace_callback(said.append)
        work(connection)
        connection.set_trace_callback(None)
        statements = [one for one in said if not one.startswith(("BEGIN", "--"))]
        assert statements
        rows = [row for one in statements for row in connection.execute(f"EXPLAIN QUERY PLAN {one}")]
        return [str(row["detail"]) for row in rows]

    for step in await registry.run(plan):
        assert "TEMP B-TREE" not in step
        assert not step.startswith("SCAN") or "USING INDEX" in step or step == "SCAN events", step


async def test_pages_of_clips_make_up_the_whole(registry: Registry) -> None:
    def fill(connection: sqlite3.Connection) -> None:
        for number in range(25):
            unit_id, clip_id = f"nomad-0{number % 3}", f"0197a1b2-0000-7000-8000-{number:012}"
            stored_clips.add_clip(connection, unit_id, clip_id, "/x", NOW_US + number // 5)

    await registry.run(fill)
    found: list[Any] = []
    before = None
    while True:
        page = page_of(await registry.run(stored_clips.load_clips, None, 7 + 1, before), 7, stored_clips.key_of)
        found += [(clip.completed_us, clip.unit_id, clip.clip_id) for clip in page.items]
        if page.cursor is None:
            break
        before = read_cursor(page.cursor, int, str, str)
    assert len(found) == 25
    assert found == sorted(found, reverse=True)


async def test_events_of_a_long_life_stay_within_their_bound(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_units, "MAX_EVENTS", 50)

    def fill(connection: sqlite3.Connection) -> None:
        for number in range(300):
            for _ in range(3):
                stored_units.save_event(connection, "nomad-07", f"e{number}", {"n": number}, NOW_US)

    await registry.run(fill)
    events = await registry.run(stored_units.recent_events, None, 1000)
    assert [event["n"] for event in events] == list(range(250, 300))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "é",
        "A" * 500,
        "bnVsbA",
        "W10",
        "WzEsMl0",
        "WzEsImEiLCJiIl0",
        "e30",
        "W3RydWUsImEiXQ",
        "//__",
        "WzEsImEi",
    ],
)
def test_what_is_no_cursor_of_the_list_is_refused(text: str) -> None:
    with pytest.raises(RequestRefusedError, match="cursor"):
        read_cursor(text, int, str)


def test_a_cursor_holds_no_number_that_the_database_cannot() -> None:
    assert read_cursor(write_cursor((1, "a")), int, str) == (1, "a")
    with pytest.raises(RequestRefusedError):
        read_cursor(write_cursor((1 << 63, "a")), int, str)


async def test_a_command_of_the_same_instant_has_its_place(registry: Registry) -> None:
    ids = [f"0197a1b2-0000-7000-8000-{number:012}" for number in range(5)]
    for command_id in ids:
        await registry.run(stored_commands.add_command, make_command(command_id))
    rows = await registry.run(stored_commands.load_commands, None, 2, (NOW_US, ids[3]))
    assert [row.command_id for row in rows] == [ids[2], ids[1]]
