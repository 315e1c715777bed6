"""What the pipeline says on its bus."""

import threading

from .bindings import Bound
from .pipeline import Pipeline
from .records import EVENT, Records


class Listener:
    """Passes on what the pipeline says on its bus, in a thread of its own."""

    def __init__(self, line: Pipeline, records: Records) -> None:
        self._line = line
        self._records = records
        self.failed = threading.Event()
        """An error was passed on."""

    def run(self) -> None:
        """For ever."""
        kinds = self._line.gst.MessageType
        wanted = kinds.ERROR | kinds.WARNING | kinds.LATENCY
        bus = self._line.pipeline.get_bus()
        while True:
            message = bus.timed_pop_filtered(self._line.gst.CLOCK_TIME_NONE, wanted)
            if message.type == kinds.LATENCY:
                self._line.pipeline.recalculate_latency()
            else:
                self._tell(message, message.type == kinds.ERROR)

    def _tell(self, message: Bound, is_error: bool) -> None:
        error, debug = message.parse_error() if is_error else message.parse_warning()
        factory = message.src.get_factory() if isinstance(message.src, self._line.gst.Element) else None
        self._records.tell(
            EVENT,
            severity="error" if is_error else "warning",
            domain=error.domain,
            code=error.code,
            message=error.message[:1000],
            element=message.src.get_name() if message.src else "",
            factory=factory.get_name() if factory else "",
            debug=(debug or "")[:1000],
        )
        if is_error:
            self.failed.set()
            self._line.over.set()
