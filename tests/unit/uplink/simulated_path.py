"""A TCP connection over a bottleneck, simulated packet by packet: what a pace sees, and what it does.

TCP is Reno with slow start, losses mended after a round trip; the bottleneck drops what its queue does not hold. The
round trip is smoothed as in RFC 6298.
"""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from edge_agent.uplink.pacing import TICK_S, Pace, Sight

MSS_BYTES = 1448
_STEP_US = 1_000

Figure = Callable[[float], float]
"""A quantity over time, in seconds since the beginning."""


def always(value: float) -> Figure:
    return lambda _: value


@dataclass(slots=True)
class Path:
    """The way: what it carries, how long it is, how much it queues and loses.

    Attributes:
        rate_bytes_per_s: of the bottleneck.
        delay_s: there and back, without the queue.
        queue_s: at most so long is the queue.
        loss: share of packets that are lost on the way.
        jitter_s: mean of what is added to each round trip, by chance.
    """

    rate_bytes_per_s: Figure
    delay_s: Figure = field(default_factory=lambda: always(0.08))
    queue_s: float = 0.4
    loss: float = 0.0
    jitter_s: float = 0.0


@dataclass(slots=True)
class Seen:
    """What the simulation was like: a line a tick."""

    at_s: list[float] = field(default_factory=list)
    queue_s: list[float] = field(default_factory=list)
    delivered_bytes: list[int] = field(default_factory=list)
    rate_bytes_per_s: list[float | None] = field(default_factory=list)

    def goodput(self, from_s: float, to_s: float) -> float:
        """Bytes a second between two instants."""
        first = next(number for number, at_s in enumerate(self.at_s) if at_s >= from_s)
        last = max(number for number, at_s in enumerate(self.at_s) if at_s <= to_s)
        return (self.delivered_bytes[last] - self.delivered_bytes[first]) / (self.at_s[last] - self.at_s[first])

    def queues(self, from_s: float, to_s: float) -> list[float]:
        """The queue's lengths between two instants, shortest first."""
        return sorted(
            queue_s for at_s, queue_s in zip(self.at_s, self.queue_s, strict=True) if from_s <= at_s <= to_s
        )


@dataclass(slots=True)
class Connection:
    """One sender with more to send than the path takes."""

    pace: Pace | None
    window_packets: float = 10.0
    threshold_packets: float = 1e9
    in_flight: int = 0
    acknowledged_bytes: int = 0
    rtt_us: float = 0.0
    least_rtt_us: float = 0.0
    variation_us: float = 0.0
    credit_bytes: float = 0.0
    arriving: deque[tuple[float, float, bool]] = field(default_factory=deque)
    cut_at_s: float = -1.0

    def may_send(self) -> bool:
        return self.in_flight < self.window_packets and self.credit_bytes >= MSS_BYTES

    def earn(self, step_s: float) -> None:
        rate = self.pace.rate_bytes_per_s if self.pace is not None else None
        if rate is None:
            self.credit_bytes = 1e9
        else:
            self.credit_bytes = min(self.credit_bytes + rate * step_s, 2 * MSS_BYTES + rate * step_s)

    def hear(self, sent_s: float, now_s: float, was_lost: bool) -> None:
        self.in_flight -= 1
        sample_us = (now_s - sent_s) * 1e6
        if was_lost:
            if sent_s > self.cut_at_s:
                self.threshold_packets = self.window_packets = max(self.window_packets * 0.7, 2.0)
                self.cut_at_s = now_s
            return
        self.acknowledged_bytes += MSS_BYTES
        self.least_rtt_us = min(self.least_rtt_us, sample_us)
        self.variation_us += (abs(sample_us - self.rtt_us) - self.variation_us) / 4
        self.rtt_us += (sample_us - self.rtt_us) / 8
        if self.in_flight + 2 >= self.window_packets / 2:
            grows = self.window_packets < self.threshold_packets
            self.window_packets += 1.0 if grows else 1.0 / self.window_packets

    def sight(self, now_us: int) -> Sight:
        return Sight(
            now_us,
            round(self.rtt_us),
            round(self.least_rtt_us),
            round(self.variation_us),
            self.acknowledged_bytes,
            MSS_BYTES,
            True,
        )


def simulate(path: Path, paces: list[Pace | None], seconds: float, seed: int = 1) -> list[Seen]:
    """Run; what each connection saw. A connection without a pace is as TCP is."""
    chance = random.Random(seed)
    handshake_us = path.delay_s(0) * 1e6
    connections = [Connection(pace, rtt_us=handshake_us, least_rtt_us=handshake_us) for pace in paces]
    seen = [Seen() for _ in paces]
    free_at_s = 0.0
    for pace in paces:
        if pace is not None:
            pace.begin(0)
    for step in range(round(seconds * 1e6) // _STEP_US):
        now_s = step * _STEP_US / 1e6
        rate = path.rate_bytes_per_s(now_s)
        for connection in connections:
            connection.earn(_STEP_US / 1e6)
        for connection in chance.sample(connections, len(connections)):
            while connection.may_send():
                connection.in_flight += 1
                connection.credit_bytes -= MSS_BYTES
                queue_s = max(free_at_s - now_s, 0.0)
                lost = queue_s > path.queue_s or chance.random() < path.loss
                if queue_s <= path.queue_s:
                    free_at_s = now_s + queue_s + MSS_BYTES / rate
                jitter_s = chance.expovariate(1 / path.jitter_s) if path.jitter_s else 0.0
                back_s = max(free_at_s, now_s) + path.delay_s(now_s) + jitter_s
                if connection.arriving:
                    back_s = max(back_s, connection.arriving[-1][0])
                connection.arriving.append((back_s, now_s, lost))
        for connection in connections:
            while connection.arriving and connection.arriving[0][0] <= now_s:
                _, sent_s, was_lost = connection.arriving.popleft()
                connection.hear(sent_s, now_s, was_lost)
        if step % round(TICK_S * 1e6 / _STEP_US) == 0:
            _look(connections, seen, now_s, max(free_at_s - now_s, 0.0))
    return seen


def _look(connections: list[Connection], seen: list[Seen], now_s: float, queue_s: float) -> None:
    for connection, told in zip(connections, seen, strict=True):
        if connection.pace is not None and connection.rtt_us:
            connection.pace.look(connection.sight(round(now_s * 1e6)))
        told.at_s.append(now_s)
        told.queue_s.append(queue_s)
        told.delivered_bytes.append(connection.acknowledged_bytes)
        told.rate_bytes_per_s.append(None if connection.pace is None else connection.pace.rate_bytes_per_s)
