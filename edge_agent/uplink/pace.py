"""How often progress is told, and how fast the uplink was lately."""

from edge_agent.clock import Clock
from edge_agent.contract.messages import Progress

MIN_INTERVAL_S = 2.0
_SMOOTHING = 0.3


class ProgressPace:
    """Progress is told when the whole percent changed, and not more often than every `MIN_INTERVAL_S`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: dict[str, tuple[int, int]] = {}
        self._bytes_per_s: float | None = None

    def is_due(self, clip_id: str, progress: Progress) -> bool:
        """Whether this progress is to be told; if so, it counts as told."""
        self._learn(progress)
        percent = progress.sent_bytes * 100 // max(progress.total_bytes, 1)
        now_us = self._clock.monotonic_us()
        told_percent, told_us = self._told.get(clip_id, (-1, -1_000_000_000))
        if percent == told_percent or now_us - told_us < MIN_INTERVAL_S * 1e6:
            return False
        self._told[clip_id] = (percent, now_us)
        return True

    def forget(self, clip_id: str) -> None:
        """The transfer is over."""
        self._told.pop(clip_id, None)

    def expected_end_us(self, length_bytes: int) -> int | None:
        """When so many bytes would be there at the speed of the last transfers; None when there was none."""
        if not self._bytes_per_s:
            return None
        return self._clock.wall_us() + round(length_bytes / self._bytes_per_s * 1e6)

    def _learn(self, progress: Progress) -> None:
        if progress.expected_end_us is None:
            return
        left_s = (progress.expected_end_us - self._clock.wall_us()) / 1e6
        left_bytes = progress.total_bytes - progress.sent_bytes
        if left_s > 1 and left_bytes > 0:
            speed = left_bytes / left_s
            before = self._bytes_per_s
            self._bytes_per_s = speed if before is None else before + _SMOOTHING * (speed - before)
