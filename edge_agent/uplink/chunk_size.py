"""How much one PATCH carries.

An ingest syncs before it answers, and the link is idle meanwhile: over a fast link many small requests would spend
most of their time waiting. Over a slow one a large request would keep an urgent clip waiting. So a request carries
what the link lately took in two seconds, and never less than the settings say. How much is sent twice after a cut
does not depend on it: the ingest keeps what came of a request.

Proxies take no request beyond a limit of theirs (nginx: 1 MB unless told otherwise; common: 100 MB). Whoever answers
413 to a request that grew gets none that is larger than the settings say. Some hang up instead: when a request that
grew was interrupted, no further one of the clip is more than half as large.
"""

from edge_agent.clock import Clock

_REQUEST_S = 2.0
_MAX_BYTES = 1_000_000_000
_GROWTH = 16


class ChunkSize:
    """The size of the next chunk of a transfer."""

    def __init__(self, least_bytes: int, clock: Clock) -> None:
        self._least_bytes = least_bytes
        self._clock = clock
        self._size_bytes = least_bytes
        self._max_bytes = max(least_bytes, _MAX_BYTES)
        self._began_us = 0

    def begin(self) -> int:
        """A request begins: how much it should carry."""
        self._began_us = self._clock.monotonic_us()
        return self._size_bytes

    def end(self, sent_bytes: int) -> None:
        """The request was answered."""
        seconds = max(self._clock.monotonic_us() - self._began_us, 1000) / 1e6
        wanted_bytes = round(sent_bytes / seconds * _REQUEST_S)
        ceiling_bytes = min(self._size_bytes * _GROWTH, self._max_bytes)
        self._size_bytes = min(max(wanted_bytes, self._least_bytes), ceiling_bytes)

    def too_large(self) -> bool:
        """A request was refused for its size: whether a smaller one is worth trying; none is larger from now on."""
        was_larger = self._size_bytes > self._least_bytes
        self._size_bytes = self._max_bytes = self._least_bytes
        return was_larger

    def interrupted(self) -> None:
        """The link failed: begin small again."""
        if self._size_bytes > self._least_bytes:
            self._max_bytes = max(self._size_bytes // 2, self._least_bytes)
        self._size_bytes = self._least_bytes
