"""Where a still is asked for, and where whoever has pictures gives one; the recording goes on meanwhile.

Pictures that are encoded here are given as they are recorded, masks and text in them; of a stream that a camera
encoded, and that passes, the newest key picture is decoded; a camera's library may have a way of its own (`taker`).
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import av

from edge_agent.capture.key_pictures import KeyPicture, decoded
from edge_agent.clock import Clock
from edge_agent.errors import SourceUnavailableError

MAX_AGE_S = 15.0
"""A key picture that is older is none of what the camera sees now."""


@dataclass(frozen=True, slots=True)
class TakenPicture:
    """One picture that may be shown.

    Attributes:
        frame: its pixels; nobody writes to them any more.
        capture_us: when it was taken, monotonic.
    """

    frame: av.VideoFrame
    capture_us: int


@dataclass(slots=True)
class _Ask:
    """Who waits for a picture."""

    answered: threading.Event = field(default_factory=threading.Event)
    picture: TakenPicture | None = None


Taker = Callable[[float], TakenPicture]
"""Takes a picture with a camera's own library, masked, within so many seconds; raises `SourceUnavailableError`."""


class StillDesk:
    """One a recorder's life. `take` is any thread's, one at a time; so is all else, and none of it waits."""

    def __init__(self, clock: Clock, request_key_frame: Callable[[], None] | None = None) -> None:
        """`request_key_frame` asks the camera for a key frame, where it can be asked."""
        self.request_key_frame = request_key_frame
        """One reference, swapped whole."""
        self.taker: Taker | None = None
        """Of the attempt that runs. One reference, swapped whole."""
        self._clock = clock
        self._taking = threading.Lock()  # one still at a time
        self._ask: _Ask | None = None
        self._key: KeyPicture | None = None

    def offer(self, frame: av.VideoFrame, capture_us: int) -> None:
        """A picture that is recorded; costs nothing while nobody asked."""
        ask = self._ask
        if ask is not None and ask.picture is None:
            ask.picture = TakenPicture(frame, capture_us)
            ask.answered.set()

    def offer_key(self, key: KeyPicture) -> None:
        """A key picture that passes as the camera encoded it."""
        self._key = key
        ask = self._ask
        if ask is not None:
            ask.answered.set()

    def forget(self) -> None:
        """The stream ended: its last key picture is not shown for one of another camera, or another aim."""
        self._key = None

    def take(self, wait_s: float) -> TakenPicture:
        """A picture of now: one that comes within `wait_s`, else the newest key picture, if it is young.

        Raises:
            SourceUnavailableError: there is none; the camera gives nothing, or another still is being waited for.
            SourceFormatError: what the camera encoded cannot be decoded.
        """
        if not self._taking.acquire(timeout=wait_s):
            raise SourceUnavailableError("another still is being taken")
        try:
            taker = self.taker
            return self._taken(wait_s) if taker is None else taker(wait_s)
        finally:
            self._taking.release()

    def _taken(self, wait_s: float) -> TakenPicture:
        asked_us = self._clock.monotonic_us()
        ask = self._ask = _Ask()
        if self.request_key_frame is not None:
            self.request_key_frame()
        self._clock.wait(ask.answered, wait_s)
        self._ask = None
        if ask.picture is not None:
            return ask.picture
        key = self._key
        if key is not None and asked_us - key.capture_us <= MAX_AGE_S * 1e6:
            return TakenPicture(decoded(key), key.capture_us)
        raise SourceUnavailableError(f"the camera gave no picture within {wait_s:g} s")
