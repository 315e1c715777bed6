"""Whether pictures come, come often enough, and with stamps that can be believed."""

import threading

from edge_agent.capture.pace import Pace, PaceMeter
from edge_agent.capture.picamera.configuration import RATE
from edge_agent.capture.picamera.sensor_clock import SensorClock, wall_difference_us
from edge_agent.capture.picamera.watch import Figures
from edge_agent.capture.report import CaptureReport
from edge_agent.capture.source import SourceContext
from edge_agent.errors import CaptureError, SourceStalledError

_WALL_LIMIT_US = 1_000_000
MASK_FAULT_LIMIT = 250
"""Pictures in a row that could not be looked at or masked, and so were not recorded, after which the attempt ends."""
_STAMPS = ("timestamps-stand-still", "timestamps-of-another-clock")
_WALL = "sensor-wall-clock-differs"


class CameraJudge:
    """Of one attempt; asked several times a second in the attempt's thread."""

    def __init__(
        self,
        context: SourceContext,
        figures: Figures,
        sensor_clock: SensorClock,
        fps: float,
        stall_timeout_s: float,
        *,
        has_large_stills: bool = False,
    ) -> None:
        """The camera begins now; `has_large_stills`: it has to give more pixels than are recorded."""
        self._clock = context.clock
        self._activity = context.activity
        self._report = context.report
        self._figures = figures
        self._sensor_clock = sensor_clock
        self._meter = PaceMeter(fps)
        self._remedy = "take camera.sensor.full_size_stills out, " if has_large_stills else ""
        self._stall_us = round(stall_timeout_s * 1e6)
        self._begin_us = self._clock.monotonic_us()
        self._counted = 0
        self._meter.add(self._begin_us)

    def check(self, failed: threading.Event, fault: str) -> None:
        """Look at the figures.

        Args:
            failed: picamera2 failed on the camera's thread.
            fault: with these words.

        Raises:
            SourceStalledError: no picture came for `stall_timeout_s`.
            CaptureError: picamera2 failed; or no picture can be masked.
        """
        if failed.is_set():
            raise CaptureError(f"picamera2 failed on the camera's thread: {fault}; it is opened anew")
        now_us, figures = self._clock.monotonic_us(), self._figures
        last_us = figures.last_us
        if last_us is not None:
            self._activity.touch(last_us)
        silent_us = now_us - (last_us or self._begin_us)
        if silent_us > self._stall_us:
            raise SourceStalledError(
                f"picamera2: no picture came from the camera for {silent_us / 1e6:.0f} s; look at its cable"
                " (dmesg names the sensor when the line to it fails)"
            )
        if figures.refused_in_row >= MASK_FAULT_LIMIT:
            raise CaptureError(
                f"{figures.refused_in_row} pictures in a row could not be read or masked, and so were not recorded:"
                f" {figures.fault or 'the masks could not be drawn'}"
            )
        self._judge_stamps(self._report)
        pace = self._meter.add(now_us, figures.pictures - self._counted)
        self._counted = figures.pictures
        if pace is not None:
            self._judge_pace(pace)

    def _judge_stamps(self, report: CaptureReport) -> None:
        doubt = self._sensor_clock.doubt
        for code in _STAMPS:
            if code == doubt:
                report.warn(code, "its pictures are dated by their arrival; update libcamera and the kernel")
            else:
                report.clear(code)

    def _judge_pace(self, pace: Pace) -> None:
        if pace.is_slow:
            self._report.warn(
                RATE,
                f"configured to {self._meter.expected_fps:g} pictures a second, the camera sends {pace.fps:.1f};"
                f" {self._remedy}give it light, set camera.sensor.exposure_us, a smaller size, or camera.fps to what"
                " it can do",
            )
        elif pace.is_settled:
            self._report.clear(RATE)
        self._judge_wall()

    def _judge_wall(self) -> None:
        wall_ns = self._figures.wall_ns
        if wall_ns is None:
            return
        ahead_us = wall_difference_us(self._clock, wall_ns, self._figures.wall_capture_us)
        if abs(ahead_us) > _WALL_LIMIT_US:
            self._report.warn(
                _WALL,
                f"libcamera's UTC of a picture is {ahead_us / 1e6:+.1f} s from the recorder's; the clock was set"
                " lately, or stamps are wrong; restart the recorder if it lasts",
            )
        else:
            self._report.clear(_WALL)
