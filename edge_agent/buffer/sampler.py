"""When a reading of the clock becomes an anchor: when it tells something that the anchors so far do not."""

from collections.abc import Callable, Sequence

from edge_agent.buffer.clock_model import Anchor
from edge_agent.buffer.segment import UtcEstimate
from edge_agent.clock_source import ClockProbe

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

    def sample(self, known: Sequence[Anchor], predict: Callable[[int], UtcEstimate]) -> Anchor | None:
        """Read the clock.

        Args:
            known: this boot's anchors so far, in the order of their making.
            predict: the model's UTC; called only when there are anchors.

        Returns:
            The anchor to add, if the reading tells something new.
        """
        reading = self._probe.read()
        anchor = Anchor(self._boot_id, reading.monotonic_us, reading.wall_us, reading.source, reading.bound_us)
        if not known:
            return anchor
        is_vouched = any(one.source != "unknown" for one in known)
        if anchor.source == "unknown" and is_vouched:
            return None
        return anchor if _adds(anchor, known[-1], predict(reading.monotonic_us), is_vouched=is_vouched) else None


def _adds(anchor: Anchor, last: Anchor, predicted: UtcEstimate, *, is_vouched: bool) -> bool:
    if anchor.source == "unknown":
        return _deviates(anchor, last.utc_us + anchor.monotonic_us - last.monotonic_us)
    if not is_vouched or anchor.monotonic_us - last.monotonic_us >= _INTERVAL_US:
        return True
    return _deviates(anchor, predicted.utc_us) or _is_much_better(anchor.bound_us, last.bound_us)


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
