"""How fast an upload may send, so that commands do not wait behind it.

TCP fills whatever buffer stands in front of the narrowest part of the way, and modems and base stations buffer for
hundreds of milliseconds: every command would wait as long. So an upload learns what the way delivers and sends no
faster, with a queue of about 20 ms as its measure, after the idea of LEDBAT (RFC 6817): delay beyond the least one
that was seen is queue. Unlike LEDBAT it sets a rate and no window (the kernel spaces the packets), it takes the rate
that is delivered while a queue stands for the capacity of the way, as BBR does (draft-cardwell-iccrg-bbr), and it
does not starve on a way that became longer by itself: delay that stays although less is sent, and delivered, than
before is no queue of ours, and becomes the new measure.

A queue that never stands long and delivered rates beyond 100 Mbit/s leave an upload as fast as TCP makes it.
"""

from collections import deque
from dataclasses import dataclass, field

TICK_S = 0.1
"""How often a pace wants to look."""
FAST_BYTES_PER_S = 12_500_000.0
"""Beyond it nothing is paced: what such a link queues is gone in no time, and pacing costs."""
FLOOR_BYTES_PER_S = 4_000.0
"""Never less, whatever the delay."""

_TARGET_US = 20_000.0
_TARGET_PACKETS = 2.0
_WINDOW_US = 300_000
_LONGEST_WINDOW_US = 1_000_000
_FOLLOW_US = 700_000
_LEAST_GROWTH = 0.08
_MOST_GROWTH = 0.25
_GROWTH_STEP = 1.12
_DRAIN_US = 800_000.0
_MOST_CUT = 0.5
_HELD_BACK = 0.8
_FOLLOWS = 1.15
_STAYS = 0.9
_REST_EVERY_US = 15_000_000
_REST_US = 500_000
_REST = 0.75
_REMEMBERED_US = 600_000_000
_KEPT_US = 10_000_000
_CAPACITY_US = 10_000_000
_PROVEN_US = 500_000
_KNOWN = 0.9
_RETURN = 1.3
_LEAST_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Sight:
    """What a connection says of itself at one instant.

    Attributes:
        at_us: monotonic time.
        rtt_us: smoothed round trip.
        least_rtt_us: the shortest that the connection saw, its handshake included.
        variation_us: its mean deviation.
        acknowledged_bytes: since the connection began.
        packet_bytes: of a full packet.
        is_waiting: more is there to be sent than the connection takes.
    """

    at_us: int
    rtt_us: int
    least_rtt_us: int
    variation_us: int
    acknowledged_bytes: int
    packet_bytes: int
    is_waiting: bool


@dataclass(slots=True)
class Way:
    """What is known of the way to an ingest, whichever connection saw it.

    Attributes:
        least_rtt_us: round trip without a queue of ours; None before anything was seen.
    """

    least_rtt_us: float | None = None
    _capacity_bytes_per_s: float | None = None
    _capacity_at_us: int = 0

    def queue_us(self, rtt_us: float) -> float:
        """How much of this round trip is queue; a shorter one than ever seen is the new measure."""
        if self.least_rtt_us is None or rtt_us < self.least_rtt_us:
            self.least_rtt_us = rtt_us
        return rtt_us - self.least_rtt_us

    def remember(self, capacity_bytes_per_s: float | None, at_us: int) -> None:
        """What it carried; None when that is more than is paced."""
        self._capacity_bytes_per_s, self._capacity_at_us = capacity_bytes_per_s, at_us

    def recall(self, at_us: int) -> float | None:
        """What it carried lately; None when nothing is known that would still hold."""
        return self._capacity_bytes_per_s if at_us - self._capacity_at_us < _REMEMBERED_US else None


@dataclass(frozen=True, slots=True)
class _Look:
    """A sight, what was delivered in the window before it, and the rate that held until then."""

    sight: Sight
    delivered_bytes_per_s: float | None
    rate_bytes_per_s: float | None


@dataclass(slots=True)
class Pace:
    """The rate of one connection.

    Attributes:
        way: shared with the unit's other uploads to the same ingest.
        rate_bytes_per_s: at most so much may be sent; None for whatever TCP takes.
    """

    way: Way
    rate_bytes_per_s: float | None = None
    _looks: deque[_Look] = field(default_factory=deque)
    _is_new: bool = True
    _growth: float = _LEAST_GROWTH
    _long_since_us: int | None = None
    _peak_bytes_per_s: float = 0.0
    _capacity_from_us: int = 0
    _rest_at_us: int = 0
    _rest_until_us: int = 0
    _resting_bytes_per_s: float = 0.0

    def begin(self, at_us: int) -> float | None:
        """A connection begins: at which rate."""
        self._looks.clear()
        self._is_new, self._growth = True, _LEAST_GROWTH
        self._end_long_queue()
        self._rest_at_us, self._rest_until_us = at_us + _REST_EVERY_US, 0
        known = self.way.recall(at_us)
        self.rate_bytes_per_s = None if known is None else _KNOWN * known
        return self.rate_bytes_per_s

    def pause(self) -> None:
        """Nothing was sent for a while: what is delivered is counted anew."""
        self._looks.clear()

    def look(self, sight: Sight) -> float | None:
        """Take a sight; the rate from now on."""
        if self._is_new:
            self._is_new = False
            self.way.queue_us(sight.least_rtt_us)
        if not sight.is_waiting:
            self._looks.clear()  # who has nothing to send learns nothing of the way
        is_fresh = not self._looks or sight.acknowledged_bytes > self._looks[-1].sight.acknowledged_bytes
        delivered = self._delivered_bytes_per_s(sight)
        self._looks.append(_Look(sight, delivered if is_fresh else None, self.rate_bytes_per_s))
        while sight.at_us - self._looks[0].sight.at_us > _KEPT_US:
            self._looks.popleft()
        # Without an acknowledgement the round trip is an old one.
        if delivered is not None and is_fresh:
            self._set(delivered, sight)
        return self.rate_bytes_per_s

    def _delivered_bytes_per_s(self, sight: Sight) -> float | None:
        """Over the last window; None while nothing is known for so long."""
        window_us = _window_us(sight)
        for look in reversed(self._looks):
            elapsed_us = sight.at_us - look.sight.at_us
            if elapsed_us >= window_us:
                return (sight.acknowledged_bytes - look.sight.acknowledged_bytes) / elapsed_us * 1e6
        return None

    def _target_us(self, delivered: float, sight: Sight) -> float:
        """The queue that is meant: a path that varies by itself gets more, none more than its length."""
        packets_us = _TARGET_PACKETS * sight.packet_bytes / max(delivered, FLOOR_BYTES_PER_S) * 1e6
        varies_us = min(float(sight.variation_us), self.way.least_rtt_us or 0.0)
        return max(_TARGET_US, packets_us) + varies_us

    def _set(self, delivered: float, sight: Sight) -> None:
        beyond_us = self.way.queue_us(sight.rtt_us) - self._target_us(delivered, sight)
        if delivered > FAST_BYTES_PER_S or (self.rate_bytes_per_s is None and beyond_us <= 0):
            self.rate_bytes_per_s = None
            self.way.remember(None, sight.at_us)
            return
        rate = self._more(delivered, sight, beyond_us) if beyond_us <= 0 else self._less(delivered, sight, beyond_us)
        self.rate_bytes_per_s = max(self._rest(rate, sight), FLOOR_BYTES_PER_S)
        self.way.remember(self._capacity_bytes_per_s(sight), sight.at_us)

    def _more(self, delivered: float, sight: Sight, beyond_us: float) -> float:
        """Grow slowly beyond what is known, and fast back to it."""
        self._end_long_queue()
        growth, self._growth = self._growth, min(self._growth * _GROWTH_STEP, _MOST_GROWTH)
        grown = delivered * (1 + growth * min(-beyond_us / _TARGET_US, 1.0))
        return max(grown, min(_KNOWN * self._capacity_bytes_per_s(sight), (self.rate_bytes_per_s or 0.0) * _RETURN))

    def _less(self, delivered: float, sight: Sight, beyond_us: float) -> float:
        """Drain what is too much within a second, but never to less than half of what the way carries."""
        self._growth = _LEAST_GROWTH
        if self._long_since_us is None:
            self._long_since_us = sight.at_us
        self._peak_bytes_per_s = peak = max(self._peak_bytes_per_s, delivered)
        if self._is_way_longer(delivered, sight):
            return peak
        drained = delivered * (1 - min(beyond_us / _DRAIN_US, _MOST_CUT))
        return max(drained, _LEAST_SHARE * self._capacity_bytes_per_s(sight))

    def _capacity_bytes_per_s(self, sight: Sight) -> float:
        """The most that was delivered lately; what was before a queue that stands is over."""
        if self._long_since_us is not None and sight.at_us - self._long_since_us > _PROVEN_US:
            self._capacity_from_us = sight.at_us - _PROVEN_US
        from_us = max(self._capacity_from_us, sight.at_us - _CAPACITY_US)
        known = (look.delivered_bytes_per_s for look in self._looks if look.sight.at_us >= from_us)
        return max((rate for rate in known if rate is not None), default=0.0)

    def _rest(self, rate: float, sight: Sight) -> float:
        """Now and then less, so that the queue empties and its measure is seen again."""
        if sight.at_us >= self._rest_at_us:
            self._rest_until_us = sight.at_us + max(_REST_US, 3 * sight.rtt_us)
            self._rest_at_us = sight.at_us + _REST_EVERY_US
            self._resting_bytes_per_s = rate * _REST
        return min(rate, self._resting_bytes_per_s) if sight.at_us < self._rest_until_us else rate

    def _is_way_longer(self, delivered: float, sight: Sight) -> bool:
        """Delay that stays although the way delivers all of the less that it is given is no queue of ours."""
        follow_us = max(_FOLLOW_US, 3 * sight.rtt_us)
        is_long = self._long_since_us is not None and sight.at_us - self._long_since_us >= follow_us
        given = self._given_bytes_per_s(sight)
        if not is_long or given is None or delivered > _HELD_BACK * self._peak_bytes_per_s:
            return False
        recent = [look.sight.rtt_us for look in self._looks if sight.at_us - look.sight.at_us <= follow_us]
        if not given / _FOLLOWS < delivered < given * _FOLLOWS or recent[-1] < _STAYS * max(recent):
            return False
        self.way.least_rtt_us = float(min(recent))
        self._end_long_queue()
        return True

    def _end_long_queue(self) -> None:
        self._long_since_us, self._peak_bytes_per_s = None, 0.0

    def _given_bytes_per_s(self, sight: Sight) -> float | None:
        """The mean rate at which those bytes were sent that the last window delivered."""
        end_us = sight.at_us - sight.rtt_us
        begin_us = end_us - _window_us(sight)
        rates = [look.rate_bytes_per_s for look in self._looks if begin_us <= look.sight.at_us < end_us]
        known = [rate for rate in rates if rate is not None]
        return sum(known) / len(known) if known and len(known) == len(rates) else None


def _window_us(sight: Sight) -> int:
    """Over which deliveries are measured."""
    return min(max(_WINDOW_US, 3 * sight.rtt_us // 2), _LONGEST_WINDOW_US)
