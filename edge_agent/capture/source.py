"""What every source is, and what it is given."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from edge_agent.capture.report import CaptureReport
from edge_agent.capture.timeline import MediaTimeline
from edge_agent.clock import Clock
from edge_agent.contract.access_unit import GapCause, StreamSink

if TYPE_CHECKING:  # libav and the drawing library are loaded by who has pictures
    from edge_agent.capture.encoding.ladder import EncoderLadder
    from edge_agent.capture.frames.hook import FrameHook
    from edge_agent.capture.stills import StillDesk


class Activity:
    """What an attempt has received: when, for the supervisor's watchdog, and what of it is held back."""

    def __init__(self) -> None:
        self.last_us: int | None = None
        """Monotonic time of the last packet; None before the first. One reference, swapped whole."""
        self.excused_us = 0
        """Until then an attempt may be silent: who encodes its pictures is being found out, which is no fault of the
        camera's. One number, swapped whole."""
        self.hand_over: Callable[[], None] = _nothing
        """Writes what the source holds back; any thread may call it. One reference, swapped whole."""
        self.interrupt: Callable[[], object] = _nothing
        """Ends a call that the source's library waits in; any thread may call it. One reference, swapped whole."""
        self.request_key_frame: Callable[[], object] = _nothing
        """Has the camera, or the encoder, begin a group of pictures soon; any thread may call it. It waits for
        nothing, raises nothing and promises nothing. One reference, swapped whole."""
        self.is_back: Callable[[], bool] = _never
        """Whether the camera that the attempt missed is there again: asked, several times a second, while the next
        attempt waits for its turn; quick, raises nothing. One reference, swapped whole."""

    @property
    def holds_back(self) -> bool:
        """Whether somebody said how to get at what is held back."""
        return self.hand_over is not _nothing

    def touch(self, monotonic_us: int) -> None:
        """A packet came; one that is told of late changes nothing."""
        if self.last_us is None or monotonic_us > self.last_us:
            self.last_us = monotonic_us


def _nothing() -> None:
    """Of a source that hands on at once, waits for nothing without looking at `stop`, and cannot be asked."""


def _never() -> bool:
    """Of a source that finds out by trying again."""
    return False


@dataclass(frozen=True, slots=True)
class FrameOutputs:
    """Where a source that encodes pictures here, or has them encoded by its own library, writes.

    Attributes:
        hook: every picture goes through it before it is encoded.
        encoders: who encodes.
        main: gets access units of pictures that went through the hook; None where the main stream passes as it came
            and its pictures are for the proxy alone.
        proxy: likewise of the small stream; None when there is none, or it is made elsewhere.
        proxy_timeline: that of the proxy's ring.
        stills: gets pictures of the main stream when somebody asks for one.
    """

    hook: "FrameHook"
    encoders: "EncoderLadder"
    main: StreamSink | None
    proxy: StreamSink | None
    proxy_timeline: MediaTimeline
    stills: "StillDesk"


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What a source needs beside its camera's settings.

    Attributes:
        unit_id: drawn into test pictures.
        clock: wall, monotonic, sleep.
        timeline: the run's media time line; one object for all attempts of a run.
        activity: told of every packet, and how to get at the source from other threads.
        cause: why the first stream of this attempt begins where it does; the supervisor sets it.
        report: told of what was configured and what is not as it was asked; one object for all attempts.
        frames: where pictures that are encoded here go; the supervisor sets it for each attempt.
    """

    unit_id: str
    clock: Clock
    timeline: MediaTimeline
    activity: Activity = field(default_factory=Activity)
    cause: GapCause = "start"
    report: CaptureReport = field(default_factory=lambda: CaptureReport(""))
    frames: FrameOutputs | None = None


class Source(Protocol):
    """A camera, or what stands for one."""

    def run(self, sink: StreamSink, stop: threading.Event) -> None:
        """Make one attempt: open, and write to `sink` until `stop` is set, the source ends or fails.

        `sink` is for a stream that the camera encoded and nobody has looked at: where masks or text are asked for it
        is decoded behind it. Pictures go to a `FramePipeline` instead, which writes to the context's `frames`.

        `start_stream` and `write` are called from this thread, or through `Activity.hand_over`, never at the same
        time; `end_stream` for the attempt's end is the supervisor's.

        Raises:
            CaptureError: the attempt failed; the supervisor tries again.
        """
        ...
