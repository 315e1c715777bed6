"""Stands between an attempt and the sink; can be shut while the attempt's thread hangs, and sees all that passes."""

import threading
from typing import Protocol

from edge_agent.contract.access_unit import AccessUnit, CodecConfig, GapCause, StreamSink


class Observer(Protocol):
    """Told of what passed, in the thread that wrote it."""

    def on_start(self, config: CodecConfig) -> None:
        """A stream began."""
        ...

    def on_write(self, unit: AccessUnit) -> None:
        """A picture was written."""
        ...

    def on_end(self, cause: GapCause, detail: str) -> None:
        """The stream ended; the attempt may go on."""
        ...

    def standstill(self) -> str | None:
        """What a loss that shows now is due to, when the recorder itself stood still lately."""
        ...


class Gate:
    """A `StreamSink` for one attempt. What the recorder slept through is not put down to the camera."""

    def __init__(self, sink: StreamSink, observer: Observer, cause: GapCause) -> None:
        """`cause` is why there is no stream yet."""
        self.cause = cause
        """Why there is none, while there is none."""
        self._sink = sink
        self._observer = observer
        self._lock = threading.Lock()  # protects what follows: a call that was let in has ended when `shut` returns
        self._shut = False
        self._streaming = False

    def start_stream(self, config: CodecConfig, cause: GapCause) -> None:
        """As `StreamSink`; nothing happens once the gate is shut."""
        with self._lock:
            if not self._shut:
                overslept = cause == "camera-lost" and self.cause == "overload"
                self._sink.start_stream(config, "overload" if overslept else cause)
                self._streaming = True
                self._observer.on_start(config)

    def write(self, unit: AccessUnit) -> None:
        """As `StreamSink`; nothing happens once the gate is shut."""
        with self._lock:
            if not self._shut:
                self._sink.write(unit)
                self._observer.on_write(unit)

    def end_stream(self, cause: GapCause, detail: str) -> None:
        """As `StreamSink`; nothing happens once the gate is shut."""
        with self._lock:
            if not self._shut:
                self._end(cause, detail)

    def shut(self, cause: GapCause, detail: str) -> None:
        """End the stream; nothing more is let through."""
        with self._lock:
            if not self._shut:
                self._shut = True
                self._end(cause, detail)

    def _end(self, cause: GapCause, detail: str) -> None:
        if cause == "camera-lost" and (self._streaming or self.cause == "overload"):
            standstill = self._observer.standstill()
            if standstill is not None:
                cause, detail = "overload", f"{standstill}; then: {detail}"
        self._streaming = False
        self.cause = cause
        self._sink.end_stream(cause, detail)
        self._observer.on_end(cause, detail)
