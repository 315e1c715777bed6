"""When a reading of the clock becomes an anchor: when it tells something that the anchors so far do not.

GNSS time that is offered to the ring is the last resort. While chrony or the kernel vouches for the machine's clock,
an offer that contradicts it is refused, whatever its bound: anybody with a transmitter can make one. So is one that
the drift since they vouched does not explain, for the rest of the boot.
"""

from collections.abc import Callable, Sequence

from edge_agent.buffer.clock_model import Anchor, consistent
from edge_agent.buffer.segment import UtcEstimate
from edge_agent.clock_source import ClockProbe, ClockReading

SAMPLE_INTERVAL_S = 30.0

_LEAST_DEVIATION_US = 1_000
_INTERVAL_US = 600 * 1_000_000  # between two anchors so far apart, drift adds 15 ms to the bound at most


class Sampler:
    """Reads the clock now and then.

    Args:
        probe: reads it; may block for two seconds.
        boot_id: of this boot.
    """

    def __init__(self, probe: ClockProbe, boot_id: str) -> None:
        self._probe = probe
        self._boot_id = boot_id
        self._last: ClockReading | None = None

    def sample(self, known: Sequence[Anchor], predict: Callable[[int], UtcEstimate]) -> Anchor | None:
        """Read the clock.

        Args:
            known: this boot's anchors so far, in the order of their making.
            predict: the model's UTC; called only when there are anchors.

        Returns:
            The anchor to add, if the reading tells something new.
        """
        reading = self._last = self._probe.read()
        anchor = Anchor(self._boot_id, reading.monotonic_us, reading.wall_us, reading.source, reading.bound_us)
        if not known:
            return anchor
        is_vouched = any(one.source != "unknown" for one in known)
        if anchor.source == "unknown" and is_vouched:
            return None
        return anchor if _adds(anchor, known[-1], predict(reading.monotonic_us), is_vouched=is_vouched) else None

    def consider(
        self, offered: Anchor, known: Sequence[Anchor], predict: Callable[[int], UtcEstimate]
    ) -> Anchor | None:
        """As `sample`, of GNSS time that was offered and confirmed.

        Returns:
            The anchor to add, if it tells something new and would hold beside the others.
        """
        if self._contradicts_machine(offered):
            return None
        vouched = [one for one in known if one.source != "unknown"]
        if vouched:
            predicted = predict(offered.monotonic_us)
            if any(one.source != "gnss" for one in vouched) and not _is_explained(offered, predicted):
                return None
            if not _betters(offered, vouched[-1], predicted):
                return None
        return offered if offered in consistent((*known, offered)) else None

    def _contradicts_machine(self, offered: Anchor) -> bool:
        """Whether the machine's clock is vouched for and says otherwise."""
        last = self._last
        if last is None or last.source == "unknown":
            return False
        expected_us = last.wall_us + offered.monotonic_us - last.monotonic_us
        return abs(offered.utc_us - expected_us) > (last.bound_us or 0) + (offered.bound_us or 0)


def _adds(anchor: Anchor, last: Anchor, predicted: UtcEstimate, *, is_vouched: bool) -> bool:
    if anchor.source == "unknown":
        return _deviates(anchor, last.utc_us + anchor.monotonic_us - last.monotonic_us)
    if not is_vouched or anchor.monotonic_us - last.monotonic_us >= _INTERVAL_US:
        return True
    return _deviates(anchor, predicted.utc_us) or _is_much_better(anchor.bound_us, last.bound_us)


def _is_explained(offered: Anchor, predicted: UtcEstimate) -> bool:
    if predicted.bound_us is None:
        return True
    return abs(offered.utc_us - predicted.utc_us) <= predicted.bound_us + (offered.bound_us or 0)


def _betters(offered: Anchor, last: Anchor, predicted: UtcEstimate) -> bool:
    """Whether an offer bounds the time better than the model does, often enough but not at every offer."""
    if _is_much_better(offered.bound_us, predicted.bound_us) or _deviates(offered, predicted.utc_us):
        return True
    is_due = offered.monotonic_us - last.monotonic_us >= _INTERVAL_US
    return is_due and (predicted.bound_us is None or (offered.bound_us or 0) < predicted.bound_us)


def _deviates(anchor: Anchor, expected_us: int) -> bool:
    return abs(anchor.utc_us - expected_us) > max(_LEAST_DEVIATION_US, anchor.bound_us or 0)


def _is_much_better(bound_us: int | None, known_us: int | None) -> bool:
    return bound_us is not None and (known_us is None or bound_us * 2 < known_us)


def tells_something(anchor: Anchor, last: Anchor | None) -> bool:
    """Whether an anchor found in a file adds to the one found before it in the same boot."""
    if last is None or anchor.source != last.source or anchor.monotonic_us - last.monotonic_us >= _INTERVAL_US:
        return True
    expected_us = last.utc_us + anchor.monotonic_us - last.monotonic_us
    return _deviates(anchor, expected_us) or _is_much_better(anchor.bound_us, last.bound_us)
