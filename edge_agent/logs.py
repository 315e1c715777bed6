"""Logging of every process: one line an entry on standard error; the journal adds its own time stamps.

Whoever reads the log may stop reading, and a full pipe would stop the thread that logs: recording does not depend on
that. Lines go through a bounded queue to a thread of their own; what finds it full is left out and counted.
"""

import atexit
import logging
import os
import queue
import threading
from logging.handlers import QueueHandler

MAX_WAITING_LINES = 2000
_STANDARD_ERROR = 2
DRAIN_S = 0.5
"""How long the end of a process waits for its last lines to be read."""


class LogPipe(QueueHandler):
    """Hands log records over to a thread that writes them; never blocks who logs.

    The thread writes to the descriptor itself: a stream's lock, held by a write that nobody reads, would keep the
    interpreter from ending.

    Args:
        descriptor: where the lines go.
        capacity: lines that may wait.
    """

    def __init__(self, descriptor: int, capacity: int = MAX_WAITING_LINES) -> None:
        self._waiting: queue.Queue[logging.LogRecord | threading.Event] = queue.Queue(capacity)
        super().__init__(self._waiting)
        self._descriptor = descriptor
        self._lines = logging.Formatter()
        self._left_out = 0
        threading.Thread(target=self._write, name="log", daemon=True).start()

    def setFormatter(self, fmt: logging.Formatter | None) -> None:  # noqa: N802 -- the base class's name
        """Records are formatted where they are written."""
        self._lines = fmt or logging.Formatter()

    def enqueue(self, record: logging.LogRecord) -> None:
        """Hand one record over; called under the handler's lock."""
        if self._left_out:
            record.msg = f"{record.msg} [{self._left_out} lines before this one were left out: nobody read them]"
        try:
            self._waiting.put_nowait(record)
        except queue.Full:
            self._left_out += 1
        else:
            self._left_out = 0

    def drain(self, timeout_s: float = DRAIN_S) -> bool:
        """Wait until what waits now is written; False when nobody reads it."""
        mark = threading.Event()
        try:
            self._waiting.put_nowait(mark)
        except queue.Full:
            return False
        return mark.wait(timeout_s)

    def _write(self) -> None:
        while True:
            item = self._waiting.get()
            if isinstance(item, threading.Event):
                item.set()
            else:
                _write_all(self._descriptor, (self._lines.format(item) + "\n").encode(errors="backslashreplace"))


def _write_all(descriptor: int, line: bytes) -> None:
    try:
        while line:
            line = line[os.write(descriptor, line) :]
    except OSError:
        return  # the reader is gone, or the disk behind it is full: there is nobody left to tell


def set_up_logging(process: str, verbose: bool = False) -> None:
    """Configure the root logger of this process.

    Args:
        process: its name in every line, such as `record main`.
        verbose: also what only a maintainer wants to see.
    """
    stamp = "" if "JOURNAL_STREAM" in os.environ else "%(asctime)s "
    pipe = LogPipe(_STANDARD_ERROR)
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format=f"{stamp}%(levelname)s {process}: %(name)s: %(message)s",
        handlers=[pipe],
        force=True,
    )
    atexit.register(pipe.drain)
    logging.getLogger("libav").setLevel(logging.ERROR)


def drain_logs() -> None:
    """Give the last lines their time before a process ends without Python's own end."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LogPipe):
            handler.drain()
