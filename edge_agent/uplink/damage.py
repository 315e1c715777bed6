"""Rows of the link's database that cannot be read: found at the start, set aside, told once.

SQLite vouches for its pages, not for what is in them. One row that cannot be read must not keep the link from
starting for ever, and must not be lost in silence: it is copied into the table `damaged`, then taken out of its own.
A command whose claims can still be read stays, ended: its id goes on protecting against repetition, its pin is
released, and the supervision centre hears that it failed. The event that tells of it is written in the same
transaction.

Rows that go bad while the link runs end it; the next start finds them here.
"""

import json
import logging
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from edge_agent.clock import Clock
from edge_agent.contract.codes import ErrorCode
from edge_agent.contract.commands import CommandClaims
from edge_agent.contract.event_names import EventName
from edge_agent.contract.messages import Alarm, Event, Receipt
from edge_agent.contract.messages import History as Batch
from edge_agent.contract.model import canonical_json
from edge_agent.contract.times import format_utc
from edge_agent.uplink.boot_clocks import check_source
from edge_agent.uplink.database import LinkDatabase
from edge_agent.uplink.events import Events
from edge_agent.uplink.ledger import COLUMNS, entry_of
from edge_agent.uplink.newest import check_fact
from edge_agent.uplink.states import FINAL
from edge_agent.uplink.stored_history import check_left_out, check_sample

logger = logging.getLogger(__name__)

_MAX_TOLD = 10
_FINAL = {state.value for state in FINAL}

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Damage:
    """One row that cannot be read."""

    table: str
    row: Row
    problem: str

    @property
    def key(self) -> str:
        """What the row is known by, as text that can be sent."""
        return _printable("/".join(str(self.row[column]) for column in _KEYS[self.table]))

    def to_object(self) -> dict[str, str]:
        """For the event."""
        return {"table": self.table, "key": self.key[:100], "problem": self.problem[:150]}


_KEYS = {
    "commands": ("command_id",),
    "receipts": ("clip_id",),
    "alarms": ("name", "camera"),
    "events": ("number",),
    "facts": ("name",),
    "history": ("number",),
    "history_left_out": ("kind",),
    "history_batches": ("number",),
    "boots": ("number",),
    "alarm_origins": ("name", "camera"),
}


async def set_damaged_rows_aside(database: LinkDatabase, events: Events, clock: Clock) -> int:
    """Look at every row and move those that cannot be read; how many there were.

    Before anything else reads the database.

    Raises:
        LedgerError: the database refused.
    """
    found = await database.read(lambda connection: list(_find(connection)))
    if not found:
        return 0
    for damage in found:
        logger.error("link database: %s %s cannot be read: %s", damage.table, damage.key, damage.problem)
    now_us = clock.wall_us()
    details = {"count": len(found), "rows": [damage.to_object() for damage in found[:_MAX_TOLD]]}

    def move_all(connection: sqlite3.Connection) -> None:
        for damage in found:
            _move(connection, damage, now_us)

    await events.store(EventName.LEDGER_ROWS_DAMAGED, details, move_all)
    return len(found)


def _find(connection: sqlite3.Connection) -> Iterator[Damage]:
    for table, check in _CHECKS.items():
        cursor = connection.execute(f"SELECT * FROM {table}")  # noqa: S608 -- names of this module
        names = [column[0] for column in cursor.description]
        for values in cursor:
            row = dict(zip(names, values, strict=True))
            problem = _problem(check, row)
            if problem is not None:
                yield Damage(table, row, problem)


def _problem(check: Callable[[Row], object], row: Row) -> str | None:
    try:
        for value in row.values():
            if isinstance(value, str):
                value.encode()
        check(row)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        return _printable(f"{type(error).__name__}: {error}")
    return None


def _check_command(row: Row) -> None:
    entry = entry_of(tuple(row[name.strip()] for name in COLUMNS.split(",")))
    _check_whole(row, "received_us", "expires_s", "reply_version", "sent_version", "cleanup_owed")
    if row["finished_us"] is not None:
        _check_whole(row, "finished_us")
    format_utc(row["received_us"])
    _check_reply(row)
    if (entry.command_id, entry.claims.cmd) != (row["command_id"], row["command"]):
        raise ValueError("the claims are another command's")
    if entry.is_final != (entry.finished_us is not None):
        raise ValueError(f"{entry.state} and its end do not go together")


def _check_reply(row: Row) -> None:
    """What goes into a message."""
    said = json.loads(row["reply"] or "{}")
    if not isinstance(said.get("result"), dict | None):
        raise TypeError("the reply's result is no object")
    if not isinstance(row["response_topic"], str | None) or not isinstance(row["correlation"], bytes | None):
        raise TypeError("the reply's address is none")


def _check_receipt(row: Row) -> None:
    Receipt.from_object({"aud": "any", "iat": 0} | {name: row[name] for name in row if name != "received_us"})


def _check_alarm(row: Row) -> None:
    _check_whole(row, "since_us")
    details = json.loads(row["details"])
    Alarm(name=row["name"], camera=row["camera"] or None, since_us=row["since_us"], details=details).to_json()


def _check_origin(row: Row) -> None:
    _check_whole(row, "since_us", "monotonic_us")
    check_source(row["clock_source"])
    Alarm(name=row["name"], since_us=row["since_us"], event_id=row["event_id"]).to_json()
    bytes.fromhex(row["boot_id"])


def _check_event(row: Row) -> None:
    Event.from_json(row["body"], max_bytes=len(row["body"]))


def _check_boot(row: Row) -> None:
    _check_whole(row, "offset_us")
    check_source(row["source"])


def _check_whole(row: Row, *names: str) -> None:
    for name in names:
        if not isinstance(row[name], int):
            raise TypeError(f"{name} is no whole number")


_CHECKS: dict[str, Callable[[Row], object]] = {
    "commands": _check_command,
    "receipts": _check_receipt,
    "alarms": _check_alarm,
    "events": _check_event,
    "facts": lambda row: check_fact(row["name"], row["value"]),
    "history": check_sample,
    "history_left_out": check_left_out,
    "history_batches": lambda row: Batch.from_json(row["body"], max_bytes=len(row["body"])),
    "boots": _check_boot,
    "alarm_origins": _check_origin,
}


def _move(connection: sqlite3.Connection, damage: Damage, now_us: int) -> None:
    kept = json.dumps(damage.row, default=lambda value: value.hex())  # only bytes are not JSON here
    connection.execute(
        "INSERT INTO damaged (origin, key, problem, row, found_us) VALUES (?, ?, ?, ?, ?)",
        (damage.table, damage.key, damage.problem, kept, now_us),
    )
    if damage.table == "commands" and _claims_of(damage.row) is not None:
        _end(connection, damage.row, now_us)
        return
    values = [damage.row[column] for column in _KEYS[damage.table]]
    where = " AND ".join(map(_is_value, _KEYS[damage.table], values))
    bound = [value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value for value in values]
    connection.execute(f"DELETE FROM {damage.table} WHERE {where}", bound)  # noqa: S608 -- names of this module


def _is_value(column: str, value: object) -> str:
    """A condition; text that may be no UTF-8 is bound as its bytes."""
    return f"{column} = CAST(? AS TEXT)" if isinstance(value, str) else f"{column} IS ?"


def _claims_of(row: Row) -> CommandClaims | None:
    """The claims, if they are whole and this row's."""
    try:
        claims = CommandClaims.from_json(row["claims"], max_bytes=len(row["claims"]))
        row["body_sha256"].encode()
    except (ValueError, TypeError, AttributeError):
        return None
    return claims if (claims.jti, claims.cmd) == (row["command_id"], row["command"]) else None


def _end(connection: sqlite3.Connection, row: Row, now_us: int) -> None:
    """A final state stays, and its reply loses what went with it; any other becomes `failed`."""
    is_final = row["state"] in _FINAL
    was_sent = is_final and row["sent_version"] == row["reply_version"]
    message = "the unit's record of this command was damaged; ask again with a new command"
    said = canonical_json({"result": None, "error": {"code": ErrorCode.INTERNAL.value, "message": message}})
    claims = CommandClaims.from_json(row["claims"], max_bytes=len(row["claims"]))
    connection.execute(
        "UPDATE commands SET state = ?, facts = '{}', reply = ?, reply_version = ?, sent_version = ?, "
        "received_us = ?, finished_us = ?, expires_s = ?, cleanup_owed = ?, response_topic = NULL, "
        "correlation = NULL WHERE command_id = ?",
        (
            row["state"] if is_final else "failed",
            None if is_final else said.decode(),
            1_000_000,  # above the number of any reply that was sent
            1_000_000 if was_sent else 0,
            _whole_or(row["received_us"], now_us),
            _whole_or(row["finished_us"], now_us),
            claims.exp,
            int(claims.cmd == "clip.request"),
            row["command_id"],
        ),
    )


def _whole_or(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) and 0 <= value < 2**53 else otherwise


def _printable(text: str) -> str:
    return " ".join(text.encode("utf-8", "replace").decode().split())
