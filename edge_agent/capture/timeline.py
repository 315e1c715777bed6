"""The media time line of a run, which all streams of the run share."""

_HEADROOM_90K = 10 * 90_000  # decode times stay positive whatever a stream's reorder delay


class MediaTimeline:
    """Where the next stream of this run may begin.

    While footage is continuous, media time follows the source's clock, over changes of parameters and jumps of that
    clock too; what comes after a gap is placed by the monotonic clock, so that the gap shows in media time, but never
    before the end of what was already written (a source whose clock runs fast has overtaken the monotonic one by
    then; `capture_us` still tells the gap).

    Only one attempt uses it at a time.
    """

    def __init__(self, run_start_us: int) -> None:
        """`run_start_us` is the monotonic time at which the run began."""
        self._run_start_us = run_start_us
        self.last_dts_90k = -1
        """Decode time of the last unit written in this run; -1 before the first."""
        self.end_90k = 0
        """Decode time at which that unit ends."""

    def place_90k(self, monotonic_us: int) -> int:
        """Media time of a monotonic instant by the monotonic clock alone."""
        return _HEADROOM_90K + (monotonic_us - self._run_start_us) * 9 // 100

    def wrote(self, dts_90k: int, duration_90k: int) -> None:
        """Note that a unit was written."""
        self.last_dts_90k = dts_90k
        self.end_90k = dts_90k + duration_90k
