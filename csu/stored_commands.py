"""Commands in the registry; every step of their life is safe to repeat.

    waiting ──► accepted ──► running ──► done | failed | cancelled
       │  └───────────────────────────► rejected
       └─► expired (no reply before `exp`)

A reply moves a command forward only, by `REPLY_RANK`; a rejection that a retry can mend leaves it waiting, with the
reply kept so that people see why. What ended while the centre's clock was ahead goes on (`hasten_all`).
"""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from csu.errors import RequestRefusedError
from csu.paging import Key
from csu.records import FINAL_STATES, CommandRecord, CommandState
from edge_agent.contract.codes import RETRIABLE, ErrorCode
from edge_agent.contract.messages import REPLY_RANK, Reply

_EARLY_US = 300_000_000
"""What was signed so long ahead of the present no unit takes (`edge_agent/uplink/freshness.py`)."""
_RANK: Mapping[str, int] = {"waiting": -1, "expired": 2} | dict(REPLY_RANK.items())


@dataclass(frozen=True, slots=True)
class DueCommand:
    """A command whose time to be published has come."""

    command_id: str
    unit_id: str
    token: str
    sent: int
    state: CommandState
    expires_us: int


@dataclass(frozen=True, slots=True)
class NewCommand:
    """A signed command, to be stored before it is published."""

    command_id: str
    unit_id: str
    cmd: str
    params: dict[str, Any]
    operator: str
    role: str
    reference: str | None
    purpose: str | None
    token: str
    issued_us: int
    expires_us: int


def add_command(connection: sqlite3.Connection, command: NewCommand) -> CommandRecord:
    """Store a command; it is due at once."""
    connection.execute(
        "INSERT INTO commands (command_id, unit_id, cmd, params, operator, role, reference,"
        " purpose, token, issued_us, expires_us, state,"
        " next_send_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting', ?)",
        (
            command.command_id,
            command.unit_id,
            command.cmd,
            json.dumps(command.params),
            command.operator,
            command.role,
            command.reference,
            command.purpose,
            command.token,
            command.issued_us,
            command.expires_us,
            command.issued_us,
        ),
    )
    return load_command(connection, command.command_id)


def load_command(connection: sqlite3.Connection, command_id: str) -> CommandRecord:
    """One command.

    Raises:
        RequestRefusedError: it is not known.
    """
    row = connection.execute("SELECT * FROM commands WHERE command_id = ?", (command_id,)).fetchone()
    if row is None:
        raise RequestRefusedError("unknown-id", f"no command {command_id!r:.60} was given here", 404)
    return _record_of(row)


def load_commands(
    connection: sqlite3.Connection, unit_id: str | None, limit: int, before: Key | None = None
) -> list[CommandRecord]:
    """The last commands, newest first, to one unit or to all; those after the row of key `before`."""
    where, values = ["1"], list[int | str]()
    if unit_id is not None:
        where.append("unit_id = ?")
        values.append(unit_id)
    if before is not None:
        where.append("(issued_us, command_id) < (?, ?)")
        values.extend(before)
    order = "ORDER BY issued_us DESC, command_id DESC LIMIT ?"
    query = f"SELECT * FROM commands WHERE {' AND '.join(where)} {order}"  # noqa: S608 -- of this function's own words
    return [_record_of(row) for row in connection.execute(query, (*values, limit))]


def key_of(command: CommandRecord) -> Key:
    """Where a command stands in `load_commands`."""
    return command.issued_us, command.command_id


def due_commands(connection: sqlite3.Connection, now_us: int, limit: int = 50) -> list[DueCommand]:
    """Commands to publish now, the longest due first."""
    rows = connection.execute(
        "SELECT command_id, unit_id, token, sent, state, expires_us FROM commands"
        " WHERE next_send_us <= ? ORDER BY next_send_us LIMIT ?",
        (now_us, limit),
    )
    return [DueCommand(*row) for row in rows]


def next_command_us(connection: sqlite3.Connection) -> int | None:
    """When the next command is due; None when none is."""
    row = connection.execute("SELECT min(next_send_us) FROM commands WHERE next_send_us IS NOT NULL").fetchone()
    return None if row[0] is None else int(row[0])


def mark_sent(connection: sqlite3.Connection, command_id: str, next_send_us: int) -> None:
    """It was published; a reply that came meanwhile has ended the sending, and keeps it ended."""
    connection.execute(
        "UPDATE commands SET sent = sent + 1, next_send_us = ? WHERE command_id = ? AND next_send_us IS NOT NULL",
        (next_send_us, command_id),
    )


def postpone(connection: sqlite3.Connection, command_id: str, next_send_us: int) -> None:
    """It could not be published; try again then."""
    connection.execute(
        "UPDATE commands SET next_send_us = ? WHERE command_id = ? AND next_send_us IS NOT NULL",
        (next_send_us, command_id),
    )


def expire(connection: sqlite3.Connection, command_id: str) -> CommandRecord:
    """`exp` is over: unanswered commands end here, answered ones are only asked about no longer."""
    connection.execute(
        "UPDATE commands SET next_send_us = NULL, version = version + 1,"
        " state = CASE state WHEN 'waiting' THEN 'expired' ELSE state END WHERE command_id = ?",
        (command_id,),
    )
    return load_command(connection, command_id)


def hasten(connection: sqlite3.Connection, unit_id: str, now_us: int) -> int:
    """The unit came back: what is still asked of it is due at once; the number of commands."""
    return connection.execute(
        "UPDATE commands SET next_send_us = ? WHERE unit_id = ? AND next_send_us > ?", (now_us, unit_id, now_us)
    ).rowcount


def hasten_all(connection: sqlite3.Connection, now_us: int, after_us: int) -> list[CommandRecord]:
    """The clock was wrong: what is due only after `after_us`, and what it ended before its time, is due now.

    What was signed by a time that has not come yet, and was refused for it, waits in vain: it has expired.

    Returns:
        The commands that have expired or go on.
    """
    connection.execute("UPDATE commands SET next_send_us = ? WHERE next_send_us > ?", (now_us, after_us))
    early = connection.execute(
        "UPDATE commands SET next_send_us = NULL, version = version + 1, state = 'expired'"
        " WHERE state = 'waiting' AND issued_us > ? AND json_extract(reply, '$.error.code') = ? RETURNING command_id",
        (now_us + _EARLY_US, ErrorCode.CLOCK_UNKNOWN),
    ).fetchall()
    going_on = connection.execute(
        "UPDATE commands SET next_send_us = ?1, version = version + 1,"
        " state = CASE state WHEN 'expired' THEN 'waiting' ELSE state END"
        " WHERE next_send_us IS NULL AND expires_us > ?1 AND issued_us <= ?1 + ?2"
        " AND state IN ('expired', 'waiting', 'accepted', 'running') RETURNING command_id",
        (now_us, _EARLY_US),
    ).fetchall()
    return [load_command(connection, row["command_id"]) for row in (*early, *going_on)]


def apply_reply(connection: sqlite3.Connection, reply: Reply, now_us: int, follow_up_us: int) -> CommandRecord | None:
    """Move a command forward by a reply.

    Args:
        connection: of the registry.
        reply: what the unit said.
        now_us: the present.
        follow_up_us: when to ask again if the reply is not final.

    Returns:
        The changed command; None when the reply changes nothing (unknown id, another unit's command, a step back).
    """
    row = connection.execute("SELECT * FROM commands WHERE command_id = ?", (reply.command_id,)).fetchone()
    if row is None or row["unit_id"] != reply.unit_id or row["state"] in FINAL_STATES:
        return None
    if _RANK[reply.state] < _RANK[row["state"]]:
        return None
    state = _state_after(reply, is_early=row["issued_us"] > now_us + _EARLY_US)
    if state == "waiting" != row["state"]:
        return None  # a copy was turned away; the command itself goes on
    next_send_us = None if state in FINAL_STATES else follow_up_us
    if state == "waiting" or now_us >= row["expires_us"]:
        next_send_us = row["next_send_us"]
    connection.execute(
        "UPDATE commands SET state = ?, reply = ?, replied_us = ?, next_send_us = ?, version = version + 1"
        " WHERE command_id = ?",
        (state, json.dumps(reply.to_object()), now_us, next_send_us, reply.command_id),
    )
    return load_command(connection, reply.command_id)


def _state_after(reply: Reply, is_early: bool) -> CommandState:
    if reply.state == "rejected" and reply.error is not None and reply.error.code in RETRIABLE:
        # The centre's clock was ahead when it signed: no unit takes it before that time comes.
        return "expired" if is_early and reply.error.code == ErrorCode.CLOCK_UNKNOWN else "waiting"
    return reply.state


def _record_of(row: sqlite3.Row) -> CommandRecord:
    fields = {name: row[name] for name in row.keys() if name in CommandRecord.model_fields}  # noqa: SIM118 -- Row
    fields["params"] = json.loads(row["params"])
    fields["reply"] = None if row["reply"] is None else json.loads(row["reply"])
    return CommandRecord.from_object(fields)
