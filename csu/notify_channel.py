"""What a way of telling people has to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from csu.notify_settings import Mail, Webhook
from csu.stored_notices import Notice


@dataclass(frozen=True, slots=True)
class Batch:
    """One message.

    Attributes:
        batch_id: a UUID, the same at every attempt: the other end knows a repetition by it.
        notices: what it tells of, in order.
        left_out: older notices that nobody can be told of any more.
        sent_us: the present, wall clock.
    """

    batch_id: str
    notices: Sequence[Notice]
    left_out: int
    sent_us: int


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a channel may speak; what happens meanwhile is told together.

    Attributes:
        gather_s: so long after the first notice, for more to come.
        interval_s: between two messages.
        burst: messages in an hour; beyond them
        slow_interval_s: is the interval.
        quiet_after: an alarm that was raised more often than so in an hour starts no message any more: it waits for
            others, or for `QUIET_S`.
        batch: notices in a message.
    """

    gather_s: float
    interval_s: float
    burst: int
    slow_interval_s: float
    quiet_after: int
    batch: int


class Channel(Protocol):
    """A webhook or mail."""

    @property
    def settings(self) -> Webhook | Mail:
        """Its table."""
        ...

    @property
    def pace(self) -> Pace:
        """How often it may speak."""
        ...

    async def send(self, batch: Batch) -> None:
        """Make one attempt.

        Raises:
            NotifyError: the other end did not take it.
        """
        ...


def is_wanted(settings: Webhook | Mail, notice: Notice) -> bool:
    """Whether a channel tells of it."""
    if notice.kind == "summary":
        return settings.summary
    if notice.kind == "alarm-cleared" and not settings.cleared:
        return False
    return settings.severity == "warning" or notice.severity == "critical"
