"""Pictures of one attempt on their way to the rings: turned, looked at and drawn on, encoded twice.

    frame ─► yuv420p, turned ─► hook ─┬─► encoder ─► normaliser ─► main ring
                                      └─► smaller, fewer ─► encoder ─► normaliser ─► proxy's ring

Encoders have threads of their own (`EncoderWorker`); the proxy's pictures are made smaller in its own. The proxy can
neither hold up nor end the main stream: beside one it is opened and fed in a thread of its own (`Aside`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction

import av
from av.video.reformatter import ColorRange, VideoReformatter

from edge_agent.camera_settings import PROXY_SUFFIX, CameraSettings, ProxySettings
from edge_agent.capture.aside import Aside
from edge_agent.capture.batch import Batch
from edge_agent.capture.encoding.encoder import Effort, EncodeOrder
from edge_agent.capture.encoding.worker import CodedFrame, EncoderWorker
from edge_agent.capture.frames.picture import picture_of
from edge_agent.capture.frames.turning import Turner, turned_size
from edge_agent.capture.normaliser import Normaliser
from edge_agent.capture.packet import RawPacket
from edge_agent.capture.report import CaptureReport
from edge_agent.capture.source import Activity, FrameOutputs, SourceContext
from edge_agent.contract.access_unit import TIMESCALE_HZ, CodecConfig, StreamSink
from edge_agent.errors import CaptureError

_FORMAT = "yuv420p"
_TIME_BASE = Fraction(1, TIMESCALE_HZ)
_MOST_PROXY_FPS = 12.5
_LEAST_FPS = Fraction(1, 10)
"""What a stream says of its own rate may be next to nothing."""
PROXY_AGAIN_US = 60_000_000
PROXY_NOT_MADE = "proxy-not-made"
SCALING_THREADS = 1
"""libswscale's own threads cost more than they save: the whole of 720p is 0.1 ms."""
_LONGEST_CHOICE_US = 60_000_000
"""Each of four encoders may hang for 10 s in its trial; an opening that takes longer is a library that hangs."""
MASK_FAULT_LIMIT = 250
"""Pictures in a row that could not be masked, and so were not recorded, after which the attempt ends."""


class FramePipeline:
    """One attempt's pictures; all methods are one thread's."""

    def __init__(
        self,
        settings: CameraSettings,
        context: SourceContext,
        width_px: int,
        height_px: int,
        fps: float,
        *,
        effort: Effort = "usual",
    ) -> None:
        """Try encoders out and open them.

        Args:
            settings: the camera's.
            context: the attempt's.
            width_px: of the pictures that will come.
            height_px: of the pictures that will come.
            fps: nominal pictures a second.
            effort: of software encoders.

        Raises:
            SourceUnavailableError: nothing encodes what is asked for.
        """
        self._outputs = _outputs_of(context)
        self._clock = context.clock
        self._reformatter = VideoReformatter()
        self._turner = Turner(settings.rotation_deg, hflip=settings.hflip, vflip=settings.vflip)
        width_px, height_px = turned_size(width_px // 2 * 2, height_px // 2 * 2, settings.rotation_deg)
        self._size = (width_px, height_px)
        rate = max(Fraction(fps).limit_denominator(1001), _LEAST_FPS)
        self._settings = settings
        self._context = context
        self._rate = rate
        self._main = None
        if self._outputs.main is not None:
            order = _order(settings, width_px, height_px, rate, effort)
            with self._excused():
                self._main = _Branch(context, self._outputs.main, order, may_hold_back=True)
            context.activity.request_key_frame = self._main.request_key_frame
        self._proxy: _ProxyBranch | Aside | None = None
        self._proxy_again_us = 0
        self._start_us: int | None = None
        self._last_pts = -1
        self._unmasked = 0

    def push(self, frame: av.VideoFrame, capture_us: int) -> None:
        """The next picture; one that the encoder has no room for is left out.

        Args:
            frame: of any format that libav converts; it may be drawn on.
            capture_us: when it was taken, monotonic; rising.

        Raises:
            CaptureError: nothing encodes any more, or the masks cannot be drawn.
        """
        drawn = self._drawable(frame)
        if not self._outputs.hook.apply(picture_of(drawn), capture_us):
            self._note_unmasked()
            return
        self._unmasked = 0
        drawn.pts, drawn.time_base = self._stamp(capture_us), _TIME_BASE
        if self._main is not None:
            self._outputs.stills.offer(drawn, capture_us)
            with self._excused():
                self._main.give(drawn, capture_us)
        if self._outputs.proxy is not None and self._settings.proxy is not None:
            self._give_proxy(self._outputs.proxy, self._settings.proxy, drawn, capture_us)

    def finish(self) -> None:
        """No more pictures come: encode what waits, as far as that is done in a second or two."""
        try:
            if self._main is not None:
                self._main.finish()
        finally:
            if self._proxy is not None:
                self._proxy.finish()

    @contextmanager
    def _excused(self) -> Iterator[None]:
        """Encoders may be tried out meanwhile: the camera's watchdog is not to end the attempt for that."""
        activity = self._context.activity
        activity.excused_us = self._clock.monotonic_us() + _LONGEST_CHOICE_US
        try:
            yield
        finally:
            activity.excused_us = self._clock.monotonic_us()

    def _drawable(self, frame: av.VideoFrame) -> av.VideoFrame:
        """In the format that is drawn on and encoded, and with memory of its own.

        JPEGs, and some cameras' H.264 (`video_full_range_flag`, ITU-T H.264 E.2.1), use the full range of brightness.
        What is recorded uses the narrow one, as players take for granted: else they would swallow what is dark.
        """
        turned = self._turner.turn(frame)
        width, height = self._size
        is_fit = turned.format.name == _FORMAT and turned.color_range != ColorRange.JPEG
        if is_fit and (turned.width, turned.height) == self._size:
            turned.make_writable()
            return turned
        return self._reformatter.reformat(
            turned, width, height, _FORMAT, dst_color_range=ColorRange.MPEG, threads=SCALING_THREADS
        )

    def _stamp(self, capture_us: int) -> int:
        if self._start_us is None:
            self._start_us = capture_us
        self._last_pts = max((capture_us - self._start_us) * 9 // 100, self._last_pts + 1)
        return self._last_pts

    def _note_unmasked(self) -> None:
        self._unmasked += 1
        if self._unmasked >= MASK_FAULT_LIMIT:
            raise CaptureError(f"nothing is recorded without its masks: {self._outputs.hook.figures.fault}")

    def _give_proxy(self, sink: StreamSink, proxy: ProxySettings, frame: av.VideoFrame, capture_us: int) -> None:
        """The main stream goes on whatever becomes of the proxy, which is tried again once in a while."""
        try:
            if self._proxy is None:
                if capture_us < self._proxy_again_us:
                    return
                self._proxy_again_us = capture_us + PROXY_AGAIN_US
                self._proxy = self._open_proxy(sink, proxy)
            self._proxy.give(frame, capture_us)
        except CaptureError as error:
            self._proxy = None
            self._context.report.warn(PROXY_NOT_MADE, f"{error}; it is tried again every minute")
            sink.end_stream("camera-lost", str(error))
        else:
            if self._proxy.is_open:
                self._context.report.clear(PROXY_NOT_MADE)

    def _open_proxy(self, sink: StreamSink, proxy: ProxySettings) -> "_ProxyBranch | Aside":
        def opened() -> _ProxyBranch:
            return _ProxyBranch(self._proxy_context(), sink, self._settings, proxy, self._size, self._rate)

        return opened() if self._main is None else Aside(opened, self._clock)

    def _proxy_context(self) -> SourceContext:
        """Its own line of time, and words of its own: figures of encoders are those of the main stream's."""
        report = CaptureReport(f"{self._settings.name}{PROXY_SUFFIX}")
        return replace(self._context, timeline=self._outputs.proxy_timeline, activity=Activity(), report=report)


class _Branch:
    """An encoder and the normaliser behind it.

    Coded pictures are dated several at a time (`Batch`), where nobody else holds any back: behind a stream that is
    decoded here its source does.
    """

    def __init__(
        self,
        context: SourceContext,
        sink: StreamSink,
        order: EncodeOrder,
        prepare: Callable[[av.VideoFrame], av.VideoFrame] | None = None,
        *,
        may_hold_back: bool = False,
    ) -> None:
        outputs = _outputs_of(context)
        self._clock = context.clock
        self._duration = int(TIMESCALE_HZ / order.fps)
        config = CodecConfig(order.codec, b"", order.width_px, order.height_px, float(order.fps))
        self._normaliser = Normaliser(sink, context, config, _TIME_BASE)
        self._batch: Batch[RawPacket] | None = None
        if may_hold_back and not context.activity.holds_back:
            self._batch = Batch(self._normaliser.push)
            context.activity.hand_over = self._batch.hand_over
        self._worker = EncoderWorker(order, outputs.encoders, context.report, context.clock, self._take, prepare)

    def give(self, frame: av.VideoFrame, capture_us: int) -> None:
        self._worker.give(frame, capture_us)

    def request_key_frame(self) -> None:
        self._worker.request_key_frame()

    def finish(self) -> None:
        self._worker.finish()
        if self._batch is not None:
            self._batch.hand_over()
            if self._batch.failure is not None:
                raise self._batch.failure
        self._normaliser.finish()

    def _take(self, coded: CodedFrame) -> None:
        picture, now_us = coded.picture, self._clock.monotonic_us()
        packet = RawPacket(
            data=picture.data,
            pts=picture.pts,
            dts=picture.dts,
            duration=self._duration,
            is_key=picture.is_key,
            arrival_us=now_us,
            capture_us=coded.capture_us,
            received_us=now_us,
        )
        if self._batch is None:
            self._normaliser.push(packet)
        else:
            self._batch.push(packet, now_us, is_urgent=picture.is_key)


class _ProxyBranch:
    """The same pictures, smaller and fewer."""

    is_open = True

    def __init__(
        self,
        context: SourceContext,
        sink: StreamSink,
        settings: CameraSettings,
        proxy: ProxySettings,
        size: tuple[int, int],
        rate: Fraction,
    ) -> None:
        width_px, height_px = fitted(size, (proxy.width, proxy.height))
        fps = min(Fraction(proxy.fps or min(float(rate) / 2, _MOST_PROXY_FPS)).limit_denominator(1001), rate)
        order = EncodeOrder(
            codec=settings.encoder.codec,
            width_px=width_px,
            height_px=height_px,
            fps=fps,
            bitrate_kbps=proxy.bitrate_kbps,
            gop_pictures=max(1, round(proxy.gop_s * fps)),
            profile=settings.encoder.profile,
        )
        self._branch = _Branch(context, sink, order, _Scaler(width_px, height_px).scaled)
        self._every_us = int(1_000_000 / fps)
        self._due_us: int | None = None

    def give(self, frame: av.VideoFrame, capture_us: int) -> None:
        if self._due_us is not None and capture_us < self._due_us - self._every_us // 4:
            return
        is_late = self._due_us is None or capture_us > self._due_us + 2 * self._every_us
        self._due_us = (capture_us if is_late or self._due_us is None else self._due_us) + self._every_us
        self._branch.give(frame, capture_us)

    def finish(self) -> None:
        self._branch.finish()


def fitted(size: tuple[int, int], room: tuple[int, int]) -> tuple[int, int]:
    """The largest even size of the same shape as `size` that fits into `room`, and no larger than `size`."""
    share = min(Fraction(room[0], size[0]), Fraction(room[1], size[1]), Fraction(1))
    width_px, height_px = (max(2, round(side * share / 2) * 2) for side in size)
    return width_px, height_px


class _Scaler:
    """Pictures of another size; one thread's."""

    def __init__(self, width_px: int, height_px: int) -> None:
        self._size = (width_px, height_px)
        self._reformatter = VideoReformatter()

    def scaled(self, frame: av.VideoFrame) -> av.VideoFrame:
        scaled = self._reformatter.reformat(
            frame, *self._size, _FORMAT, interpolation="FAST_BILINEAR", threads=SCALING_THREADS
        )
        scaled.pts, scaled.time_base = frame.pts, frame.time_base
        return scaled


def _order(settings: CameraSettings, width_px: int, height_px: int, rate: Fraction, effort: Effort) -> EncodeOrder:
    return EncodeOrder(
        codec=settings.encoder.codec,
        width_px=width_px,
        height_px=height_px,
        fps=rate,
        bitrate_kbps=settings.bitrate_kbps,
        gop_pictures=max(1, round(settings.gop_s * rate)),
        profile=settings.encoder.profile,
        quality=settings.encoder.quality,
        effort=effort,
    )


def _outputs_of(context: SourceContext) -> FrameOutputs:
    if context.frames is None:
        raise CaptureError("pictures have nowhere to go: this attempt was begun without a supervisor")
    return context.frames
