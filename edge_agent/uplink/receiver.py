"""What arrives on `down/…`, in order: handled (a durable command is stored by then), then acknowledged."""

import logging
from collections.abc import Mapping
from typing import Protocol

from edge_agent.errors import LedgerError
from edge_agent.uplink.session import Session
from edge_agent.uplink.wire import Inbound

logger = logging.getLogger(__name__)


class MessageHandler(Protocol):
    """Handles the messages of one topic."""

    async def handle(self, message: Inbound) -> None:
        """Do what has to be done before the message may be acknowledged.

        Raises:
            LedgerError: the database refused; the sender sends again.
        """
        ...


class Receiver:
    """Reads the session for ever."""

    def __init__(self, session: Session, handlers: Mapping[str, MessageHandler]) -> None:
        """`handlers` are found by the full topic."""
        self._session = session
        self._handlers = handlers

    async def run(self) -> None:
        """Handle message after message; ends by cancellation."""
        async for message in self._session.messages():
            handler = self._handlers.get(message.topic)
            try:
                if handler is not None:
                    await handler.handle(message)
            except LedgerError as error:
                logger.warning(
                    "a message on %s was not taken in, its sender sends it again: %s", message.topic, error
                )
            # Nothing is awaited between a command's storage and this: its task has not begun yet.
            self._session.acknowledge(message)
