"""Sees to it that a ring's socket is listened on."""

import logging

from edge_agent.buffer.server import RingServer
from edge_agent.clock import Clock
from edge_agent.retry import backoff_s, jittered

logger = logging.getLogger(__name__)

_LISTEN_WAIT = jittered(1.0, 30.0)


class Doorkeeper:
    """Has the ring's socket listened on. While that cannot be done, footage is recorded and nobody can ask for it."""

    def __init__(self, server: RingServer, clock: Clock) -> None:
        self._server = server
        self._clock = clock
        self._is_open = False
        self._failures = 0
        self._again_us = 0

    async def keep_open(self) -> None:
        """Try to listen, unless it is done already or the last failure is too young."""
        if self._is_open or self._clock.monotonic_us() < self._again_us:
            return
        try:
            await self._server.start()
        except OSError as error:
            self._failures += 1
            self._again_us = self._clock.monotonic_us() + round(backoff_s(_LISTEN_WAIT, self._failures) * 1e6)
            if self._failures == 1:
                logger.error("cannot listen on %s: %s; recording goes on", self._server.socket_path, error)  # noqa: TRY400 -- expected of a full or read-only disk, no defect
            return
        self._is_open = True
        if self._failures:
            logger.info("listening on %s now", self._server.socket_path)
