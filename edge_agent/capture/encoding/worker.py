"""An encoder in a thread of its own: pictures go in by a short queue, coded ones come out, a wedge is noticed.

An encoder that fails, or that takes a picture and does not come back, is left behind and another takes over: the
camera goes on meanwhile, and what is lost is told as such. What comes from one that was left behind is thrown away.
"""

import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

import av

from edge_agent.camera_settings import EncoderName
from edge_agent.capture.encoding.encoder import EncodedPicture, EncodeOrder, Encoder
from edge_agent.capture.encoding.ladder import EncoderLadder
from edge_agent.capture.report import CaptureReport
from edge_agent.clock import Clock
from edge_agent.errors import CaptureError, EdgeAgentError

_log = logging.getLogger(__name__)

MAX_WAITING = 8
"""Pictures; a third of a second. At 1080p they are 25 MB."""
WEDGED_AFTER_US = 3_000_000
_LOOK_US = 1_000_000
"""The most that the time between two pictures counts for: a recorder that was stopped, or a camera that paused, says
nothing against an encoder."""
_MAX_KNOWN = 256
_PATIENCE_S = 0.1
"""A camera's driver has buffers for as long."""
_END_S = 0.4

ENCODER_BEHIND = "encoder-behind"
_MANY_DROPPED = 10
_DROP_WINDOW_US = 10_000_000
_CAUGHT_UP_AFTER_US = 60_000_000

Prepare = Callable[[av.VideoFrame], av.VideoFrame]
Take = Callable[["CodedFrame"], None]


@dataclass(frozen=True, slots=True)
class CodedFrame:
    """A coded picture and when it was taken.

    Attributes:
        picture: as the encoder gave it.
        capture_us: monotonic.
    """

    picture: EncodedPicture
    capture_us: int


@dataclass(frozen=True, slots=True)
class _Given:
    frame: av.VideoFrame
    capture_us: int


class EncoderWorker:
    """Keeps pictures of one size encoded; `give` and `finish` are one thread's."""

    def __init__(
        self,
        order: EncodeOrder,
        ladder: EncoderLadder,
        report: CaptureReport,
        clock: Clock,
        take: Take,
        prepare: Prepare | None = None,
    ) -> None:
        """Open the first encoder.

        Args:
            order: what is asked for.
            ladder: says who encodes.
            report: told of it.
            clock: the clocks.
            take: gets what is encoded, in a thread of the worker's; two calls never overlap.
            prepare: done to each picture in that thread before it is encoded.

        Raises:
            SourceUnavailableError: nothing encodes here.
            EncodersHangError: all that did hang.
        """
        self._order = order
        self._ladder = ladder
        self._report = report
        self._clock = clock
        self._take = take
        self._prepare = prepare
        self._delivering = threading.Lock()  # protects `_shift` and calls of `take`
        self.dropped = 0
        """Pictures that were left out because the encoder does not keep up; many of them are a warning."""
        self._drops = 0
        self._drops_since_us = self._dropped_us = 0
        self._key_asked = threading.Event()
        self._shift = self._begin()

    def request_key_frame(self) -> None:
        """Have the next picture that is encoded be a key frame; any thread may call it."""
        self._key_asked.set()

    def give(self, frame: av.VideoFrame, capture_us: int) -> None:
        """Have a picture encoded; one that finds no room in a tenth of a second is left out.

        Args:
            frame: `pts` in 1/90,000 s, rising; its memory is not changed any more.
            capture_us: when it was taken, monotonic.

        Raises:
            EdgeAgentError: nothing encodes any more (`EncodersHangError`: all hang), or `take` raised.
        """
        shift = self._shift
        if shift.failure is not None and not isinstance(shift.failure, CaptureError):
            raise shift.failure
        now_us = self._clock.monotonic_us()
        fault = shift.fault(now_us)
        if fault:
            shift = self._relieve(shift, fault)
        try:
            shift.waiting.put(_Given(frame, capture_us), timeout=_PATIENCE_S)
        except queue.Full:
            self._note_dropped(shift.name, now_us)
        else:
            self._note_taken(now_us)

    def finish(self) -> None:
        """Encode what waits, as far as that is done in less than a second; afterwards nothing is taken any more."""
        shift = self._shift
        try:
            shift.waiting.put(None, timeout=_END_S)
        except queue.Full:
            _log.warning("encoder %s does not end: what it holds is lost", shift.name)
        self._clock.wait(shift.ended, _END_S)
        self._leave(shift)
        if shift.failure is not None and not isinstance(shift.failure, CaptureError):
            raise shift.failure

    def _note_dropped(self, name: str, now_us: int) -> None:
        self.dropped += 1
        if now_us - self._drops_since_us > _DROP_WINDOW_US:
            self._drops_since_us, self._drops = now_us, 0
        self._drops += 1
        self._dropped_us = now_us
        if self._drops >= _MANY_DROPPED:
            self._report.warn(
                ENCODER_BEHIND,
                f"{name} does not keep up with the camera and pictures are missing: ask for a smaller size or fewer"
                " pictures a second, or put another encoder first in camera.encoder.order",
            )

    def _note_taken(self, now_us: int) -> None:
        if self._dropped_us and now_us - self._dropped_us > _CAUGHT_UP_AFTER_US:
            self._dropped_us = 0
            self._report.clear(ENCODER_BEHIND)

    def _begin(self) -> "_Shift":
        name, encoder = self._ladder.open(self._order)
        self._report.encoder(name, encoder.detail, "; ".join(self._ladder.faults(self._order)))
        shift = _Shift(name, encoder, self._clock, self._deliver, self._prepare, self._key_asked)
        shift.start()
        return shift

    def _relieve(self, shift: "_Shift", fault: str) -> "_Shift":
        self._leave(shift)
        self._report.encoder_failed(shift.name, fault)
        self._ladder.failed(shift.name, self._order, shift.ended)
        self._shift = self._begin()
        return self._shift

    def _leave(self, shift: "_Shift") -> None:
        with self._delivering:
            shift.is_over = True
        with contextlib.suppress(queue.Full):  # then it has something to wake up for
            shift.waiting.put_nowait(None)
        shift.encoder.kill()

    def _deliver(self, shift: "_Shift", coded: CodedFrame) -> None:
        with self._delivering:
            if not shift.is_over:
                self._take(coded)


class _Lasting:
    """For how long something has gone on, in time that somebody looked at."""

    def __init__(self) -> None:
        self._since_us: int | None = None
        self._looked_us = 0
        self._lasted_us = 0

    def lasted_us(self, since_us: int | None, now_us: int) -> int:
        """`since_us`: when what goes on now began; None: nothing does."""
        if since_us is None or since_us != self._since_us:
            self._since_us, self._lasted_us = since_us, 0
        else:
            self._lasted_us += min(now_us - self._looked_us, _LOOK_US)
        self._looked_us = now_us
        return self._lasted_us


class _Shift:
    """One encoder's time at work."""

    def __init__(
        self,
        name: EncoderName,
        encoder: Encoder,
        clock: Clock,
        deliver: Callable[["_Shift", CodedFrame], None],
        prepare: Prepare | None,
        key_asked: threading.Event,
    ) -> None:
        self.name = name
        self.encoder = encoder
        self.waiting: queue.Queue[_Given | None] = queue.Queue(MAX_WAITING)
        self.ended = threading.Event()
        self.is_over = False
        """Nothing of it is delivered any more; protected by the worker's lock."""
        self.failure: EdgeAgentError | None = None
        self._clock = clock
        self._deliver = deliver
        self._prepare = prepare
        self._key_asked = key_asked
        self._busy, self._given = _Lasting(), _Lasting()
        self._busy_since_us: int | None = None
        self._given_since_us: int | None = None
        """When the first picture was given that nothing came back for."""
        self._known: dict[int, int] = {}
        self._thread = threading.Thread(target=self._run, name=f"encode-{name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def fault(self, now_us: int) -> str:
        """Why another has to take over; empty while it works."""
        if self.failure is not None:
            return str(self.failure)
        busy_us = self._busy.lasted_us(self._busy_since_us, now_us)
        given_us = self._given.lasted_us(self._given_since_us, now_us)
        if busy_us > WEDGED_AFTER_US:
            return f"it did not come back for {busy_us / 1e6:.0f} s"
        if given_us > WEDGED_AFTER_US:
            return f"it takes pictures and gave none back for {given_us / 1e6:.0f} s"
        return ""

    def _run(self) -> None:
        try:
            while not self.is_over and (given := self.waiting.get()) is not None:
                self._encode(given)
            if not self.is_over:
                self._hand_on(self.encoder.finish())
        except EdgeAgentError as error:
            self.failure = error
        except Exception as error:  # noqa: BLE001 -- whatever a library raises, another encoder takes over, and it is told
            self.failure = CaptureError(f"{type(error).__name__}: {error}")
        finally:
            self.ended.set()

    def _encode(self, given: _Given) -> None:
        self._busy_since_us = self._clock.monotonic_us()
        if self._given_since_us is None:
            self._given_since_us = self._busy_since_us
        pts = given.frame.pts
        frame = given.frame if self._prepare is None else self._prepare(given.frame)
        if pts is not None:
            self._known[pts] = given.capture_us
        is_key = self._key_asked.is_set()
        if is_key:
            self._key_asked.clear()
        self._hand_on(self.encoder.encode(frame, is_key=is_key))
        self._busy_since_us = None

    def _hand_on(self, pictures: list[EncodedPicture]) -> None:
        if pictures:
            self._given_since_us = None
        for picture in pictures:
            capture_us = self._known.pop(picture.pts, None)
            if capture_us is not None:
                self._deliver(self, CodedFrame(picture, capture_us))
        while len(self._known) > _MAX_KNOWN:
            self._known.pop(next(iter(self._known)))
