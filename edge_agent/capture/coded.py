"""What becomes of a stream that the camera encoded: it passes as it is, or is decoded and encoded again.

    normaliser ─► CodedPath ─┬─► main ring                    nothing is drawn; key pictures are looked at
                             └─► Transcoder ─► proxy's ring   where a proxy is made here

    normaliser ─► CodedPath ──► Transcoder ─► FramePipeline   masks or text: not a picture passes by them

A transcoder works in a thread of its own behind a queue bounded in bytes. One that does not keep up leaves whole
groups of pictures out; it never holds up the stream that passes.
"""

import logging
import threading
from collections import deque
from dataclasses import dataclass, replace

import av

from edge_agent.camera_settings import CameraSettings
from edge_agent.capture.key_pictures import KeyKeeper, KeyPicture
from edge_agent.capture.key_watch import KeyWatch
from edge_agent.capture.libav import reason_of
from edge_agent.capture.pipeline import PROXY_AGAIN_US, PROXY_NOT_MADE, FramePipeline
from edge_agent.capture.source import FrameOutputs, SourceContext
from edge_agent.contract.access_unit import AccessUnit, CodecConfig, GapCause
from edge_agent.errors import CaptureError, EdgeAgentError, SourceFormatError

_log = logging.getLogger(__name__)

MAX_WAITING_BYTES = 16_000_000
BARREN_LIMIT = 250
"""Access units in a row of which no picture comes: ten seconds."""
_END_S = 0.4
_MAX_KNOWN = 128


class CodedPath:
    """The sink for one attempt of a source whose camera encodes; its calls are one thread's at a time."""

    def __init__(self, settings: CameraSettings, context: SourceContext, outputs: FrameOutputs) -> None:
        """Decide what passes; nothing is begun yet."""
        self._passes = not outputs.hook.draws
        self._main = outputs.main
        self._proxy = outputs.proxy
        self._transcoder: Transcoder | None = None
        self._stills = outputs.stills
        self._keys = KeyKeeper()
        self._watch: KeyWatch | None = None
        self._hook = outputs.hook
        self._settings = _unturned(settings) if self._passes else settings
        self._config: CodecConfig | None = None
        self._proxy_again_us = 0
        if not self._passes:
            self._context = replace(context, frames=outputs)
            self._transcoder = Transcoder(settings, self._context)
        elif outputs.proxy is not None:
            self._context = replace(context, frames=replace(outputs, main=None))
            self._transcoder = Transcoder(self._settings, self._context)
        else:
            self._watch = KeyWatch(outputs.hook)

    def start_stream(self, config: CodecConfig, cause: GapCause) -> None:
        """As `StreamSink`."""
        self._config = config
        self._hook.expect_decoded()
        if self._passes and self._main is not None:
            self._main.start_stream(config, cause)
            self._keys.start(config)
        if self._transcoder is not None:
            self._transcoder.start(config, cause)

    def write(self, unit: AccessUnit) -> None:
        """As `StreamSink`.

        Raises:
            CaptureError: masks or text were asked for, and the stream cannot be decoded or encoded.
        """
        if self._passes and self._main is not None:
            self._main.write(unit)
            self._show(self._keys.add(unit))
        if self._transcoder is None and unit.is_key:
            self._try_proxy_again(unit)
        if self._transcoder is not None:
            self._transcoder.put(unit)
            self._check(self._transcoder, unit.capture_us)

    def end_stream(self, cause: GapCause, detail: str) -> None:
        """As `StreamSink`."""
        if self._passes and self._main is not None:
            self._main.end_stream(cause, detail)

    def close(self) -> None:
        """The attempt is over: end the transcoder, as far as it ends in a second."""
        self._stills.forget()
        if self._watch is not None:
            self._watch.close()
        if self._transcoder is not None:
            self._transcoder.close()

    def _show(self, key: KeyPicture | None) -> None:
        """To who wants to see one, undrawn as the stream is."""
        if key is None:
            return
        self._stills.offer_key(key)
        if self._watch is not None:
            self._watch.show(key)

    def _check(self, transcoder: "Transcoder", now_us: int) -> None:
        if transcoder.failure is None:
            return
        if not self._passes:
            raise transcoder.failure
        transcoder.close()
        self._transcoder = None
        self._proxy_again_us = now_us + PROXY_AGAIN_US
        self._context.report.warn(PROXY_NOT_MADE, f"{transcoder.failure}; it is tried again every minute")
        if self._proxy is not None:
            self._proxy.end_stream("camera-lost", str(transcoder.failure))

    def _try_proxy_again(self, key: AccessUnit) -> None:
        if self._proxy is None or self._config is None or key.capture_us < self._proxy_again_us:
            return
        self._transcoder = Transcoder(self._settings, self._context)
        self._transcoder.start(self._config, "camera-lost")


def _unturned(settings: CameraSettings) -> CameraSettings:
    """For the proxy of a stream that passes: it shows what the main stream does, which the camera may have turned."""
    return settings.model_copy(update={"rotation_deg": 0, "hflip": False, "vflip": False})


class Transcoder:
    """Decodes a stream and gives its pictures to a `FramePipeline`, in a thread of its own."""

    def __init__(self, settings: CameraSettings, context: SourceContext) -> None:
        """Nothing is begun before the first stream; the context's `frames` get the pictures."""
        self.failure: EdgeAgentError | None = None
        """Why it ended. One reference, swapped whole."""
        self.dropped = 0
        """Access units that were left out."""
        self._settings = settings
        self._context = context
        self._changed = threading.Condition()  # protects what follows
        self._waiting: deque[_Begin | AccessUnit] = deque()
        self._size_bytes = 0
        self._needs_key = False
        self._closing = False
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, config: CodecConfig, cause: GapCause) -> None:
        """A stream begins, and why there."""
        with self._changed:
            self._waiting.append(_Begin(config, cause))
            self._needs_key = False
            self._changed.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="transcode", daemon=True)
            self._thread.start()

    def put(self, unit: AccessUnit) -> None:
        """The next access unit; where there is no room it is left out, and what follows up to a key frame."""
        with self._changed:
            if self._needs_key and not unit.is_key:
                self.dropped += 1
                return
            self._needs_key = self._size_bytes + len(unit.data) > MAX_WAITING_BYTES
            if self._needs_key:
                self.dropped += 1
                return
            self._waiting.append(unit)
            self._size_bytes += len(unit.data)
            self._changed.notify()

    def close(self) -> None:
        """No more comes; what is not done soon is not done: another attempt's pictures come to the same hook."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is None:
            return
        self._context.clock.wait(self._ended, _END_S)
        with self._changed:
            self._waiting.clear()
            self._size_bytes = 0

    def _next(self) -> "_Begin | AccessUnit | None":
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
            if not self._waiting:
                return None
            item = self._waiting.popleft()
            if isinstance(item, AccessUnit):
                self._size_bytes -= len(item.data)
            return item

    def _run(self) -> None:
        work: _Decoding | None = None
        try:
            while (item := self._next()) is not None:
                if isinstance(item, _Begin):
                    _finish(work)
                    work = _Decoding(item.config, self._settings, replace(self._context, cause=item.cause))
                elif work is not None:
                    work.push(item)
            _finish(work)
        except EdgeAgentError as error:
            self.failure = error
        except Exception as error:  # noqa: BLE001 -- a library's bug ends this attempt; told by whoever writes next
            self.failure = CaptureError(f"{type(error).__name__}: {error}")
        finally:
            if self.failure is not None:
                _abandon(work)
            self._ended.set()


@dataclass(frozen=True, slots=True)
class _Begin:
    """A stream begins."""

    config: CodecConfig
    cause: GapCause


def _abandon(work: "_Decoding | None") -> None:
    """After a failure: its encoders and their threads end too, and what they say of it is known."""
    try:
        _finish(work)
    except Exception:  # noqa: BLE001 -- what counts is the failure before it
        _log.debug("at the end of a stream that failed", exc_info=True)


def _finish(work: "_Decoding | None") -> None:
    if work is not None:
        work.finish()


class _Decoding:
    """One stream's decoder, and the pipeline behind it."""

    def __init__(self, config: CodecConfig, settings: CameraSettings, context: SourceContext) -> None:
        self._config = config
        self._settings = settings
        self._context = context
        self._rate = config.frame_rate_fps or settings.fps or 25.0
        self._pipeline: FramePipeline | None = None
        self._captured: dict[int, int] = {}
        self._last_us = -1
        self._skip_until_key = True
        self._barren = 0
        self._reason = "no picture comes out"
        decoder = av.CodecContext.create(config.codec, "r")
        decoder.extradata = config.extradata or None
        decoder.thread_count = 1
        self._decoder = decoder

    def push(self, unit: AccessUnit) -> None:
        self._barren += 1
        if self._barren > BARREN_LIMIT:
            raise SourceFormatError(
                f"the camera's {self._config.codec} cannot be decoded, so nothing can be drawn on it or made of it:"
                f" {self._reason}; have it send plain H.264 or H.265 with 8 bits"
            )
        if self._skip_until_key and not unit.is_key:
            return
        self._skip_until_key = False
        packet = av.Packet(unit.data)
        packet.pts, packet.dts = unit.pts_90k, unit.dts_90k
        self._captured[unit.pts_90k] = unit.capture_us
        while len(self._captured) > _MAX_KNOWN:
            self._captured.pop(next(iter(self._captured)))
        try:
            frames = self._decoder.decode(packet)
        except av.FFmpegError as error:
            self._reason = reason_of(error)
            self._skip_until_key = True
            return
        for frame in frames:
            self._barren = 0
            self._show(frame)

    def finish(self) -> None:
        try:
            for frame in self._decoder.decode(None):
                self._show(frame)
        except av.FFmpegError as error:
            _log.debug("the last pictures cannot be decoded: %s", reason_of(error))
        if self._pipeline is not None:
            self._pipeline.finish()

    def _show(self, frame: av.VideoFrame) -> None:
        capture_us = None if frame.pts is None else self._captured.pop(frame.pts, None)
        if capture_us is None or capture_us <= self._last_us:
            return
        if self._pipeline is None:
            self._pipeline = FramePipeline(self._settings, self._context, frame.width, frame.height, self._rate)
        self._last_us = capture_us
        self._pipeline.push(frame, capture_us)
