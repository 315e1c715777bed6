"""When a broker that is not ours was started, as mosquitto tells it (`$SYS/broker/uptime`, mosquitto(8)).

It says so every ten seconds (`sys_interval`). Other brokers have no such topic, or refuse it; then it stays unknown.
"""

import re

from csu.mqtt_connection import Message
from edge_agent.clock import Clock

TOPIC = "$SYS/broker/uptime"
_WORDS = re.compile(rb"(\d{1,10}) seconds")
_SLACK_US = 3_000_000
"""What is rounded away, and what a message takes."""
_ANOTHER_US = 60_000_000
"""A start so much later is another one, whatever a busy centre and two clocks' drift add."""


class BrokerUptime:
    """Learns from messages; used on the event loop only.

    Args:
        clock: the start is reckoned by its monotonic time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began_us: int | None = None
        self._uptime_s = 0
        self._reckoned_us = 0

    @property
    def began_us(self) -> int | None:
        """When it was started, monotonic clock, rather too early than too late; None while that is not known."""
        return self._began_us

    def hear(self, message: Message) -> bool:
        """Take a message; True when a start became known that was not known before.

        What is no uptime of mosquitto's, or was retained and may be of any age, is left out.
        """
        said = _WORDS.fullmatch(message.payload)
        if said is None or message.is_retained:
            return False
        uptime_s, before_us = int(said[1]), self._reckoned_us
        is_another = uptime_s < self._uptime_s
        self._uptime_s = uptime_s
        self._reckoned_us = began_us = self._clock.monotonic_us() - uptime_s * 1_000_000 - _SLACK_US
        if self._began_us is None or is_another or began_us > before_us + _ANOTHER_US:
            self._began_us = began_us
            return True
        self._began_us = min(began_us, self._began_us)
        return False
