"""Commands and receipts on their way to the units: signed once, sent again until answered.

A command is stored before it is published first; the same token is published again, with doubled, jittered, capped
delays, until the unit replies or `exp` is over. A reply that is not final only slows this down: brokers lose
acknowledged messages, so a silent unit is asked again and answers with its present reply. A unit that comes online is
asked at once. Each copy tells the broker to drop it when the next one is due, so that none pile up there; the last
copy of a receipt waits there for a unit that is away.

Due times are of the wall clock, since they outlive the service. When that has stepped, or was mended while the
service was down, nothing waits for the time that it showed before.
"""

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import ValidationError

from csu import stored_clips, stored_commands, stored_units
from csu.backoff import delay_s
from csu.errors import BrokerError, RegistryError, RequestRefusedError
from csu.feed import Feed
from csu.records import CommandRecord
from csu.registry import Registry
from csu.stored_clips import DueReceipt
from csu.stored_commands import DueCommand, NewCommand
from edge_agent.clock import Clock
from edge_agent.contract.commands import (
    DURABLE,
    EPHEMERAL,
    MAX_EPHEMERAL_S,
    MAX_LIFETIME_S,
    NEEDS_REFERENCE,
    ROLES,
    CommandClaims,
    Role,
)
from edge_agent.contract.errors import ContractError
from edge_agent.contract.ids import make_uuid7
from edge_agent.contract.jws import SigningKey
from edge_agent.contract.messages import Reply
from edge_agent.contract.model import MAX_MESSAGE_BYTES, first_problem
from edge_agent.contract.names import Topics

_log = logging.getLogger(__name__)

ISSUER = "csu"

_FIRST_RESEND_S = 2.0
_ONLINE_CAP_S = 60.0
_ABSENT_CAP_S = 3600.0
_FOLLOW_UP_S = 30.0
_FOLLOW_UP_CAP_S = 600.0
_MAX_IDLE_S = 30.0
"""So soon is a step of the clock noticed."""
_STEP_US = 1_000_000
_UNSURE_RECEIPTS = 5
"""How often a receipt is sent to a unit of which it is not known whether it waits for one."""
_LAST_RECEIPT_S = 7 * 24 * 3600
"""So long does the broker keep a receipt that is not sent again: as long as it keeps a unit's session by default."""


class Publish(Protocol):
    """How messages leave; `Bus.publish`."""

    def __call__(self, topic: str, payload: bytes, expiry_s: int) -> Awaitable[None]:
        """Publish at QoS 1 and wait for the acknowledgement."""
        ...


@dataclass(frozen=True, slots=True)
class CommandOrder:
    """What an operator wants of a unit.

    Attributes:
        unit_id: the unit.
        cmd: a name of `contract.commands`.
        params: its parameters as JSON types.
        operator: who gives it.
        role: by what role.
        reference: of the requisition; needed for footage.
        purpose: why; needed for footage.
        lifetime_s: how long the command may wait for the unit; None takes the longest that is usual.
    """

    unit_id: str
    cmd: str
    params: dict[str, Any]
    operator: str
    role: Role = "operator"
    reference: str | None = None
    purpose: str | None = None
    lifetime_s: int | None = None


class Commander:
    """Signs, stores, sends and follows."""

    def __init__(
        self, registry: Registry, key: SigningKey, prefix: str, publish: Publish, feed: Feed, clock: Clock
    ) -> None:
        self._registry = registry
        self._key = key
        self._prefix = prefix
        self._publish = publish
        self._feed = feed
        self._clock = clock
        self._wake = asyncio.Event()
        self._offset_us: int | None = None

    def wake(self) -> None:
        """Look for due messages now: something was stored, or the broker is back."""
        self._wake.set()

    async def issue(self, order: CommandOrder) -> CommandRecord:
        """Sign and store a command; it is on its way when this returns.

        Raises:
            RequestRefusedError: an unknown command, bad parameters, no reference, or too long.
            RegistryError: it could not be stored.
        """
        now_us = self._clock.wall_us()
        claims = _claims_of(order, now_us)
        token = self._key.sign("command", claims.to_object())
        if len(token) > MAX_MESSAGE_BYTES:
            raise RequestRefusedError("too-large", f"the signed command has {len(token)} bytes, at most 16000 pass")
        command = NewCommand(
            command_id=claims.jti,
            unit_id=order.unit_id,
            cmd=order.cmd,
            params=claims.params,
            operator=order.operator,
            role=order.role,
            reference=order.reference,
            purpose=order.purpose,
            token=token,
            issued_us=now_us,
            expires_us=claims.exp * 1_000_000,
        )
        record = await self._registry.run(stored_commands.add_command, command)
        self._announce(record)
        self.wake()
        return record

    async def on_reply(self, reply: Reply) -> None:
        """Follow a unit's reply."""
        now_us = self._clock.wall_us()
        follow_up_us = now_us + round(delay_s(1, _FOLLOW_UP_S, _FOLLOW_UP_CAP_S) * 1e6)
        record = await self._registry.run(stored_commands.apply_reply, reply, now_us, follow_up_us)
        if record is not None:
            self._announce(record)
            self.wake()

    async def on_online(self, unit_id: str) -> None:
        """The unit came back: what it may have missed is sent at once."""
        now_us = self._clock.wall_us()
        await self._registry.run(stored_commands.hasten, unit_id, now_us)
        await self._registry.run(stored_clips.hasten_receipts, unit_id, now_us)
        self.wake()

    async def run(self) -> None:
        """Send what is due until cancelled; a registry that fails is tried again."""
        failures = 0
        while True:
            try:
                self._wake.clear()
                await self._look_at_clock()
                await self._send_due()
                await self._idle()
                failures = 0
            except RegistryError as error:
                if failures == 0:
                    _log.warning("commands wait: %s", error)
                failures += 1
                await self._clock.async_sleep(delay_s(failures, 1.0, _ONLINE_CAP_S))

    async def _look_at_clock(self) -> None:
        """After a step of the clock, what depends on the time that it showed before is looked at anew."""
        now_us = self._clock.wall_us()
        offset_us, before_us = now_us - self._clock.monotonic_us(), self._offset_us
        if before_us is None or abs(offset_us - before_us) > _STEP_US:
            # At the start, what a former life put off for an hour at most stays put off.
            after_us = now_us + (round(_ABSENT_CAP_S * 1e6) if before_us is None else 0)
            for record in await self._registry.run(stored_commands.hasten_all, now_us, after_us):
                self._announce(record)
            await self._registry.run(stored_clips.hasten_all_receipts, now_us, after_us)
        self._offset_us = offset_us

    async def _send_due(self) -> None:
        now_us = self._clock.wall_us()
        for command in await self._registry.run(stored_commands.due_commands, now_us):
            await self._send_command(command)
        for receipt in await self._registry.run(stored_clips.due_receipts, now_us):
            await self._send_receipt(receipt)

    async def _idle(self) -> None:
        """Wait until something is due or stored."""
        times_us = [
            await self._registry.run(stored_commands.next_command_us),
            await self._registry.run(stored_clips.next_receipt_us),
        ]
        due_us = min((time_us for time_us in times_us if time_us is not None), default=None)
        idle_s = _MAX_IDLE_S if due_us is None else (due_us - self._clock.wall_us()) / 1e6
        try:
            async with asyncio.timeout(min(_MAX_IDLE_S, max(0.0, idle_s))):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _send_command(self, command: DueCommand) -> None:
        now_us = self._clock.wall_us()
        if now_us >= command.expires_us:
            self._announce(await self._registry.run(stored_commands.expire, command.command_id))
            return
        wait_s = await self._resend_delay_s(command)
        next_us = min(now_us + round(wait_s * 1e6), command.expires_us)
        topic = Topics(self._prefix, command.unit_id).down("command")
        try:
            await self._publish(topic, command.token.encode(), _expiry_s(now_us, next_us))
        except BrokerError as error:
            _log.debug("command %s stays in hand: %s", command.command_id, error)
            retry_us = now_us + round(delay_s(1, _FIRST_RESEND_S, _FIRST_RESEND_S) * 1e6)
            await self._registry.run(stored_commands.postpone, command.command_id, retry_us)
        else:
            await self._registry.run(stored_commands.mark_sent, command.command_id, next_us)

    async def _resend_delay_s(self, command: DueCommand) -> float:
        if command.state != "waiting":
            return delay_s(command.sent + 1, _FOLLOW_UP_S, _FOLLOW_UP_CAP_S)
        online = await self._registry.run(stored_units.is_online, command.unit_id)
        return delay_s(command.sent + 1, _FIRST_RESEND_S, _ONLINE_CAP_S if online else _ABSENT_CAP_S)

    async def _send_receipt(self, due: DueReceipt) -> None:
        now_us = self._clock.wall_us()
        is_open = await self._registry.run(stored_clips.is_request_open, due.unit_id, due.clip_id)
        if is_open is False and due.sent > 0:
            await self._registry.run(stored_clips.end_receipts, due.unit_id, due.clip_id)
            return
        next_us = now_us + round(delay_s(due.sent + 1, _FIRST_RESEND_S, _ABSENT_CAP_S) * 1e6)
        is_last = is_open is not True and due.sent + 1 >= (_UNSURE_RECEIPTS if is_open is None else 1)
        expiry_s = _LAST_RECEIPT_S if is_last else _expiry_s(now_us, next_us)
        topic = Topics(self._prefix, due.unit_id).down("receipt")
        try:
            await self._publish(topic, due.receipt.encode(), expiry_s)
        except BrokerError as error:
            _log.debug("receipt of clip %s stays in hand: %s", due.clip_id, error)
            await self._registry.run(stored_clips.postpone_receipt, due.unit_id, due.clip_id, now_us + 2_000_000)
        else:
            await self._registry.run(
                stored_clips.mark_receipt_sent, due.unit_id, due.clip_id, None if is_last else next_us
            )

    def _announce(self, record: CommandRecord) -> None:
        self._feed.publish({"kind": "command"} | record.to_object())


def _expiry_s(now_us: int, next_us: int) -> int:
    return max(1, (next_us - now_us) // 1_000_000 + 1)


def _claims_of(order: CommandOrder, now_us: int) -> CommandClaims:
    model = DURABLE.get(order.cmd) or EPHEMERAL.get(order.cmd)
    if model is None:
        raise RequestRefusedError("unknown-command", f"no command {order.cmd!r:.60} is known; there are: {_names()}")
    if order.role not in ROLES[order.cmd]:
        raise RequestRefusedError("not-authorised", f"the role {order.role} may not give {order.cmd}", 403)
    if order.cmd in NEEDS_REFERENCE and not (order.reference and order.purpose):
        missing = "purpose" if order.reference else "reference"
        raise RequestRefusedError(
            "parameters-invalid", f"{missing}: {order.cmd} touches footage: give a reference and a purpose"
        )
    longest_s = MAX_EPHEMERAL_S if order.cmd in EPHEMERAL else MAX_LIFETIME_S
    lifetime_s = min(longest_s, order.lifetime_s or longest_s)
    issued_s = now_us // 1_000_000
    try:
        params = model.from_object(order.params).to_object()
        return CommandClaims(
            iss=ISSUER,
            aud=order.unit_id,
            jti=make_uuid7(now_us),
            iat=issued_s,
            exp=issued_s + max(1, lifetime_s),
            sub=order.operator,
            role=order.role,
            cmd=order.cmd,
            params=params,
            reference=order.reference,
            purpose=order.purpose,
        )
    except ContractError as error:
        raise RequestRefusedError("parameters-invalid", _words_of(error)) from error
    except ValidationError as error:
        raise RequestRefusedError("parameters-invalid", first_problem(error)) from error


def _words_of(error: ContractError) -> str:
    """The first problem by its field's name alone: the model's name says nothing to who gives a command."""
    cause = error.__cause__
    return first_problem(cause) if isinstance(cause, ValidationError) else str(error)


def _names() -> str:
    return ", ".join(sorted((*DURABLE, *EPHEMERAL)))
