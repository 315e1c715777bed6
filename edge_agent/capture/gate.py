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


class Gate:
    """A `StreamSink` for one attempt."""

    def __init__(self, sink: StreamSink, observer: Observer) -> None:
        self._sink = sink
        self._observer = observer
        self._lock = threading.Lock()  # protects `_shut`: a call that was let in has ended when `shut` returns
        self._shut = False

    def start_stream(self, config: CodecConfig, cause: GapCause) -> None:
        """As `StreamSink`; nothing happens once the gate is shut."""
        with self._lock:
            if not self._shut:
                self._sink.start_stream(config, cause)
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
                self._sink.end_stream(cause, detail)
                self._observer.on_end(cause, detail)

    def shut(self, cause: GapCause, detail: str) -> None:
        """End the stream; nothing more is let through."""
        with self._lock:
            if not self._shut:
                self._shut = True
                self._sink.end_stream(cause, detail)
                self._observer.on_end(cause, detail)
