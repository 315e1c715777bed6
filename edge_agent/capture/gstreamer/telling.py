"""What a pipeline really gives, told in the camera's report, and where that is not what was asked for."""

from edge_agent.camera_settings import CameraSettings
from edge_agent.capture.gstreamer.messages import Caps
from edge_agent.capture.gstreamer.stamps import Doubt
from edge_agent.capture.pace import Pace, PaceMeter
from edge_agent.capture.report import CaptureReport, Configured

_SIZE, _RATE = "size-not-as-asked", "frame-rate-not-as-asked"
_DOUBTS: dict[Doubt, str] = {
    "timestamps-stand-still": "its pictures repeat their time stamps: they are dated by their arrival; a live source"
    " stamps by itself, others need do-timestamp=true",
    "timestamps-of-another-clock": "its time stamps are not of this board's clock: pictures are dated by their"
    " arrival; leave out what stamps them anew, such as ntp-sync",
}
_OWN = frozenset({"appsink", "appsrc", "bin", "capsfilter", "pipeline"})
_TOLERANCE = 0.05


class Teller:
    """Of one attempt."""

    def __init__(self, settings: CameraSettings, report: CaptureReport) -> None:
        self._settings = settings
        self._report = report
        self._pace = PaceMeter(0.0)
        self._doubt: Doubt | None = None

    def begun(self, name: str, caps: Caps) -> None:
        """Pictures of this kind follow."""
        elements = ", ".join(element for element in caps.elements if element not in _OWN)
        kind = caps.layout if caps.codec == "raw" else caps.codec
        self._report.configured(Configured(name, kind, caps.width, caps.height, caps.fps, elements[:500]))
        settings = self._settings
        asked = (settings.width or caps.width, settings.height or caps.height)
        if asked not in {(caps.width, caps.height), (caps.height, caps.width)}:
            self._report.warn(
                _SIZE,
                f"asked for {asked[0]}×{asked[1]}, the pipeline gives {caps.width}×{caps.height}; ask for it in the"
                f" pipeline (video/x-raw,width={asked[0]},height={asked[1]}), or set camera.width and camera.height",
            )
        else:
            self._report.clear(_SIZE)
        self._judge_rate(caps.fps, "says")
        self._pace = PaceMeter(settings.fps or caps.fps)

    def counted(self, arrival_us: int, doubt: Doubt | None) -> Pace | None:
        """A picture came, and its stamps were judged; the pace when a window is full."""
        if doubt != self._doubt:
            if self._doubt is not None:
                self._report.clear(self._doubt)
            if doubt is not None:
                self._report.warn(doubt, _DOUBTS[doubt])
            self._doubt = doubt
        pace = self._pace.add(arrival_us)
        if pace is not None and pace.is_slow:
            self._report.warn(
                _RATE,
                f"{self._pace.expected_fps:g} pictures a second are expected and {pace.fps:.1f} come; in the dark"
                " many cameras expose longer, and a processor that does not keep up leaves pictures out",
            )
        elif pace is not None and pace.is_settled:
            self._judge_rate(pace.fps, "gives")
        return pace

    def _judge_rate(self, fps: float, manner: str) -> None:
        asked = self._settings.fps
        if asked is None or not fps or abs(fps - asked) <= asked * _TOLERANCE:
            self._report.clear(_RATE)
        else:
            self._report.warn(
                _RATE,
                f"asked for {asked:g} pictures a second, the pipeline {manner} {fps:.1f}; ask for it in the pipeline"
                f" (framerate={asked:g}/1), or set camera.fps",
            )
