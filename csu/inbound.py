"""What units say: read strictly, stored, handed on. What cannot be read is counted and never stops anything."""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from csu import stored_said, stored_units
from csu.alarm_book import AlarmBook
from csu.commander import Commander
from csu.errors import RegistryError
from csu.feed import Feed
from csu.fleet import Fleet
from csu.keys import KeyStore
from csu.mqtt_connection import Message
from csu.records import StateTopic
from csu.registry import Registry
from edge_agent.clock import Clock
from edge_agent.contract.errors import ContractError
from edge_agent.contract.messages import Alarms, Coverage, Event, Health, History, Position, Reply, Status
from edge_agent.contract.model import ContractModel
from edge_agent.contract.names import unit_of_topic
from edge_agent.contract.times import format_utc

_log = logging.getLogger(__name__)

_COUNT_INTERVAL_S = 0.5
"""Nonsense is counted in memory and stored so often: if it cost what a word costs, it would hold words up."""
_MAX_COMPLAINTS = 1000
"""Units and topics that are complained of in the log; a unit may make up topics."""

Owned = TypeVar("Owned", Status, Event, Reply, History)

_STATES: Mapping[str, type[ContractModel]] = {
    "up/status": Status,
    "up/position": Position,
    "up/health": Health,
    "up/coverage": Coverage,
    "up/alarms": Alarms,
}


class Inbound:
    """Handles one message after another; returns once what it says is on disk."""

    def __init__(
        self,
        registry: Registry,
        commander: Commander,
        keys: KeyStore,
        feed: Feed,
        fleet: Fleet,
        alarms: AlarmBook,
        prefix: str,
        clock: Clock,
    ) -> None:
        self._registry = registry
        self._commander = commander
        self._keys = keys
        self._feed = feed
        self._fleet = fleet
        self._alarms = alarms
        self._prefix = prefix
        self._clock = clock
        self._complained: set[str] = set()
        self._ignored: Counter[str] = Counter()
        self._counting: asyncio.Task[None] | None = None
        self.strangers = 0
        """Messages of units that are not enrolled, or under no unit's topics, since the start."""

    async def handle(self, message: Message) -> None:
        """Store one message.

        Raises:
            RegistryError: it could not be stored; it must not be acknowledged.
        """
        parts = unit_of_topic(self._prefix, message.topic)
        if parts is None or self._keys.unit_jwks(parts[0]) is None:
            self.strangers += 1
            return
        unit_id, name = parts
        try:
            await self._take(unit_id, name, message)
        except ValueError as error:  # a ContractError, or what no text can hold: an instant beyond the calendar
            self._ignore(unit_id, name, str(error)[:300])

    async def _take(self, unit_id: str, name: str, message: Message) -> None:
        payload = message.payload
        if name in _STATES:
            await self._take_state(unit_id, name, _STATES[name].from_json(payload), message.is_retained)
            return
        if name == "up/reply":
            reply = _own(Reply.from_json(payload), unit_id)
            self._feed.publish({"kind": "reply"} | reply.to_object())
            await self._commander.on_reply(reply)
        elif name == "up/event":
            await self._take_event(_own(Event.from_json(payload), unit_id))
        elif name == "up/history":
            history = _own(History.from_json(payload), unit_id)
            await self._registry.run(stored_said.keep_history, history, self._clock.wall_us())
        else:
            raise ContractError(f"topic {name!r:.60} is not one of the contract")
        self._fleet.hear(unit_id, None)

    async def _take_event(self, event: Event) -> None:
        body = event.to_object()
        now_us = self._clock.wall_us()
        changes = await self._registry.run(stored_said.keep_event, event, body, now_us)
        if changes is not None:
            self._feed.publish({"kind": "event"} | body)
            self._alarms.take(changes)

    async def _take_state(self, unit_id: str, name: str, model: ContractModel, is_retained: bool) -> None:
        if isinstance(model, Status):
            _own(model, unit_id)
        topic = cast("StateTopic", name.removeprefix("up/"))
        now_us = self._clock.wall_us()
        body = model.to_object()
        kept = await self._registry.run(stored_said.keep_state, unit_id, topic, model, body, now_us, is_retained)
        self._fleet.hear(unit_id, model, is_retained=is_retained, is_new=kept.is_new, first_us=kept.heard_us)
        if kept.alarms is not None:
            self._alarms.take(kept.alarms)
        if kept.is_new:
            self._feed.publish(_item(topic, unit_id, now_us, body))
        if kept.is_new and isinstance(model, Status) and model.state == "online":
            await self._commander.on_online(unit_id)

    def _ignore(self, unit_id: str, name: str, problem: str) -> None:
        place = f"{unit_id} {name!r:.60}"
        if place not in self._complained and len(self._complained) < _MAX_COMPLAINTS:
            self._complained.add(place)
            _log.warning("%s: a body is ignored, and so are further ones: %s", place, problem)
        self._ignored[unit_id] += 1
        if self._counting is None:
            self._counting = asyncio.create_task(self._count(), name="count of what is ignored")

    async def _count(self) -> None:
        """Store the count a moment later, with what comes meanwhile; until the next one where that is refused."""
        await self._clock.async_sleep(_COUNT_INTERVAL_S)
        self._counting = None
        counts, self._ignored = self._ignored, Counter()
        try:
            await self._registry.run(stored_units.count_ignored, counts)
        except RegistryError as error:
            self._ignored.update(counts)
            _log.warning("what was ignored is counted later: %s", error)


def _own(model: Owned, unit_id: str) -> Owned:
    if model.unit_id != unit_id:
        raise ContractError(f"the body speaks for {model.unit_id}, the topic is {unit_id}'s")
    return model


def _item(topic: str, unit_id: str, now_us: int, body: dict[str, Any]) -> dict[str, Any]:
    return {"kind": topic, "unit_id": unit_id, "at": format_utc(now_us), "body": body}
