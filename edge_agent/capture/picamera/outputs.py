"""The end of a picamera2 encoder: hands over to the recorder's queue, and raises nothing.

picamera2 calls an output on the camera's own thread (software encoder) or on the encoder's (the board's); an
exception ends either without a word.
"""

from picamera2.outputs import Output

from edge_agent.capture.picamera.ledger import Ledger
from edge_agent.capture.picamera.unit_queue import StreamName, Unit, UnitQueue
from edge_agent.clock import Clock


class QueueOutput(Output):  # type: ignore[misc]  # -- picamera2 has no types
    """One encoder's."""

    def __init__(self, stream: StreamName, queue: UnitQueue, ledger: Ledger, clock: Clock) -> None:
        """`ledger` is that of the encoder."""
        super().__init__()
        self._stream = stream
        self._queue = queue
        self._ledger = ledger
        self._clock = clock
        self.first_us: int | None = None
        """The stamp that the encoder's are counted from; the encoder sets it."""
        self.fault = ""
        """What was met last."""
        self.undated = 0
        """Pictures that the encoder gave and was never given."""

    def outputframe(
        self,
        frame: bytes,
        keyframe: bool = True,
        timestamp: int | None = None,
        packet: object = None,  # noqa: ARG002 -- picamera2's signature
        audio: bool = False,
    ) -> None:
        """An encoded picture."""
        try:
            if audio or timestamp is None or not frame:
                return
            arrival_us = self._clock.monotonic_us()
            capture_us = self._ledger.find((self.first_us or 0) + timestamp)
            if capture_us is None:
                self.undated += 1
                return
            self._queue.put(Unit(self._stream, bytes(frame), bool(keyframe), capture_us, arrival_us))
        except Exception as error:  # noqa: BLE001 -- it would end the camera or the encoder; it is told
            self.fault = f"{type(error).__name__}: {error}"
