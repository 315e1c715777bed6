"""gpsd as a source of reports: one TCP connection after another, for ever (gpsd_json(5)).

gpsd greets with VERSION; only then it is asked to WATCH. Whatever else stands behind the port is told by its first
line. A line is at most `MAX_LINE_BYTES`; garbage is counted by whoever listens, and too much of it, or a flood, ends
the connection. Nothing that comes over it ends the client.
"""

import asyncio
import contextlib
import logging
from typing import Protocol

from edge_agent.clock import Clock
from edge_agent.errors import ReceiverUnavailableError, ReportError
from edge_agent.position.lookup import Lookup
from edge_agent.position.reports import Report, Version, read_report
from edge_agent.retry import backoff_s, jittered

logger = logging.getLogger(__name__)

MAX_LINE_BYTES = 131_072
"""A SKY of 255 satellites has some 30 kB."""
CONNECT_TIMEOUT_S = 5.0
GREETING_TIMEOUT_S = 5.0
SILENCE_TIMEOUT_S = 20.0
"""A gpsd that has a receiver reports every second; one without any is asked anew so often."""
MAX_BAD_LINES = 20
"""In a row: then it is no gpsd that talks, or a broken one."""
MAX_LINES_PER_S = 500
MAX_BYTES_PER_S = 2_000_000
"""Ten such SKY a second are a sixth of it; reading JSON takes time that the rest of the link needs."""

_WATCH = b'?WATCH={"enable":true,"json":true,"pps":true};\n'
_WAIT = jittered(1.0, 10.0)
_WORKED_US = 30_000_000


class ReportSink(Protocol):
    """Who listens; every call returns at once."""

    def on_report(self, report: Report, arrived_us: int) -> None:
        """A report came at a monotonic instant."""
        ...

    def on_bad_line(self, reason: str) -> None:
        """A line came that is no report."""
        ...

    def on_gone(self, reason: str) -> None:
        """There is no connection, or it ended; called after every attempt."""
        ...


class GpsdClient:
    """Connects to gpsd for ever.

    Args:
        host: where it runs.
        port: its TCP port.
        sink: gets what it says.
        clock: dates arrivals, and lets time pass between attempts.
        silence_timeout_s: a connection that is silent for longer is given up.
        lookup: finds the host's addresses; the system's when None.
    """

    def __init__(
        self,
        host: str,
        port: int,
        sink: ReportSink,
        clock: Clock,
        silence_timeout_s: float = SILENCE_TIMEOUT_S,
        lookup: Lookup | None = None,
    ) -> None:
        self._place = f"gpsd at {host}:{port}"
        self._port = port
        self._lookup = lookup or Lookup(host, port)
        self._sink = sink
        self._clock = clock
        self._silence_timeout_s = silence_timeout_s

    async def run(self) -> None:
        """One connection after another, until cancelled."""
        failures = 0
        while True:
            begun_us = self._clock.monotonic_us()
            try:
                await self._attempt()
            except ReceiverUnavailableError as error:
                self._sink.on_gone(str(error))
            lasted = self._clock.monotonic_us() - begun_us > _WORKED_US
            failures = 1 if lasted else failures + 1
            await self._clock.async_sleep(backoff_s(_WAIT, failures))

    async def _attempt(self) -> None:
        """One connection to its end, which is always an error."""
        place = self._place
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                reader, writer = await self._connect()
        except (OSError, TimeoutError) as error:
            raise ReceiverUnavailableError(f"{place} cannot be reached: {_words(error)}") from error
        try:
            await self._listen(reader, writer)
        except ReceiverUnavailableError as error:
            raise ReceiverUnavailableError(f"{place}: {error}") from error
        except asyncio.IncompleteReadError as error:
            raise ReceiverUnavailableError(f"{place} closed the connection") from error
        except OSError as error:
            raise ReceiverUnavailableError(f"{place}: {_words(error)}") from error
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """To the first of its addresses that answers."""
        *others, last = await self._lookup.addresses()
        for address in others:
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(address, self._port, limit=MAX_LINE_BYTES)
        return await asyncio.open_connection(last, self._port, limit=MAX_LINE_BYTES)

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greeting = await self._line(reader, min(GREETING_TIMEOUT_S, self._silence_timeout_s))
        try:
            version = read_report(greeting)
        except ReportError as error:
            raise ReceiverUnavailableError(f"what answers is no gpsd: {error}") from error
        if not isinstance(version, Version):
            raise ReceiverUnavailableError("what answers is no gpsd: its first line is no VERSION")
        self._sink.on_report(version, self._clock.monotonic_us())
        writer.write(_WATCH)
        await writer.drain()
        await self._take_lines(reader)

    async def _take_lines(self, reader: asyncio.StreamReader) -> None:
        bad_lines, lines, size_bytes, since_us = 0, 0, 0, self._clock.monotonic_us()
        while True:
            line = await self._line(reader, self._silence_timeout_s)
            now_us = self._clock.monotonic_us()
            bad_lines = 0 if self._take(line, now_us) else bad_lines + 1
            if bad_lines >= MAX_BAD_LINES:
                raise ReceiverUnavailableError(f"{bad_lines} lines in a row that are no reports")
            lines, size_bytes = lines + 1, size_bytes + len(line)
            if now_us - since_us >= 1_000_000:
                lines, size_bytes, since_us = 0, 0, now_us
            elif lines > MAX_LINES_PER_S:
                raise ReceiverUnavailableError(f"over {MAX_LINES_PER_S} lines a second")
            elif size_bytes > MAX_BYTES_PER_S:
                raise ReceiverUnavailableError(f"over {MAX_BYTES_PER_S // 1_000_000} MB a second")

    def _take(self, line: bytes, now_us: int) -> bool:
        try:
            self._sink.on_report(read_report(line), now_us)
        except ReportError as error:
            self._sink.on_bad_line(str(error))
            return False
        return True

    async def _line(self, reader: asyncio.StreamReader, timeout_s: float) -> bytes:
        try:
            async with asyncio.timeout(timeout_s):
                return await reader.readuntil(b"\n")
        except TimeoutError as error:
            raise ReceiverUnavailableError(f"silent for {timeout_s:.0f} s") from error
        except asyncio.LimitOverrunError as error:
            raise ReceiverUnavailableError(f"a line of over {MAX_LINE_BYTES} bytes") from error


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
