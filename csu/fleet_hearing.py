"""Whether the centre hears its units at all, and which of their words still count.

Times are of the monotonic clock, µs: a step of the centre's wall clock changes no standing.

A word on being online counts on the connection to the broker on which it was heard. When the centre connects anew,
the broker repeats every unit's retained status, so that what is not repeated is not known any more. A broker that
was itself restarted may repeat the status of a unit that has gone meanwhile and whose will went down with the broker:
where the broker's start is known (`csu.broker`, `csu.broker_uptime`), only units that have connected to it since are
heard.
"""

from collections.abc import Callable

BLIND_AFTER_US = 10_000_000
"""A connection that is away for less shows nobody as unheard: the bus connects again within seconds."""
REPEAT_US = 5_000_000
"""The broker's repetition of what it retains takes no longer: 1,000 units need 2 s."""
RETURN_US = 180_000_000
"""Units are back by then after a restart of broker or centre; who is not has been lost."""


class Hearing:
    """The centre's own connection, as the standing of units depends on it."""

    def __init__(self, broker_began_us: Callable[[], int | None], now_us: int) -> None:
        """Prepare.

        Args:
            broker_began_us: when the broker was started last; None when that is not known.
            now_us: the present.
        """
        self._broker_began_us = broker_began_us
        self._linked_us: int | None = None
        self._away_us = now_us
        self._was_short = False
        self.epoch = 0
        """Rises with each connection; words carry that on which they were heard."""

    def link(self, is_up: bool, now_us: int) -> None:
        """The connection to the broker began or ended."""
        if is_up:
            self._was_short = self.epoch > 0 and now_us - self._away_us < BLIND_AFTER_US
            self.epoch += 1
            self._linked_us = now_us
        elif self._linked_us is not None:
            self._linked_us = None
            self._away_us = now_us

    @property
    def is_linked(self) -> bool:
        """Whether there is a connection."""
        return self._linked_us is not None

    def is_blind(self, now_us: int) -> bool:
        """Whether nothing can be said of anybody."""
        return self._linked_us is None and (self.epoch == 0 or now_us - self._away_us >= BLIND_AFTER_US)

    def counts(self, epoch: int, confirmed_us: int | None, now_us: int) -> bool:
        """Whether a unit's status of that connection still says something about now.

        Args:
            epoch: of the connection on which it was heard.
            confirmed_us: when it was certain that the unit had just said it; None when that never was.
            now_us: the present.
        """
        began_us = self._broker_began_us()
        if began_us is not None and (confirmed_us is None or confirmed_us < began_us):
            return False
        if epoch == self.epoch:
            return True
        is_repeating = self._linked_us is not None and now_us - self._linked_us < REPEAT_US
        return epoch == self.epoch - 1 and self._was_short and is_repeating

    def return_until_us(self) -> int | None:
        """Until when units may take to come back; None while there is no connection."""
        if self._linked_us is None:
            return None
        return max(self._linked_us, self._broker_began_us() or 0) + RETURN_US

    def next_us(self, now_us: int) -> int | None:
        """When something of this changes by itself."""
        if self._linked_us is None:
            times_us = [self._away_us + BLIND_AFTER_US] if self.epoch else []
        else:
            times_us = [self._linked_us + REPEAT_US, self.return_until_us() or 0]
        return min((time_us for time_us in times_us if time_us > now_us), default=None)
