"""GNSS time that the link offers, before it may date footage.

An offer is taken for possible when another one, `CONFIRM_S` apart, says the same within both bounds and the drift
of this boot's clock. One that contradicts what was confirmed begins anew, and has to hold for `JUMP_CONFIRM_S`: a
receiver that lies for a while (a spoofer passing by, a roll-over) is not heard. So does the first one after a start
of the recorder in a boot that GNSS dated before. Whether a confirmed offer becomes an anchor of the clock model is
for the sampler to say.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from edge_agent.buffer.clock_model import DRIFT_PPM, Anchor
from edge_agent.clock import Clock
from edge_agent.contract.codes import ErrorCode
from edge_agent.contract.ring_protocol import ClockOffer
from edge_agent.errors import RingRequestError

CONFIRM_S = 10.0
JUMP_CONFIRM_S = 300.0

_OLDEST_US = 60_000_000
_AHEAD_US = 1_000_000


@dataclass(frozen=True, slots=True)
class _Series:
    """Offers that agree: the first of them, and how long they have to."""

    first: ClockOffer
    confirm_us: int

    def agrees(self, offer: ClockOffer) -> bool:
        run_us = offer.monotonic_us - self.first.monotonic_us
        apart_us = abs(offer.utc_us - self.first.utc_us - run_us)
        return apart_us <= self.first.bound_us + offer.bound_us + abs(run_us) * DRIFT_PPM // 1_000_000

    def is_confirmed_by(self, offer: ClockOffer) -> bool:
        return offer.monotonic_us - self.first.monotonic_us >= self.confirm_us


class ClockOffers:
    """Offers of this boot; any thread puts them in, the ring's keeper takes what is confirmed."""

    def __init__(self, boot_id: str, clock: Clock, known: Iterable[Anchor] = ()) -> None:
        """`known` are this boot's anchors of earlier lives of the recorder."""
        self._boot_id = boot_id
        self._clock = clock
        self._lock = threading.Lock()  # protects what follows
        self._series: _Series | None = None
        self._has_confirmed = any(anchor.source == "gnss" for anchor in known)
        self._ready: ClockOffer | None = None

    def put(self, offer: ClockOffer) -> None:
        """An offer came.

        Raises:
            RingRequestError: it is of another boot, of the future, or too old to tell of now.
        """
        now_us = self._clock.monotonic_us()
        if offer.boot_id != self._boot_id:
            raise RingRequestError(ErrorCode.PARAMETERS_INVALID, "boot_id: the offer is of another boot")
        if not now_us - _OLDEST_US <= offer.monotonic_us <= now_us + _AHEAD_US:
            age_s = (now_us - offer.monotonic_us) / 1e6
            raise RingRequestError(
                ErrorCode.PARAMETERS_INVALID, f"monotonic_us: {age_s:.0f} s ago; offer what is now"
            )
        with self._lock:
            self._judge(offer)

    def _judge(self, offer: ClockOffer) -> None:
        series = self._series
        if series is None or not series.agrees(offer):
            confirm_s = JUMP_CONFIRM_S if self._has_confirmed else CONFIRM_S
            self._series, self._ready = _Series(offer, round(confirm_s * 1e6)), None
        elif series.is_confirmed_by(offer):
            self._series, self._ready = _Series(series.first, 0), offer
            self._has_confirmed = True

    def take(self) -> Anchor | None:
        """The newest confirmed offer, once; None when there is none."""
        with self._lock:
            offer, self._ready = self._ready, None
        if offer is None:
            return None
        return Anchor(self._boot_id, offer.monotonic_us, offer.utc_us, offer.source, offer.bound_us)
