"""How many events may wait for a broker, and which are left out beyond that.

What can be raised in 72 h: an alarm of each kind and camera that comes and goes once an hour makes 144 events; ten of
them with as many `occurred` ones make 2,000. What nobody can bound is one thing that flaps: a camera whose plug is
loose is lost and found four times a minute. So `MAX_WAITING` has twice that room, and beyond it the oldest events of
whatever speaks most are left out, a tenth at once: what flaps pushes nothing else out.

What is left out is counted in one `events-lost`, with the number of each name, in the place of the last one left out.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from typing import Any

from edge_agent.contract.event_names import EventName
from edge_agent.contract.model import canonical_json
from edge_agent.uplink.stored_queue import delete_rows

MAX_WAITING = 4000
_LOST = EventName.EVENTS_LOST.value


def drop_surplus(connection: sqlite3.Connection, acknowledged: list[int]) -> None:
    """Beyond the bound, let go of acknowledged ones, then leave some out; part of a transaction.

    Args:
        connection: of the transaction.
        acknowledged: numbers of the events that the broker acknowledged a moment ago.
    """
    if not _surplus(connection):
        return
    delete_rows(connection, "events", acknowledged)
    while (surplus := _surplus(connection)) > 0:
        _leave_out(connection, surplus + MAX_WAITING // 10)


def _surplus(connection: sqlite3.Connection) -> int:
    (waiting,) = connection.execute("SELECT count(*) FROM events").fetchone()
    return max(int(waiting) - MAX_WAITING, 0)


def _leave_out(connection: sqlite3.Connection, count: int) -> None:
    """Leave out the oldest `count` events of whatever speaks most, and count them with those left out before."""
    named = connection.execute("SELECT number, json_extract(body, '$.name', '$.camera') FROM events ORDER BY number")
    speakers: dict[str, list[int]] = {}
    for number, speaker in named:
        speakers.setdefault(speaker, []).append(number)
    before = speakers.pop(json.dumps([_LOST, None], separators=(",", ":")), [])
    leaves = max(speakers.values(), key=len)[: count + (not before)]  # the last one makes place for the count
    gone, last = [*before, *leaves], leaves[-1]
    summary = in_place_of([_event(connection, number) for number in gone])
    delete_rows(connection, "events", [number for number in gone if number != last])
    connection.execute("UPDATE events SET body = ? WHERE number = ?", (canonical_json(summary).decode(), last))


def in_place_of(gone: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One `events-lost` that counts events, at least one, by name, and stands where the last of them stood."""
    lost = sum(map(_lost_of, gone), Counter[str]())
    kept = {name: value for name, value in gone[-1].items() if name not in {"camera", "raised_id"}}
    return kept | {"name": _LOST, "state": "occurred", "details": {"count": lost.total(), "of": dict(lost)}}


def _event(connection: sqlite3.Connection, number: int) -> dict[str, Any]:
    (body,) = connection.execute("SELECT body FROM events WHERE number = ?", (number,)).fetchone()
    event: dict[str, Any] = json.loads(body)
    return event


def _lost_of(event: dict[str, Any]) -> Counter[str]:
    """How many events of each name it stands for."""
    if event["name"] != _LOST:
        return Counter({event["name"]: 1})
    details = event["details"]
    return Counter(details.get("of") or {_LOST: details["count"]})
