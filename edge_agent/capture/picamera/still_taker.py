"""Takes stills from a running camera: the next picture of its main stream, copied and masked off the camera's thread.

picamera2's `capture_request` leaves a job behind when its time is over, and a camera that gives no picture cannot be
stopped behind it; it may also give a picture from before the silence. So nothing is asked of picamera2: `look`, which
sees every picture on the camera's thread, keeps the next one from being given back, for as long as a copy takes.
"""

import contextlib
import logging
import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import av

from edge_agent.capture.frames.hook import FrameHook
from edge_agent.capture.frames.picture import picture_of
from edge_agent.capture.frames.turning import Turner
from edge_agent.capture.picamera.configuration import Given
from edge_agent.capture.picamera.library import Library
from edge_agent.capture.picamera.pictures import LAYOUTS, copied
from edge_agent.capture.source import SourceContext
from edge_agent.capture.stills import StillDesk, TakenPicture
from edge_agent.errors import SourceUnavailableError
from edge_agent.settings import CameraSettings

_log = logging.getLogger(__name__)

_COPY_S = 2.0
_DRAWABLE = frozenset({"yuv420p", "nv12"})


@dataclass(slots=True)
class _Painter:
    """Draws the masks, for one thread at a time."""

    hook: FrameHook
    lock: threading.Lock = field(default_factory=threading.Lock)

    def mask(self, frame: av.VideoFrame) -> None:
        with self.lock:
            if not self.hook.mask(picture_of(frame)):
                raise SourceUnavailableError(f"no still without its masks: {self.hook.figures.fault}")


_painters: "WeakKeyDictionary[StillDesk, dict[int, _Painter]]" = WeakKeyDictionary()
"""For a recorder's life, by how far masks are grown: working them out takes a while, and a source is made anew for
every attempt."""


def grown_by_blocks(given: Given) -> int:
    """How far masks of a still are grown, so that it shows nothing that they hide in the recording.

    There a mask ends within three blocks of its outline: the one that it touches, the next one, and what drawing an
    outline rounds.
    """
    share = max(given.still[0] / given.size[0], given.still[1] / given.size[1])
    return 1 if share <= 1 else math.ceil(3 * share)


@dataclass(slots=True)
class _Ask:
    """Who waits for a picture."""

    answered: threading.Event = field(default_factory=threading.Event)
    request: Any = None
    capture_us: int = 0
    fault: str = ""


class StillTaker:
    """Of one attempt: `look` is of the camera's thread, a call of any other's, one at a time."""

    def __init__(
        self, settings: CameraSettings, context: SourceContext, library: Library, desk: StillDesk, *, turns_here: bool
    ) -> None:
        """`turns_here`: the camera does not turn its pictures, so stills are turned behind."""
        self._settings = settings
        self._clock = context.clock
        self._mapped = library.mapped
        self._desk = desk
        self._turns_here = turns_here
        self._painter = self._painter_for(1)
        self._lock = threading.Lock()  # protects what follows; nobody waits while holding it
        self._ask: _Ask | None = None
        self._closed = False
        self._idle = threading.Event()  # no picture is kept from the camera
        self._idle.set()

    @contextlib.contextmanager
    def at_work(self, given: Given) -> Iterator[None]:
        """Stills come from here for as long as the camera runs, which it begins inside.

        Behind it no picture is kept from the camera, so that it can be closed.
        """
        self._painter = self._painter_for(grown_by_blocks(given))
        if self._settings.masks:
            self._work_masks_out(given)
        self._desk.taker = self
        try:
            yield
        finally:
            if self._desk.taker is self:  # else of a later attempt
                self._desk.taker = None
            self._close()

    def _work_masks_out(self, given: Given) -> None:
        """Before the camera runs, as it keeps the interpreter busy for a while; no reason not to record."""
        try:
            self._masked(av.VideoFrame(*given.still, LAYOUTS[given.format]))
        except Exception as error:  # noqa: BLE001 -- each still says it again to who asks, and the hook what is recorded
            _log.warning("stills cannot be masked: %s: %s", type(error).__name__, error)

    def _painter_for(self, grown_by: int) -> _Painter:
        known = _painters.setdefault(self._desk, {})
        if grown_by not in known:
            known[grown_by] = _Painter(FrameHook(self._settings.masks, self._clock, grown_by_blocks=grown_by))
        return known[grown_by]

    def look(self, request: Any, capture_us: int | None) -> None:  # noqa: ANN401 -- picamera2 has no types
        """A picture came, taken at `capture_us`; costs nothing while nobody asked, and raises nothing."""
        ask = self._ask
        if ask is None or capture_us is None:
            return
        with self._lock:
            if self._ask is not ask:  # nobody waits any more
                return
            self._ask = None
            try:
                request.acquire()
            except Exception as error:  # noqa: BLE001 -- it would end the camera; who asked is told instead
                ask.fault = f"{type(error).__name__}: {error}"
            else:
                self._idle.clear()
                ask.request, ask.capture_us = request, capture_us
        ask.answered.set()

    def __call__(self, wait_s: float) -> TakenPicture:
        """The next picture, masks drawn; the recording goes on meanwhile.

        Raises:
            SourceUnavailableError: none came in time, or it could not be masked.
        """
        ask = _Ask()
        with self._lock:
            if self._closed:
                ask.answered.set()
            else:
                self._ask = ask
        self._clock.wait(ask.answered, wait_s)
        with self._lock:
            self._ask = None
        if ask.request is None:
            why = ask.fault or ("it is being closed" if self._closed else f"not within {wait_s:g} s")
            raise SourceUnavailableError(f"picamera2: the camera gave no picture: {why}")
        return TakenPicture(self._masked(self._copied(ask.request)), ask.capture_us)

    def _copied(self, request: Any) -> av.VideoFrame:  # noqa: ANN401 -- picamera2 has no types
        try:
            return copied(request, "main", self._mapped)
        except Exception as error:
            raise SourceUnavailableError(
                f"picamera2: the picture cannot be read: {type(error).__name__}: {error}"
            ) from error
        finally:
            try:
                request.release()
            finally:
                self._idle.set()

    def _masked(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Turned, then masked, as what is recorded."""
        if self._turns_here:
            asked = self._settings
            # Made anew: it keeps memory of a picture's size.
            frame = Turner(asked.rotation_deg, hflip=asked.hflip, vflip=asked.vflip).turn(frame)
        if frame.format.name not in _DRAWABLE:
            frame = frame.reformat(format="yuv420p")
        frame.make_writable()
        self._painter.mask(frame)
        return frame

    def _close(self) -> None:
        with self._lock:
            self._closed = True
            ask, self._ask = self._ask, None
        if ask is not None:
            ask.answered.set()
        self._clock.wait(self._idle, _COPY_S)
