"""A pace at work: looks at the connection ten times a second while a request's body is sent, and sets its rate."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from edge_agent.clock import Clock
from edge_agent.uplink import tcp_info
from edge_agent.uplink.pacing import TICK_S, Pace, Way

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Ways:
    """The ways to all ingests of a unit, and what all uploads together may send.

    Attributes:
        clock: dates what is seen.
        most_bytes_per_s: of all uploads together; None for no cap.
    """

    clock: Clock
    most_bytes_per_s: float | None = None
    _by_origin: dict[str, Way] = field(default_factory=dict)
    _sending: int = 0

    def to(self, origin: str) -> Way:
        """The way to an ingest, known by its origin: the settings allow only so many."""
        return self._by_origin.setdefault(origin, Way())

    @contextmanager
    def sender(self) -> Iterator[None]:
        """One more shares the cap for as long as the block takes."""
        self._sending += 1
        try:
            yield
        finally:
            self._sending -= 1

    def capped(self, rate_bytes_per_s: float | None) -> float | None:
        """A sender's rate, its share of the cap at most."""
        if self.most_bytes_per_s is None:
            return rate_bytes_per_s
        share = self.most_bytes_per_s / max(self._sending, 1)
        return share if rate_bytes_per_s is None else min(rate_bytes_per_s, share)


class PacedSending:
    """Paces the connections of one transfer, one after another."""

    def __init__(self, ways: Ways, origin: str) -> None:
        self._ways = ways
        self._pace = Pace(ways.to(origin))
        self._transport: asyncio.WriteTransport | None = None
        self._limit: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def request(self) -> Iterator["PacedSending"]:
        """A request's body is sent within the block; `begin` says over which connection."""
        with self._ways.sender():
            try:
                yield self
            finally:
                if self._timer is not None:
                    self._timer.cancel()

    def begin(self, transport: asyncio.WriteTransport) -> None:
        """The first byte is about to be sent."""
        if transport is self._transport:
            self._pace.pause()
        else:
            self._transport, self._limit = transport, None
            self._pace.begin(self._ways.clock.monotonic_us())
        self._apply(self._pace.rate_bytes_per_s)
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        connection = self._connection()
        if connection is None:
            return
        try:
            sight = tcp_info.see(connection, self._ways.clock.monotonic_us())
            if sight is not None:
                self._apply(self._pace.look(sight))
        except OSError as error:  # the connection is gone, of which its request hears by itself
            _log.debug("an upload is not paced any more: %s", error)
            return
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _apply(self, rate_bytes_per_s: float | None) -> None:
        wanted, connection = self._ways.capped(rate_bytes_per_s), self._connection()
        if wanted != self._limit and connection is not None:
            tcp_info.limit(connection, wanted)
            self._limit = wanted

    def _connection(self) -> tcp_info.TcpSocket | None:
        """None when it is closed: whoever sends hears of that by itself."""
        if self._transport is None or self._transport.is_closing():
            return None
        connection: tcp_info.TcpSocket | None = self._transport.get_extra_info("socket")
        return connection
