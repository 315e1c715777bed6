"""`v4l2:/dev/v4l/by-path/…` a camera of the kernel's: USB (UVC), capture cards, sensors with a driver of their own.

H.264 passes through where the camera has it; else its JPEGs or pixels are encoded here. Run on the kernel's own test
driver (vivid) and on a fake of the kernel's interface; not yet on a camera that can be held in a hand.
"""

import errno
import logging
import select
import threading
from fractions import Fraction

from edge_agent.capture.pace import Pace, PaceMeter
from edge_agent.capture.report import Configured
from edge_agent.capture.source import SourceContext
from edge_agent.capture.v4l2.buffers import Filled
from edge_agent.capture.v4l2.controls import ask_key_frame
from edge_agent.capture.v4l2.faults import fault
from edge_agent.capture.v4l2.kernel import Kernel, LinuxKernel
from edge_agent.capture.v4l2.opening import Opened, Opener, rates_on_offer, sizes_on_offer
from edge_agent.capture.v4l2.picture_taker import PictureTaker
from edge_agent.capture.v4l2.place import Machine, device_path
from edge_agent.capture.v4l2.stamping import RELIABLE, Counts, Stamper
from edge_agent.capture.v4l2.takers import CodedTaker, Taker
from edge_agent.contract.access_unit import StreamSink
from edge_agent.errors import SettingsError, SourceStalledError, SourceUnavailableError
from edge_agent.settings import CameraSettings

_log = logging.getLogger(__name__)

_POLL_S = 0.2
_PATIENCE_US = 1_000_000
"""Silence after which it is looked whether the camera is still there."""
_MAX_BAD = 50
"""So many buffers in a row without a picture in them."""
_GONE_EVENTS = select.POLLERR | select.POLLHUP | select.POLLNVAL
_STAND_STILL, _SIZE, _RATE = "timestamps-stand-still", "size-not-as-asked", "frame-rate-not-as-asked"
_TURN = "turn-not-as-asked"


class V4l2Source:
    """One camera; each `run` opens it anew, by whatever number it has then."""

    def __init__(
        self,
        settings: CameraSettings,
        context: SourceContext,
        kernel: Kernel | None = None,
        machine: Machine | None = None,
    ) -> None:
        """Nothing is opened yet.

        Raises:
            SettingsError: the address names no device.
        """
        try:
            self._path = device_path(settings.source)
        except ValueError as error:
            raise SettingsError(f"camera {settings.name!r}: source: {settings.source!r}: {error}") from error
        self._settings = settings
        self._context = context
        self._kernel = kernel or LinuxKernel()
        self._machine = machine or Machine()
        self._node = self._path
        self._seen: tuple[int, ...] | None = None
        """What was there when the attempt began."""
        self._key_asked = threading.Event()
        self._doing = "opened"
        self._told_fault = ""
        self.counts = Counts()
        """Of this attempt."""

    def run(self, sink: StreamSink, stop: threading.Event) -> None:
        """Record until `stop` is set.

        Raises:
            SourceUnavailableError: absent, unplugged, in use, not allowed, or no camera.
            SourceStalledError: it sends nothing, or nothing that holds a picture.
            SourceFormatError: it offers nothing that can be recorded.
        """
        self._seen = self._kernel.present(self._path)
        try:
            opener = Opener(self._path, self._settings, self._kernel, self._machine)
            self._node = opener.node_path
            self._record(opener, sink, stop)
        except OSError as error:
            if error.errno != errno.EBUSY:
                self._context.activity.is_back = self._is_back
            raise fault(error, self._path, self._node, self._doing, self._machine) from error

    def _is_back(self) -> bool:
        """Plugged in since, under whatever number, or given other rights."""
        now = self._kernel.present(self._path)
        return now is not None and now != self._seen

    def _record(self, opener: Opener, sink: StreamSink, stop: threading.Event) -> None:
        opened = opener.open()
        try:
            fps = opened.negotiated.fps or opened.wish.fps
            self._tell(opened, fps)
            self._doing = "read"
            taker = self._taker(opened, sink, fps)
            if opened.negotiated.form.kind == "h264":
                self._context.activity.request_key_frame = self._key_asked.set
            try:
                self._pump(opened, taker, PaceMeter(float(fps)), stop)
            finally:
                taker.finish()
        finally:
            opened.close()
            counts = self.counts
            if counts.damaged or counts.lost:
                _log.info(
                    "camera %s: of %d pictures %d were damaged and left out, and %d more never came",
                    self._settings.name, counts.pictures, counts.damaged, counts.lost,
                )  # fmt: skip

    def _taker(self, opened: Opened, sink: StreamSink, fps: Fraction) -> Taker:
        if opened.negotiated.form.kind == "h264":
            return CodedTaker(sink, self._context, opened.negotiated, fps)
        return PictureTaker(self._settings, self._context, opened, fps)

    def _tell(self, opened: Opened, fps: Fraction) -> None:
        """Report what was really configured, and where that is not what was asked for."""
        report, negotiated, settings = self._context.report, opened.negotiated, self._settings
        steady = self._machine.steady_name(self._node)
        named = f"{self._path} ({opened.identity.card or opened.identity.driver}, {opened.identity.bus})"
        hints = [opened.detail, f"{opened.node.path} of the same camera" if opened.node.path != self._node else ""]
        if steady is not None and self._path == self._node:
            hints.append(f"a name that stays when it is plugged in anew: v4l2:{steady}")
        report.configured(
            Configured(
                named, negotiated.name.split()[0], negotiated.width_px, negotiated.height_px, float(fps),
                "; ".join(hint for hint in hints if hint),
            )
        )  # fmt: skip
        asked = (settings.width or negotiated.width_px, settings.height or negotiated.height_px)
        given = (negotiated.width_px, negotiated.height_px)
        if asked != given:
            report.warn(
                _SIZE,
                f"asked for {asked[0]}×{asked[1]}, configured to {given[0]}×{given[1]}; set camera.width and"
                f" camera.height to what it has: {sizes_on_offer(opened.node, negotiated)}",
            )
        else:
            report.clear(_SIZE)
        self._tell_rate(opened, fps)
        self._tell_turn(opened)

    def _tell_turn(self, opened: Opened) -> None:
        """What the camera encodes and does not turn passes as it is, unless it is decoded behind it."""
        frames = self._context.frames
        passes = opened.negotiated.form.kind == "h264" and (frames is None or not frames.hook.draws)
        if passes and not opened.turning.is_done:
            self._context.report.warn(
                _TURN,
                "the camera does not turn or mirror what it encodes; mount it upright, or set camera.v4l2.format to"
                " mjpeg or yuyv",
            )
        else:
            self._context.report.clear(_TURN)

    def _tell_rate(self, opened: Opened, fps: Fraction) -> None:
        asked = self._settings.fps
        if asked is None or abs(float(fps) - asked) <= asked * 0.05:
            self._context.report.clear(_RATE)
            return
        self._context.report.warn(
            _RATE,
            f"asked for {asked:g} pictures a second, configured to {float(fps):g}; set camera.fps to what it has at"
            f" this size: {rates_on_offer(opened.node, opened.negotiated)}",
        )

    def _pump(self, opened: Opened, taker: Taker, meter: PaceMeter, stop: threading.Event) -> None:
        clock, stamper = self._context.clock, Stamper(self._context.clock)
        last_us, bad = clock.monotonic_us(), 0
        while not stop.is_set():
            filled = self._wait(opened)
            now_us = clock.monotonic_us()
            if filled is None:
                self._check_silence(now_us - last_us)
                continue
            last_us = now_us
            self._context.activity.touch(now_us)
            try:
                was_good = self._take(filled, taker, stamper, now_us)
            finally:
                opened.buffers.give_back(filled.index)
            bad = 0 if was_good else bad + 1
            if bad == 1 and opened.negotiated.form.kind == "h264":
                self._key_asked.set()  # what follows refers to what is missing
            if self._key_asked.is_set():
                self._key_asked.clear()
                ask_key_frame(opened.node)
            if bad >= _MAX_BAD:
                raise SourceStalledError(
                    f"{self._path}: {bad} pictures in a row were damaged; look at its cable and its power, or ask for"
                    " a smaller picture or fewer a second"
                )
            pace = meter.add(now_us)
            if pace is not None and pace.is_settled:
                self._judge_rate(pace, meter.expected_fps)

    def _wait(self, opened: Opened) -> Filled | None:
        events = self._kernel.poll(opened.node.descriptor, _POLL_S)
        if not events:
            return None
        filled = opened.buffers.take()
        if filled is None and events & _GONE_EVENTS:
            raise SourceUnavailableError(f"{self._path}: the camera ended its stream; it is started anew")
        return filled

    def _take(self, filled: Filled, taker: Taker, stamper: Stamper, arrival_us: int) -> bool:
        counts = self.counts
        counts.pictures += 1
        counts.lost += stamper.lost_before(filled)
        capture_us = stamper.capture_us(filled, arrival_us)
        self._judge_stamps(stamper)
        if filled.is_damaged or not taker.take(filled, capture_us, arrival_us):
            counts.damaged += 1
            return False
        return True

    def _judge_stamps(self, stamper: Stamper) -> None:
        report = self._context.report
        if stamper.fault and stamper.fault != self._told_fault:
            report.warn(_STAND_STILL, f"{stamper.fault}; its pictures are dated by their arrival; update the kernel")
        elif not stamper.fault and stamper.rose == RELIABLE:
            report.clear(_STAND_STILL)
        self._told_fault = stamper.fault

    def _judge_rate(self, pace: Pace, expected_fps: float) -> None:
        if pace.is_slow:
            self._context.report.warn(
                _RATE,
                f"the camera said {expected_fps:g} pictures a second and sends {pace.fps:.1f};"
                " in the dark many expose longer: give it light, or switch exposure_dynamic_framerate off (v4l2-ctl)",
            )
        elif self._settings.fps is None or expected_fps >= self._settings.fps * 0.95:
            self._context.report.clear(_RATE)

    def _check_silence(self, silent_us: int) -> None:
        if silent_us > _PATIENCE_US and self._kernel.present(self._node) is None:
            raise OSError(errno.ENODEV, "unplugged")
        if silent_us > self._settings.stall_timeout_s * 1e6:
            raise SourceStalledError(
                f"{self._path}: nothing came for {silent_us / 1e6:.0f} s; look at its cable and its power"
            )
