"""Which encoder is used: the first in order that works, and the next one when it fails again and again."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from edge_agent.camera_settings import EncoderName, EncoderSettings
from edge_agent.capture.encoding.encoder import EncodeOrder, Encoder, OpenEncoder
from edge_agent.capture.encoding.probe import Probed, probe
from edge_agent.clock import Clock
from edge_agent.errors import CaptureError, EncodersHangError, SourceUnavailableError

DEFAULT_ORDER: tuple[EncoderName, ...] = ("v4l2m2m", "gstreamer", "libx264", "libx265")
"""The board's before software. `camera` is none of these: pictures that it encoded do not come here."""

FAILURES_BEFORE_NEXT = 2
"""Within `FORGET_AFTER_US`: it is begun anew once, then the next one has its turn."""
FORGET_AFTER_US = 3600 * 1_000_000
REAL_TIME = 1.0
_MAX_HANGING = 2
"""Of one encoder, each with a thread: it is not opened once more while they do not come back."""

Try = Callable[[OpenEncoder, EncodeOrder, Clock], Probed]


@dataclass(slots=True)
class _Record:
    """What is known of one encoder for one order."""

    probed: Probed | None = None
    failed_us: list[int] = field(default_factory=list)
    left: list[threading.Event] = field(default_factory=list)
    """Of those that failed and had not come back: set once they have."""

    @property
    def hangs(self) -> bool:
        """Whether as many as are allowed have still not come back."""
        self.left = [ended for ended in self.left if not ended.is_set()]
        return len(self.left) >= _MAX_HANGING


class EncoderLadder:
    """One a recorder's life; any thread may ask."""

    def __init__(
        self,
        settings: EncoderSettings,
        kinds: Mapping[EncoderName, OpenEncoder],
        clock: Clock,
        try_out: Try = probe,
    ) -> None:
        """Nothing is tried before it is needed.

        Args:
            settings: the order, if it is not the default.
            kinds: encoders that there are, by name.
            clock: the clocks.
            try_out: encodes a second.
        """
        self._names: Sequence[EncoderName] = [name for name in settings.order or DEFAULT_ORDER if name in kinds]
        self._kinds = kinds
        self._clock = clock
        self._try_out = try_out
        self._locks: dict[EncodeOrder, threading.Lock] = {}
        """Of each order, for its records; held while an encoder is tried out. A main stream whose encoder failed does
        not wait for the trial of its proxy's."""
        self._records: dict[tuple[EncoderName, EncodeOrder], _Record] = {}

    def open(self, order: EncodeOrder) -> tuple[EncoderName, Encoder]:
        """The best that works.

        Raises:
            SourceUnavailableError: none does; the message says of each why. Next time all are tried out anew.
            EncodersHangError: likewise, and those that worked hang.
        """
        with self._lock(order):
            names = self._usable(order)
        faults: list[str] = []
        for name in names:
            try:
                return name, self._kinds[name](order)
            except CaptureError as error:
                faults.append(f"{name}: {error}")
                self.failed(name, order)
        faults += self.faults(order)
        what = f"{order.codec} of {order.width_px}×{order.height_px}"
        why = "; ".join(faults) or "none is named"
        if self._forget_trials(order):
            raise EncodersHangError(f"nothing encodes {what}: {why}; the recorder has to be started anew")
        raise SourceUnavailableError(f"nothing encodes {what}: {why}; mend [camera.encoder]")

    def failed(self, name: EncoderName, order: EncodeOrder, ended: threading.Event | None = None) -> None:
        """One that worked failed; `ended` is set once it came back, if it does."""
        with self._lock(order):
            record = self._record(name, order)
            record.failed_us.append(self._clock.monotonic_us())
            if ended is not None and not ended.is_set():
                record.left.append(ended)

    def _forget_trials(self, order: EncodeOrder) -> bool:
        """A device that was busy, or memory that was short, is no fault for good; True when encoders hang."""
        with self._lock(order):
            records = [self._record(name, order) for name in self._names]
            for record in records:
                if record.probed is not None and record.probed.fault and record.probed.is_over:
                    record.probed = None
            return any(record.hangs for record in records)

    def _usable(self, order: EncodeOrder) -> list[EncoderName]:
        """In the order in which they are to be opened; each that comes before the first usable one was tried out."""
        slow: list[tuple[float, EncoderName]] = []
        weak: list[EncoderName] = []
        for name in self._names:
            record = self._record(name, order)
            if record.probed is None:
                record.probed = self._try_out(self._kinds[name], order, self._clock)
            if record.probed.fault or record.hangs:
                continue
            if self._is_weak(record):
                weak.append(name)
            elif record.probed.speed < REAL_TIME:
                slow.append((record.probed.speed, name))
            else:
                return [name, *weak]
        # None keeps up: the fastest leaves the fewest pictures out. Those that failed come last, and are better than
        # nothing.
        return [name for _, name in sorted(slow, reverse=True)] + weak

    def _is_weak(self, record: _Record) -> bool:
        now_us = self._clock.monotonic_us()
        record.failed_us = [at for at in record.failed_us if now_us - at < FORGET_AFTER_US]
        return len(record.failed_us) >= FAILURES_BEFORE_NEXT

    def _lock(self, order: EncodeOrder) -> threading.Lock:
        return self._locks.setdefault(order, threading.Lock())

    def _record(self, name: EncoderName, order: EncodeOrder) -> _Record:
        return self._records.setdefault((name, order), _Record())

    def faults(self, order: EncodeOrder) -> list[str]:
        """Of each that was tried and cannot be used, its name and why."""
        with self._lock(order):
            found = [(name, self._record(name, order)) for name in self._names]
        return [f"{name}: {fault}" for name, record in found if (fault := _fault_of(record))]


def _fault_of(record: _Record) -> str:
    if record.probed is not None and record.probed.fault:
        return record.probed.fault
    return f"{len(record.left)} of it do not come back" if record.hangs else ""
