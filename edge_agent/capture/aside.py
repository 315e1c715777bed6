"""A branch of pictures beside the main stream: opened and fed in a thread of its own, so that it holds nothing up.

Trying encoders out takes a second, ten of one that hangs; an encoder that does not keep up is waited for. None of
that may take the main stream's time.
"""

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import av

from edge_agent.clock import Clock
from edge_agent.errors import CaptureError

_log = logging.getLogger(__name__)

_ROOM = 4
"""Pictures of the main stream's size; the branch's encoder has a queue of its own."""
_END_S = 0.4


class Branch(Protocol):
    """What takes pictures."""

    def give(self, frame: av.VideoFrame, capture_us: int) -> None:
        """The next one; may wait, raises `EdgeAgentError` when it cannot go on."""
        ...

    def finish(self) -> None:
        """No more come."""
        ...


@dataclass(frozen=True, slots=True)
class _Given:
    frame: av.VideoFrame
    capture_us: int


class Aside:
    """One branch and its thread; `give` and `finish` are one thread's, and wait for nothing but a branch's end."""

    def __init__(self, open_branch: Callable[[], Branch], clock: Clock) -> None:
        """Begin to open it; pictures that come meanwhile are let go."""
        self.is_open = False
        """Whether it takes pictures."""
        self._open = open_branch
        self._clock = clock
        self._waiting: queue.Queue[_Given | None] = queue.Queue(_ROOM)
        self._closed = threading.Event()
        self._ended = threading.Event()
        self._failure: CaptureError | None = None
        threading.Thread(target=self._run, name="proxy-pictures", daemon=True).start()

    def give(self, frame: av.VideoFrame, capture_us: int) -> None:
        """The next picture; where there is no room it is left out.

        Raises:
            CaptureError: the branch could not be opened, or failed.
        """
        if self._failure is not None:
            raise self._failure
        if not self.is_open:
            return
        try:
            self._waiting.put_nowait(_Given(frame, capture_us))
        except queue.Full:
            _log.debug("a picture finds no room beside the main stream")

    def finish(self) -> None:
        """No more come; one that does not end soon is left to end by itself."""
        self._closed.set()
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            _log.debug("what waits beside the main stream is not encoded any more")
        self._clock.wait(self._ended, _END_S)

    def _run(self) -> None:
        try:
            branch = self._open()
            try:
                self.is_open = True
                while not self._closed.is_set() and (given := self._waiting.get()) is not None:
                    branch.give(given.frame, given.capture_us)
            finally:
                branch.finish()
        except CaptureError as error:
            self._failure = error
        except Exception as error:  # noqa: BLE001 -- whatever it is ends this branch alone; told by who gives next
            self._failure = CaptureError(f"{type(error).__name__}: {error}")
        finally:
            self._ended.set()
