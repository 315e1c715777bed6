"""From the queue to the rings, several pictures at a time, in whichever thread asks."""

import threading
from dataclasses import replace
from fractions import Fraction

from edge_agent.capture.normaliser import Normaliser
from edge_agent.capture.packet import RawPacket
from edge_agent.capture.picamera.configuration import Given
from edge_agent.capture.picamera.unit_queue import StreamName, UnitQueue
from edge_agent.capture.source import Activity, FrameOutputs, SourceContext
from edge_agent.contract.access_unit import CodecConfig, StreamSink
from edge_agent.errors import CaptureError

_TIME_BASE = Fraction(1, 1_000_000)
_PATIENCE_S = 0.2


class Delivery:
    """One attempt's; `hand_over` is any thread's, the rest the attempt's."""

    def __init__(
        self, context: SourceContext, outputs: FrameOutputs, queue: UnitQueue, given: Given, every: int
    ) -> None:
        """`every`: the small stream has one picture of so many."""
        self._queue = queue
        self._lock = threading.Lock()  # protects what follows
        self._failure: Exception | None = None
        self._normalisers: dict[StreamName, Normaliser] = {}
        self._durations_us: dict[StreamName, int] = {
            "lores": round(1e6 * every / given.fps), given.recorded: round(1e6 / given.fps),
        }  # fmt: skip
        if outputs.main is not None:
            self._normalisers[given.recorded] = _normaliser(outputs.main, context, given.size, given.fps)
        if outputs.proxy is not None and given.lores is not None:
            # What the small stream does says nothing of the camera.
            apart = replace(context, timeline=outputs.proxy_timeline, activity=Activity())
            self._normalisers["lores"] = _normaliser(outputs.proxy, apart, given.lores, given.fps / every)

    def deliver(self) -> None:
        """Write what the queue holds.

        Raises:
            EdgeAgentError: what a normaliser or a sink raised, now or in `hand_over`.
        """
        with self._lock:
            self._raise()
            self._write_all()

    def hand_over(self) -> None:
        """The same; raises nothing: a failure is the next `deliver`'s."""
        if not self._lock.acquire(timeout=_PATIENCE_S):
            return
        try:
            if self._failure is None:
                self._write_all()
        except Exception as error:  # noqa: BLE001 -- raised in the attempt's thread
            self._failure = error
        finally:
            self._lock.release()

    def finish(self) -> None:
        """The attempt is over: write all that is left.

        Raises:
            EdgeAgentError: as `deliver`.
        """
        with self._lock:
            self._raise()
            self._write_all()
            for normaliser in self._normalisers.values():
                normaliser.finish()

    def _raise(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _write_all(self) -> None:
        for unit in self._queue.take_all():
            normaliser = self._normalisers.get(unit.stream)
            if normaliser is None:
                continue
            normaliser.push(
                RawPacket(
                    data=unit.data,
                    pts=unit.capture_us,
                    dts=unit.capture_us,
                    duration=self._durations_us[unit.stream],
                    is_key=unit.is_key,
                    arrival_us=unit.arrival_us,
                    capture_us=unit.capture_us,
                    received_us=unit.arrival_us,
                )
            )


def outputs_of(context: SourceContext) -> FrameOutputs:
    """Where pictures go.

    Raises:
        CaptureError: nowhere.
    """
    if context.frames is None:
        raise CaptureError("pictures have nowhere to go: this attempt was begun without a supervisor")
    return context.frames


def _normaliser(sink: StreamSink, context: SourceContext, size: tuple[int, int], fps: float) -> Normaliser:
    return Normaliser(sink, context, CodecConfig("h264", b"", *size, fps), _TIME_BASE)
