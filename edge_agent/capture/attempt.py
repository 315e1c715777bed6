"""One attempt at a source, in a thread of its own: camera libraries hang in C, where nothing can interrupt them."""

import logging
import threading
import traceback

from edge_agent.capture.gate import Gate
from edge_agent.capture.redact import redact
from edge_agent.capture.source import Activity, Source
from edge_agent.contract.access_unit import StreamSink
from edge_agent.errors import CaptureError, EdgeAgentError

_log = logging.getLogger(__name__)


class Attempt:
    """Runs a source until it ends; `done` is set whatever happened.

    The thread is a daemon: one that hangs does not keep the process from leaving.
    """

    def __init__(
        self, name: str, source: Source, sink: StreamSink, gate: Gate, activity: Activity, start_us: int
    ) -> None:
        """Begin; the source writes to `sink`, from which what is recorded comes to `gate`."""
        self.activity = activity
        self.gate = gate
        self.start_us = start_us
        self.stop = threading.Event()
        """Asks the source to end."""
        self.done = threading.Event()
        """The source has ended."""
        self.error: EdgeAgentError | None = None
        """Why, once `done` is set; None when it was stopped or came to its end."""
        self._source = source
        self._sink = sink
        self._thread = threading.Thread(target=self._run, name=f"capture-{name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._source.run(self._sink, self.stop)
        except EdgeAgentError as error:
            self.error = error
        except Exception as error:  # noqa: BLE001 -- a library's bug ends the attempt, not the recording; it is logged
            # The message may hold an address with a password, and so may those of its causes: frames only.
            frames = "".join(traceback.format_tb(error.__traceback__))
            said = redact(f"{type(error).__name__}: {error}")
            _log.error("the source failed in a way that it should not: %s\n%s", said, frames)
            self.error = CaptureError(said)
        finally:
            self.done.set()
