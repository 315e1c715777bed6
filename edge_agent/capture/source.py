"""What every source is, and what it is given."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from edge_agent.capture.timeline import MediaTimeline
from edge_agent.clock import Clock
from edge_agent.contract.access_unit import GapCause, StreamSink


class Activity:
    """What an attempt has received: when, for the supervisor's watchdog, and what of it is held back."""

    def __init__(self) -> None:
        self.last_us: int | None = None
        """Monotonic time of the last packet; None before the first. One reference, swapped whole."""
        self.hand_over: Callable[[], None] = _nothing
        """Writes what the source holds back; any thread may call it. One reference, swapped whole."""
        self.interrupt: Callable[[], object] = _nothing
        """Ends a call that the source's library waits in; any thread may call it. One reference, swapped whole."""

    def touch(self, monotonic_us: int) -> None:
        """A packet came; one that is told of late changes nothing."""
        if self.last_us is None or monotonic_us > self.last_us:
            self.last_us = monotonic_us


def _nothing() -> None:
    """Of a source that hands on at once, and waits for nothing without looking at `stop`."""


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What a source needs beside its camera's settings.

    Attributes:
        unit_id: drawn into test pictures.
        clock: wall, monotonic, sleep.
        timeline: the run's media time line; one object for all attempts of a run.
        activity: told of every packet, and how to get at the source from other threads.
        cause: why the first stream of this attempt begins where it does; the supervisor sets it.
    """

    unit_id: str
    clock: Clock
    timeline: MediaTimeline
    activity: Activity = field(default_factory=Activity)
    cause: GapCause = "start"


class Source(Protocol):
    """A camera, or what stands for one."""

    def run(self, sink: StreamSink, stop: threading.Event) -> None:
        """Make one attempt: open, and write to `sink` until `stop` is set, the source ends or fails.

        `start_stream` and `write` are called from this thread, or through `Activity.hand_over`, never at the same
        time; `end_stream` for the attempt's end is the supervisor's.

        Raises:
            CaptureError: the attempt failed; the supervisor tries again.
        """
        ...
