"""How far a transfer is, and when it is expected to end."""

from collections import deque

from edge_agent.clock import Clock
from edge_agent.contract.messages import Progress

_WINDOW_S = 60.0
_MAX_SAMPLES = 256


class ProgressMeter:
    """Rate of what the ingest acknowledged, over the last minute."""

    def __init__(self, total_bytes: int, clock: Clock) -> None:
        self._total_bytes = total_bytes
        self._clock = clock
        self._samples: deque[tuple[int, int]] = deque(maxlen=_MAX_SAMPLES)

    def begin(self, sent_bytes: int) -> None:
        """Sending begins, or begins again: time that passed without a connection is no measure of the link."""
        self._samples.clear()
        self._samples.append((self._clock.monotonic_us(), sent_bytes))

    def reached(self, sent_bytes: int) -> Progress:
        """The ingest holds so many bytes of the clip."""
        now_us = self._clock.monotonic_us()
        self._samples.append((now_us, sent_bytes))
        while len(self._samples) > 2 and now_us - self._samples[0][0] > _WINDOW_S * 1e6:
            self._samples.popleft()
        return Progress(
            sent_bytes=sent_bytes, total_bytes=self._total_bytes, expected_end_us=self._expected_end_us(sent_bytes)
        )

    def _expected_end_us(self, sent_bytes: int) -> int | None:
        (first_us, first_bytes), (last_us, _) = self._samples[0], self._samples[-1]
        if last_us <= first_us or sent_bytes <= first_bytes:
            return None
        rate = (sent_bytes - first_bytes) / (last_us - first_us)
        return self._clock.wall_us() + round((self._total_bytes - sent_bytes) / rate)
