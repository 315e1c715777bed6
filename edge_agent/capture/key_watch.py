"""Image health of a stream that passes as the camera encoded it: a key picture is decoded once in a while.

A thread of its own decodes, with room for one picture before it: a decoder that is slow or hangs costs samples alone.
"""

import logging
import queue
import threading

from edge_agent.capture.frames.hook import FrameHook
from edge_agent.capture.frames.picture import picture_of
from edge_agent.capture.key_pictures import KeyPicture, decoded

_log = logging.getLogger(__name__)

EVERY_US = 10_000_000
"""About 0.1 % of a core at 1080p."""
_FORMAT = "yuv420p"


class KeyWatch:
    """One attempt's; `show` and `close` are one thread's."""

    def __init__(self, hook: FrameHook, every_us: int = EVERY_US) -> None:
        """`hook` judges; nothing is begun before the first key picture."""
        self._hook = hook
        self._every_us = every_us
        self._due_us: int | None = None
        self._waiting: queue.Queue[KeyPicture | None] = queue.Queue(1)
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def show(self, key: KeyPicture) -> None:
        """A key picture; most are not looked at."""
        capture_us = key.capture_us
        if self._due_us is not None and self._due_us - 10 * self._every_us < capture_us < self._due_us:
            return
        self._due_us = capture_us + self._every_us
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="look-at-keys", daemon=True)
            self._thread.start()
        try:
            self._waiting.put_nowait(key)
        except queue.Full:
            self._hook.skip_sample("the last key picture is still being decoded")

    def close(self) -> None:
        """No more comes; a decoder that hangs is left behind with its thread."""
        self._closed.set()
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            _log.debug("a key picture is still being decoded: its thread ends after it")

    def _run(self) -> None:
        while not self._closed.is_set() and (key := self._waiting.get()) is not None:
            self._look(key)

    def _look(self, key: KeyPicture) -> None:
        try:
            frame = decoded(key)
            shown = picture_of(frame if frame.format.name == _FORMAT else frame.reformat(format=_FORMAT))
        except Exception as error:  # noqa: BLE001 -- samples are no reason to end anything; it is counted and told
            self._hook.skip_sample(str(error))
            return
        if not self._closed.is_set():
            self._hook.sample(shown, key.capture_us)
