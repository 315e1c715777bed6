"""Keeps a camera connected: attempt after attempt, with a watchdog, until it is told to stop."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tenacity import RetryCallState, Retrying, wait_random, wait_random_exponential

from edge_agent.capture.attempt import Attempt
from edge_agent.capture.gate import Gate
from edge_agent.capture.quality import QualityMeter, QualityWarning
from edge_agent.capture.source import Activity, Source, SourceContext
from edge_agent.capture.standstill import StandstillWatch
from edge_agent.capture.table import open_source
from edge_agent.clock import Clock
from edge_agent.contract.access_unit import AccessUnit, CodecConfig, GapCause, StreamSink
from edge_agent.errors import CaptureError, EdgeAgentError, EncodersHangError, SourceFormatError
from edge_agent.settings import CameraSettings

if TYPE_CHECKING:
    from edge_agent.capture.coded import CodedPath

_log = logging.getLogger(__name__)

_POLL_S = 0.4
_STOP_GRACE_US = 700_000
_WATCHDOG_GRACE_S = 0.5
_SUSPICIONS = 3  # a process that was stopped and goes on finds its attempt silent until that had its turn
_HUNG_AFTER_US = 5_000_000
_STABLE_US = 60_000_000
_MAX_FAILURES = 16

_RETRY_WAIT = wait_random_exponential(multiplier=1, min=0.2, max=30)
_FORMAT_WAIT = wait_random(15, 30)

OpenSource = Callable[[CameraSettings, SourceContext], Source]


@dataclass(frozen=True, slots=True)
class CaptureState:
    """What the camera is doing.

    Attributes:
        connected: pictures are being written.
        cause: why there are none; None while connected and before the first attempt ended.
        detail: the same for people; no credentials.
        restarts: attempts after the first.
        last_frame_us: monotonic time at which the last picture that was written came; None before the first.
        config: of the stream; None before the first.
        fps: genuinely measured over the last seconds; None until then.
        warnings: what the law's minimum asks and the stream does not give.
        hung: a library call, or every encoder, does not return; only a restart of the process helps.
    """

    connected: bool = False
    cause: GapCause | None = None
    detail: str = ""
    restarts: int = 0
    last_frame_us: int | None = None
    config: CodecConfig | None = None
    fps: float | None = None
    warnings: tuple[QualityWarning, ...] = ()
    hung: bool = False


class CaptureSupervisor:
    """Owns a camera's retries, its watchdog and its state."""

    def __init__(
        self,
        camera: CameraSettings,
        context: SourceContext,
        sink: StreamSink,
        clock: Clock,
        open_with: OpenSource = open_source,
        *,
        is_judged: bool = True,
    ) -> None:
        """Nothing is opened yet; `is_judged` False: of a proxy is not asked what the law asks of a camera.

        Raises:
            SettingsError: the source cannot be used as it is set.
        """
        self._camera = camera
        self._context = context
        self._sink = sink
        self._clock = clock
        self._open = open_with
        self._is_judged = is_judged
        self._open(camera, context)
        if context.frames is not None:
            context.frames.stills.request_key_frame = self.request_key_frame
        after_effect_s = camera.stall_timeout_s + camera.connect_timeout_s + _WATCHDOG_GRACE_S
        self._standstills = StandstillWatch(clock, after_effect_s)
        self._meter = QualityMeter()
        self._lock = threading.Lock()  # protects `_state`, which the attempt's thread and the supervisor's replace
        self._state = CaptureState()
        self._last_frame_us: int | None = None
        self._attempt: Attempt | None = None
        """The last that was begun. One reference, swapped whole."""
        self._coded: CodedPath | None = None
        self._proxy_gate: Gate | None = None
        """Those of the attempt."""

    def state(self) -> CaptureState:
        """As it is now; from any thread."""
        with self._lock:
            return replace(self._state, last_frame_us=self._last_frame_us)

    def hand_over(self) -> None:
        """Have written what the source holds back; any thread may call it."""
        attempt = self._attempt
        if attempt is not None:
            attempt.activity.hand_over()

    def request_key_frame(self) -> None:
        """Ask the camera, or its encoder, for a key frame; any thread may call it, and it promises nothing."""
        attempt = self._attempt
        if attempt is not None:
            attempt.activity.request_key_frame()

    def run(self, stop: threading.Event) -> None:
        """Keep capturing until `stop` is set; returns within a second of that, even when a library hangs.

        Raises:
            EdgeAgentError: from the sink; never a CaptureError.
        """
        failures = 0
        cause: GapCause = self._context.cause
        while not stop.is_set():
            attempt = self._attempt = self._start(cause)
            error = self._watch(attempt, stop)
            if error is not None and not isinstance(error, CaptureError):
                raise error
            if stop.is_set():
                return
            if isinstance(error, EncodersHangError):
                self._change(lambda state: replace(state, hung=True))
                _log.error("camera %s: %s", self._camera.name, error)
            cause = attempt.gate.cause
            failures = 1 if self._was_stable(attempt) else min(failures + 1, _MAX_FAILURES)
            if self._pause(attempt, stop, self._wait_s(failures, error)):
                failures = 0
            self._change(lambda state: replace(state, restarts=state.restarts + 1))

    def _start(self, cause: GapCause) -> Attempt:
        gate = Gate(self._sink, self, cause)
        context = replace(self._context, activity=Activity(), cause=cause)
        shared = self._context.frames
        if shared is None:
            return self._attempt_with(context, gate, gate)
        from edge_agent.capture.coded import CodedPath

        self._proxy_gate = None if shared.proxy is None else Gate(shared.proxy, _Unheard(self), cause)
        outputs = replace(shared, main=gate, proxy=self._proxy_gate)
        context = replace(context, frames=outputs)
        self._coded = CodedPath(self._camera, context, outputs)
        return self._attempt_with(context, gate, self._coded)

    def _attempt_with(self, context: SourceContext, gate: Gate, sink: StreamSink) -> Attempt:
        source = self._open(self._camera, context)
        return Attempt(self._camera.name, source, sink, gate, context.activity, self._clock.monotonic_us())

    def _pause(self, attempt: Attempt, stop: threading.Event, wait_s: float) -> bool:
        """Until the next attempt's turn; a camera that is back has it at once, and True is the answer."""
        end_us = self._clock.monotonic_us() + round(wait_s * 1e6)
        while not stop.is_set() and (left_us := end_us - self._clock.monotonic_us()) > 0:
            if attempt.activity.is_back():
                return True
            self._standstills.wait(stop, min(left_us / 1e6, _POLL_S))
        return False

    def _watch(self, attempt: Attempt, stop: threading.Event) -> EdgeAgentError | None:
        """Wait for the attempt's end and end its stream; returns why it ended."""
        suspicions = 0
        while not self._standstills.wait(attempt.done, _POLL_S):
            if stop.is_set():
                attempt.stop.set()
                if not self._wait_until(attempt.done, _STOP_GRACE_US // 2):
                    self._see_off(attempt, _STOP_GRACE_US // 2)
                break
            silent_s = self._silent_s(attempt)
            suspicions = 0 if silent_s is None else suspicions + 1
            if silent_s is not None and suspicions >= _SUSPICIONS:
                return self._abandon(attempt, stop, f"nothing came from the source for {silent_s:.0f} s")
        attempt.activity.hand_over()  # of a source that did not end in time
        error = attempt.error
        if stop.is_set():
            self._shut(attempt, "stopped", "recording was stopped")
        elif error is not None:
            self._shut(attempt, "camera-lost", str(error))
        else:
            self._shut(attempt, "camera-lost", "the source came to its end")
        return error

    def _shut(self, attempt: Attempt, cause: GapCause, detail: str) -> None:
        """Let nothing more through, what is still being encoded excepted."""
        coded, self._coded = self._coded, None
        if coded is not None:
            coded.close()
            attempt.activity.hand_over()  # what was coded meanwhile
        attempt.gate.shut(cause, detail)
        if self._proxy_gate is not None:
            self._proxy_gate.shut(cause, detail)

    def _silent_s(self, attempt: Attempt) -> float | None:
        """For how long nothing came, once that is too long."""
        settings, last_us = self._camera, attempt.activity.last_us
        limit_s = settings.stall_timeout_s + _WATCHDOG_GRACE_S
        if last_us is None:
            limit_s += 2 * settings.connect_timeout_s  # opening, then finding out what comes
        since_us = max(last_us or attempt.start_us, attempt.activity.excused_us)
        age_s = (self._clock.monotonic_us() - since_us) / 1e6
        return age_s if age_s > limit_s else None

    def _abandon(self, attempt: Attempt, stop: threading.Event, detail: str) -> EdgeAgentError | None:
        """Cut off an attempt that is silent, and wait for its thread as long as it takes."""
        attempt.activity.hand_over()
        self._shut(attempt, "camera-lost", detail)
        attempt.stop.set()
        if not self._see_off(attempt, _HUNG_AFTER_US, stop):
            if not stop.is_set():
                self._change(lambda state: replace(state, hung=True))
                _log.error("camera %s: its library hangs; the recorder has to be restarted", self._camera.name)
            while not stop.is_set() and not self._standstills.wait(attempt.done, _POLL_S):
                continue
            self._change(lambda state: replace(state, hung=False))
        return CaptureError(detail) if attempt.error is None else attempt.error

    def _wait_until(self, event: threading.Event, limit_us: int) -> bool:
        end_us = self._clock.monotonic_us() + limit_us
        while self._clock.monotonic_us() < end_us:
            if self._standstills.wait(event, _POLL_S):
                return True
        return event.is_set()

    def _see_off(self, attempt: Attempt, limit_us: int, stop: threading.Event | None = None) -> bool:
        """Wait for an attempt that was told to end, calling its library back time and again."""
        end_us = self._clock.monotonic_us() + limit_us
        while self._clock.monotonic_us() < end_us and not (stop is not None and stop.is_set()):
            attempt.activity.interrupt()
            if self._standstills.wait(attempt.done, _POLL_S):
                return True
        return attempt.done.is_set()

    def _was_stable(self, attempt: Attempt) -> bool:
        last_us = attempt.activity.last_us
        return last_us is not None and last_us - attempt.start_us >= _STABLE_US

    def _wait_s(self, failures: int, error: EdgeAgentError | None) -> float:
        wait = _FORMAT_WAIT if isinstance(error, SourceFormatError) else _RETRY_WAIT
        state = RetryCallState(Retrying(), None, (), {})
        state.attempt_number = failures
        return float(wait(state))

    def on_start(self, config: CodecConfig) -> None:
        """A stream began (called by the gate)."""
        self._meter.start(config)
        self._change(lambda state: replace(state, config=config))
        self._judge()

    def on_write(self, unit: AccessUnit) -> None:
        """A picture was written (called by the gate)."""
        self._last_frame_us = self._clock.monotonic_us() if unit.received_us is None else unit.received_us
        if not self._state.connected:
            self._change(lambda state: replace(state, connected=True, cause=None, detail=""))
            _log.info("camera %s: recording", self._camera.name)
        if self._meter.add(unit):
            self._judge()

    def on_end(self, cause: GapCause, detail: str) -> None:
        """The stream ended (called by the gate)."""
        known = self._state
        self._change(lambda state: replace(state, connected=False, cause=cause, detail=detail))
        if known.connected or known.cause != cause:
            level = logging.INFO if cause == "stopped" else logging.WARNING
            _log.log(level, "camera %s: %s: %s", self._camera.name, cause, detail)

    def standstill(self) -> str | None:
        """What a loss that shows now is due to, when the recorder itself stood still (asked by the gate)."""
        return self._standstills.explanation()

    def _judge(self) -> None:
        warnings = self._meter.warnings if self._is_judged else ()
        if warnings != self._state.warnings:
            _log.warning(
                "camera %s: below the legal minimum: %s", self._camera.name, ", ".join(warnings) or "no longer"
            )
        fps = self._meter.fps
        self._change(lambda state: replace(state, fps=fps, warnings=warnings))

    def _change(self, change: Callable[[CaptureState], CaptureState]) -> None:
        with self._lock:
            self._state = change(self._state)


class _Unheard:
    """Watches a proxy's gate: what counts is the main stream, and what the recorder slept through."""

    def __init__(self, supervisor: CaptureSupervisor) -> None:
        self._supervisor = supervisor

    def on_start(self, config: CodecConfig) -> None:
        """Nobody asks."""

    def on_write(self, unit: AccessUnit) -> None:
        """Nobody asks."""

    def on_end(self, cause: GapCause, detail: str) -> None:
        """Nobody asks."""

    def standstill(self) -> str | None:
        """As of the main stream."""
        return self._supervisor.standstill()
