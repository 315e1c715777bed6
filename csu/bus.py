"""The centre's MQTT session: connects again with capped, jittered delays; stores each message before its receipt."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from paho.mqtt import client as mqtt

from csu.backoff import delay_s
from csu.errors import BrokerError, RegistryError
from csu.mqtt_connection import BusSettings, Connection, Message
from edge_agent.clock import Clock

_log = logging.getLogger(__name__)

_FIRST_RETRY_S = 0.2
_MAX_RETRY_S = 30.0
_REPORT_INTERVAL_US = 60_000_000


class Bus:
    """One durable session (`clean_start` off): what units say while the centre is away waits at the broker."""

    def __init__(
        self,
        settings: BusSettings,
        topics: tuple[str, ...],
        handle: Callable[[Message], Awaitable[None]],
        on_connected: Callable[[], None],
        clock: Clock,
        retained_topics: tuple[str, ...] = (),
        on_link: Callable[[bool], None] = lambda _is_up: None,
        wished_topics: tuple[str, ...] = (),
    ) -> None:
        """Prepare; `run` connects.

        Args:
            settings: where the broker is.
            topics: subscriptions to what is said once: it waits at the broker while we are away.
            handle: stores one message; the message is acknowledged once it returned.
            on_connected: called on the event loop whenever publishing works again.
            clock: for the delays between attempts.
            retained_topics: subscriptions to what the broker retains: the newest comes with each connection, so that
                nothing has to wait (QoS 0). What matches `topics` too is theirs.
            on_link: called on the event loop: True before a connection's first message, False at its end.
            wished_topics: subscriptions at QoS 0 that a broker may refuse.
        """
        self._settings = settings
        self._topics = topics
        self._subscriptions = [(topic, 1) for topic in topics] + [(topic, 0) for topic in retained_topics]
        self._handle = handle
        self._on_connected = on_connected
        self._clock = clock
        self._on_link = on_link
        self._wished_topics = wished_topics
        self._connection: Connection | None = None
        self._problem = ""
        self._reported_us = 0
        self._unreported = 0

    @property
    def is_connected(self) -> bool:
        """Whether messages can be published now."""
        return self._connection is not None

    async def publish(self, topic: str, payload: bytes, expiry_s: int) -> None:
        """Publish at QoS 1; returns once the broker acknowledged.

        Raises:
            BrokerError: not connected, refused, or no answer.
        """
        if self._connection is None:
            raise BrokerError(f"{self._settings.url}: not connected")
        await self._connection.publish(topic, payload, expiry_s)

    async def run(self) -> None:
        """Keep a connection until cancelled."""
        failures = 0
        while True:
            try:
                failures = await self._run_connection(failures)
            except (BrokerError, RegistryError) as error:
                self._report(str(error))
                failures += 1
            await self._clock.async_sleep(delay_s(failures, _FIRST_RETRY_S, _MAX_RETRY_S))

    async def _run_connection(self, failures: int) -> int:
        """One connection until it ends; the failures in a row to count on from."""
        connection = Connection(self._settings)
        try:
            await connection.open()
            self._on_link(True)
            await self._serve(connection)
        except BrokerError as error:
            if self._connection is None:
                raise
            self._report(str(error))
            return 1
        finally:
            self._connection = None
            self._on_link(False)
            await connection.close()
        return failures

    async def _serve(self, connection: Connection) -> None:
        """Begin and receive until the connection or the store fails.

        Messages are stored from the first on: a session that was kept brings its own ahead of the subscription's
        answer, as many as the broker likes, and those that nobody takes hold the answer back.
        """
        tasks = [asyncio.create_task(self._begin(connection)), asyncio.create_task(self._receive(connection))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _begin(self, connection: Connection) -> None:
        for topic, qos in self._subscriptions:
            await connection.subscribe(topic, qos)
        for topic in self._wished_topics:
            await connection.wish(topic)
        self._connection = connection
        _log.info("MQTT: connected to %s", self._settings.url)
        self._on_connected()

    def _report(self, problem: str) -> None:
        """Say what is wrong: at once when it is something else, once a minute while it stays."""
        now_us = self._clock.monotonic_us()
        self._unreported += 1
        if problem == self._problem and now_us - self._reported_us < _REPORT_INTERVAL_US:
            return
        _log.warning("MQTT: %s; trying again (%d since last said)", problem, self._unreported)
        self._problem, self._reported_us, self._unreported = problem, now_us, 0

    def _is_copy(self, message: Message) -> bool:
        """What matches both kinds of subscriptions comes for each (MQTT 5 §3.3.4); the copy at QoS 0 is left out."""
        return message.qos == 0 and any(mqtt.topic_matches_sub(topic, message.topic) for topic in self._topics)

    async def _receive(self, connection: Connection) -> None:
        while True:
            message = await connection.receive()
            # A storage failure ends the connection unacknowledged: the broker then delivers again.
            if not self._is_copy(message):
                await self._handle(message)
            connection.acknowledge(message)
