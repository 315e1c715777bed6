"""The ledger: every durable command from its acknowledgement to its end, with the reply that stands.

The table of states is `states.TRANSITIONS`; this module is the only one that writes it, and a step that the table
does not have is refused. The rows hold what the next step needs (`ClipFacts`), so that any step can be done by a
process that has just started.

Bounds: `MAX_OPEN` clip requests are open at once, and as many others, so that clips which wait for an ingest keep
nobody from asking about them or cancelling them; finished ones are kept for `KEEP_S`, at most `KEEP_FINISHED` of
them, and never removed before their `exp` is over: until then their id protects against repetition.
"""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_agent.clock import Clock
from edge_agent.contract.clip import Interval
from edge_agent.contract.codes import ErrorCode
from edge_agent.contract.commands import CommandClaims
from edge_agent.contract.messages import Receipt, ReplyError, ReplyState
from edge_agent.contract.model import ContractModel, canonical_json
from edge_agent.contract.times import UtcMicros
from edge_agent.errors import CommandRejectedError, LedgerError
from edge_agent.uplink.database import LinkDatabase
from edge_agent.uplink.states import FINAL, REPLY_OF, State, may_follow, reply_goes_on

MAX_OPEN = 64
KEEP_S = 31 * 24 * 3600
KEEP_FINISHED = 5000

StepHook = Callable[[str], None]
"""Called with `<command>:<state>:before` and `:after` around each commit; fault tests kill the process there."""


class ClipFacts(ContractModel):
    """What the steps of a clip request leave for the next ones."""

    camera: str | None = None
    asked: Interval | None = None
    delivered: Interval | None = None
    plan_file: str | None = None
    length_bytes: int | None = None
    parts: int | None = None
    ready_at_us: UtcMicros | None = None
    overwrite_at_us: UtcMicros | None = None
    manifest_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class NewCommand:
    """A durable command that passed admission."""

    claims: CommandClaims
    body_sha256: str
    response_topic: str | None = None
    correlation: bytes | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the ledger."""

    claims: CommandClaims
    body_sha256: str
    received_us: int
    finished_us: int | None
    state: State
    facts: ClipFacts
    result: dict[str, Any] | None
    error: ReplyError | None
    reply_version: int
    sent_version: int
    response_topic: str | None
    correlation: bytes | None
    cleanup_owed: bool

    @property
    def command_id(self) -> str:
        """The `jti`; a clip request's is its clip's id too."""
        return self.claims.jti

    @property
    def is_final(self) -> bool:
        """Nothing follows."""
        return self.state in FINAL

    @property
    def reply_state(self) -> ReplyState | None:
        """What the supervision centre is told; None before there is anything to tell."""
        return REPLY_OF[self.state]


COLUMNS = (
    "claims, body_sha256, received_us, finished_us, state, facts, reply, reply_version, sent_version, "
    "response_topic, correlation, cleanup_owed"
)
"""Of the table `commands`, in the order that `entry_of` takes them."""


def entry_of(row: tuple[Any, ...]) -> Entry:
    """The entry of a row of `COLUMNS`.

    Raises:
        ValueError, TypeError, LookupError, AttributeError: it cannot be read; see `damage`.
    """
    claims, body, received, finished, state, facts, reply, version, sent, topic, correlation, owed = row
    said = json.loads(reply) if reply is not None else {}
    return Entry(
        claims=CommandClaims.from_json(claims, max_bytes=len(claims)),
        body_sha256=body,
        received_us=received,
        finished_us=finished,
        state=State(state),
        facts=ClipFacts.from_json(facts, max_bytes=len(facts)),
        result=said.get("result"),
        error=ReplyError.from_object(said["error"]) if said.get("error") else None,
        reply_version=version,
        sent_version=sent,
        response_topic=topic,
        correlation=correlation,
        cleanup_owed=bool(owed),
    )


def _get(connection: sqlite3.Connection, command_id: str) -> Entry | None:
    row = connection.execute(f"SELECT {COLUMNS} FROM commands WHERE command_id = ?", (command_id,)).fetchone()  # noqa: S608 -- constant columns
    return None if row is None else entry_of(row)


def _select(connection: sqlite3.Connection, rest: str, arguments: tuple[Any, ...] = ()) -> list[Entry]:
    rows = connection.execute(f"SELECT {COLUMNS} FROM commands {rest}", arguments).fetchall()  # noqa: S608 -- constant clauses of this module
    return [entry_of(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a command: the state it comes to, and what goes with it.

    `facts`, `result` and `error` that are None leave what is there.
    """

    to: State
    facts: ClipFacts | None = None
    result: dict[str, Any] | None = None
    error: ReplyError | None = None
    cleanup_owed: bool = False


def fail(code: str, message: str, to: State = State.FAILED, cleanup_owed: bool = True) -> Step:
    """The step of a failure, the sentence cut to what fits a message."""
    return Step(to, error=ReplyError(code=code, message=message[:1000]), cleanup_owed=cleanup_owed)


class Ledger:
    """See the module."""

    def __init__(self, database: LinkDatabase, clock: Clock, step_hook: StepHook = lambda _name: None) -> None:
        self._database = database
        self._clock = clock
        self._hook = step_hook

    async def find(self, command_id: str) -> Entry | None:
        """The row of a command, or None."""
        return await self._database.read(lambda connection: _get(connection, command_id))

    async def store(self, command: NewCommand, step: Step | None = None) -> Entry:
        """Store a new command; when this returns, it may be acknowledged.

        Args:
            command: what was admitted.
            step: its end, for one that is rejected as it comes.

        Raises:
            CommandRejectedError: too many are open (retriable).
            LedgerError: the storage refused.
        """
        self._hook(f"{command.claims.cmd}:stored:before")
        now_us = self._clock.wall_us()
        entry = await self._database.write(lambda connection: _insert(connection, command, now_us, step))
        self._hook(f"{command.claims.cmd}:stored:after")
        return entry

    async def advance(self, entry: Entry, step: Step) -> Entry | None:
        """Commit a step; None when the command has moved on meanwhile (it was cancelled, say).

        Raises:
            LedgerError: the storage refused, or the table of states does not have this step.
        """
        self._hook(f"{entry.claims.cmd}:{step.to}:before")
        now_us = self._clock.wall_us()
        after = await self._database.write(lambda connection: _advance(connection, entry, step, now_us))
        self._hook(f"{entry.claims.cmd}:{step.to}:after")
        return after

    async def cancel_clip(self, canceller: Entry, clip_id: str) -> tuple[Entry, Entry] | None:
        """End a clip and the command that cancels it in one transaction.

        Returns:
            The clip's row and the canceller's, both final; None when the unit knows no such clip.

        Raises:
            LedgerError: the storage refused.
        """
        self._hook("clip.cancel:done:before")
        now_us = self._clock.wall_us()
        both = await self._database.write(lambda connection: _cancel(connection, canceller, clip_id, now_us))
        self._hook("clip.cancel:done:after")
        return both

    async def open_entries(self) -> list[Entry]:
        """Commands that are not finished, oldest first."""
        rest = "WHERE finished_us IS NULL ORDER BY received_us, command_id"
        return await self._database.read(lambda connection: _select(connection, rest))

    async def owed_entries(self) -> list[Entry]:
        """Finished clip requests whose pin or transfer may still be there."""
        return await self._database.read(lambda connection: _select(connection, "WHERE cleanup_owed = 1"))

    async def settle(self, entry: Entry) -> None:
        """Pin and transfer of a finished clip are gone."""
        self._hook(f"{entry.claims.cmd}:settled:before")
        sql = "UPDATE commands SET cleanup_owed = 0 WHERE command_id = ?"
        await self._database.write(lambda connection: connection.execute(sql, (entry.command_id,)))
        self._hook(f"{entry.claims.cmd}:settled:after")

    async def unsent_ids(self) -> list[str]:
        """Commands whose present reply the broker has not acknowledged, oldest first."""
        sql = "SELECT command_id FROM commands WHERE reply_version > sent_version ORDER BY received_us, command_id"
        return await self._database.read(lambda connection: [row[0] for row in connection.execute(sql)])

    async def mark_sent(self, entry: Entry) -> None:
        """The broker acknowledged the reply of this row's version."""
        sql = "UPDATE commands SET sent_version = max(sent_version, ?) WHERE command_id = ?"
        arguments = (entry.reply_version, entry.command_id)
        await self._database.write_relaxed(lambda connection: connection.execute(sql, arguments))

    async def send_again(self, command_id: str) -> None:
        """The present reply is wanted once more."""
        sql = "UPDATE commands SET sent_version = reply_version - 1 WHERE command_id = ? AND reply_version > 0"
        await self._database.write_relaxed(lambda connection: connection.execute(sql, (command_id,)))

    async def clips(self, offset: int, limit: int) -> tuple[list[Entry], int]:
        """Clip requests, newest first, and how many there are."""
        rest = "WHERE command = 'clip.request' ORDER BY received_us DESC, command_id DESC LIMIT ? OFFSET ?"
        sql = "SELECT count(*) FROM commands WHERE command = 'clip.request'"

        def work(connection: sqlite3.Connection) -> tuple[list[Entry], int]:
            return _select(connection, rest, (limit, offset)), connection.execute(sql).fetchone()[0]

        return await self._database.read(work)

    async def store_receipt(self, receipt: Receipt) -> None:
        """Keep the centre's verdict; the first one for a manifest stands."""
        sql = (
            "INSERT INTO receipts VALUES (?, ?, ?, ?, ?) ON CONFLICT (clip_id) DO UPDATE SET "
            "sha256 = excluded.sha256, verdict = excluded.verdict, reason = excluded.reason, "
            "received_us = excluded.received_us WHERE sha256 != excluded.sha256"
        )
        values = (receipt.clip_id, receipt.sha256, receipt.verdict, receipt.reason, self._clock.wall_us())
        self._hook("receipt:stored:before")
        await self._database.write(lambda connection: connection.execute(sql, values))
        self._hook("receipt:stored:after")

    async def receipt_of(self, clip_id: str) -> tuple[str, str, str | None] | None:
        """`(sha256, verdict, reason)` of the stored receipt, or None."""
        sql = "SELECT sha256, verdict, reason FROM receipts WHERE clip_id = ?"

        def work(connection: sqlite3.Connection) -> tuple[str, str, str | None] | None:
            row: tuple[str, str, str | None] | None = connection.execute(sql, (clip_id,)).fetchone()
            return row

        return await self._database.read(work)

    async def prune(self) -> int:
        """Remove finished commands beyond the bounds, and receipts of unknown clips; how many commands went."""
        now_us = self._clock.wall_us()
        return await self._database.write(lambda connection: _prune(connection, now_us))


def _insert(connection: sqlite3.Connection, command: NewCommand, now_us: int, step: Step | None) -> Entry:
    claims = command.claims
    sql = "SELECT count(*) FROM commands WHERE finished_us IS NULL AND (command = 'clip.request') = ?"
    (open_count,) = connection.execute(sql, (claims.cmd == "clip.request",)).fetchone()
    if step is None and open_count >= MAX_OPEN:
        raise CommandRejectedError(ErrorCode.TOO_MANY, f"{open_count} commands are open; send this one again later")
    connection.execute(
        "INSERT INTO commands (command_id, command, body_sha256, claims, expires_s, received_us, state, facts, "
        "response_topic, correlation) VALUES (?, ?, ?, ?, ?, ?, ?, '{}', ?, ?)",
        (
            claims.jti,
            claims.cmd,
            command.body_sha256,
            canonical_json(claims.to_object()).decode(),
            claims.exp,
            now_us,
            State.STORED.value,
            command.response_topic,
            command.correlation,
        ),
    )
    stored = _must_get(connection, claims.jti)
    return stored if step is None else _write_step(connection, stored, step, now_us)


def _must_get(connection: sqlite3.Connection, command_id: str) -> Entry:
    entry = _get(connection, command_id)
    if entry is None:
        raise LedgerError(f"command {command_id} is not in the ledger")
    return entry


def _advance(connection: sqlite3.Connection, entry: Entry, step: Step, now_us: int) -> Entry | None:
    current = _must_get(connection, entry.command_id)
    if current.state != entry.state:
        return None
    return _write_step(connection, current, step, now_us)


def _write_step(connection: sqlite3.Connection, current: Entry, step: Step, now_us: int) -> Entry:
    if not may_follow(current.state, step.to) or not reply_goes_on(current.reply_state, REPLY_OF[step.to]):
        raise LedgerError(f"command {current.command_id} cannot go from {current.state} to {step.to}")
    facts = current.facts if step.facts is None else step.facts
    result = current.result if step.result is None else step.result
    error = current.error if step.error is None else step.error
    said = {"result": result, "error": None if error is None else error.to_object()}
    has_reply = REPLY_OF[step.to] is not None
    connection.execute(
        "UPDATE commands SET state = ?, facts = ?, reply = ?, reply_version = reply_version + ?, finished_us = ?, "
        "cleanup_owed = ? WHERE command_id = ?",
        (
            step.to.value,
            canonical_json(facts.to_object()).decode(),
            canonical_json(said).decode() if has_reply else None,
            int(has_reply),
            now_us if step.to in FINAL else None,
            int(step.cleanup_owed),
            current.command_id,
        ),
    )
    return _must_get(connection, current.command_id)


def _cancel(
    connection: sqlite3.Connection, canceller: Entry, clip_id: str, now_us: int
) -> tuple[Entry, Entry] | None:
    clip = _get(connection, clip_id)
    if clip is None or clip.claims.cmd != "clip.request":
        return None
    if not clip.is_final:
        message = f"cancelled by {canceller.claims.sub} with command {canceller.command_id}"
        clip = _write_step(connection, clip, fail(ErrorCode.CANCELLED, message, State.CANCELLED), now_us)
    current = _must_get(connection, canceller.command_id)
    if not current.is_final:
        current = _write_step(connection, current, Step(State.DONE, result=_cancel_result(clip)), now_us)
    return clip, current


def _cancel_result(clip: Entry) -> dict[str, Any]:
    return {"clip_id": clip.command_id, "state": clip.state.value, "cancelled": clip.state == State.CANCELLED}


def _prune(connection: sqlite3.Connection, now_us: int) -> int:
    removable = "finished_us IS NOT NULL AND cleanup_owed = 0 AND expires_s < ?"
    now_s = now_us // 1_000_000
    aged = connection.execute(
        f"DELETE FROM commands WHERE {removable} AND reply_version <= sent_version AND finished_us < ?",  # noqa: S608 -- constant clause
        (now_s, now_us - KEEP_S * 1_000_000),
    ).rowcount
    surplus = connection.execute(
        f"DELETE FROM commands WHERE {removable} AND command_id NOT IN "  # noqa: S608 -- constant clause
        "(SELECT command_id FROM commands WHERE finished_us IS NOT NULL ORDER BY finished_us DESC LIMIT ?)",
        (now_s, KEEP_FINISHED),
    ).rowcount
    connection.execute("DELETE FROM receipts WHERE clip_id NOT IN (SELECT command_id FROM commands)")
    return aged + surplus
