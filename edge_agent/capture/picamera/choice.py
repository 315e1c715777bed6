"""Which of picamera2's encoders is used, and which one follows it when it fails again and again.

A Pi 4 and its elders encode H.264 with their VideoCore; a Pi 5 has no encoder and runs libx264. That order is
picamera2's own; here it is a ladder whose last step is the recorder's own encoders (`FramePipeline`).
"""

from typing import Literal
from weakref import WeakKeyDictionary

from edge_agent.capture.picamera.library import Library
from edge_agent.capture.report import CaptureReport
from edge_agent.settings import CameraSettings

EncoderKind = Literal["board", "software", "pipeline"]
"""`board`: picamera2's V4L2 encoder; `software`: its libav one; `pipeline`: the recorder's own."""

NAMES: dict[EncoderKind, str] = {
    "board": "picamera2 (V4L2)", "software": "picamera2 (libx264)", "pipeline": "the recorder's own",
}  # fmt: skip
FAILURES_BEFORE_NEXT = 2
"""It is begun anew once, then the next one has its turn."""
LEFT_FOR_US = 3_600_000_000
"""For so long; two failures that lie further apart than that have nothing to do with one another."""

_failures: "WeakKeyDictionary[CaptureReport, dict[EncoderKind, list[int]]]" = WeakKeyDictionary()
"""When each failed last. For as long as the recorder lives: a source is made anew for every attempt."""


def kind_for(
    settings: CameraSettings, library: Library, report: CaptureReport, now_us: int
) -> tuple[EncoderKind, str]:
    """Which one, and why; `now_us` is monotonic."""
    own = _asks_for_own(settings)
    if own:
        return "pipeline", own
    order: list[EncoderKind] = ["board", "software"] if library.platform == "vc4" else ["software"]
    failures = _failures.get(report, {})
    for kind in order:
        lately = [failed_us for failed_us in failures.get(kind, ()) if now_us - failed_us < LEFT_FOR_US]
        if len(lately) < FAILURES_BEFORE_NEXT:
            earlier = [NAMES[known] for known in order[: order.index(kind)]]
            return kind, library.reason if not earlier else f"{' and '.join(earlier)} failed again and again"
    return "pipeline", "picamera2's own failed again and again"


def note_failure(report: CaptureReport, kind: EncoderKind, detail: str, now_us: int) -> None:
    """An encoder failed."""
    known = _failures.setdefault(report, {})
    known[kind] = [*known.get(kind, []), now_us][-FAILURES_BEFORE_NEXT:]
    report.encoder_failed(NAMES[kind], detail)


def _asks_for_own(settings: CameraSettings) -> str:
    """Why the settings ask for something that picamera2's encoders cannot do; empty when they do not."""
    if settings.rotation_deg in {90, 270}:
        return "the sensor turns by half a turn only"
    proxy = settings.proxy
    if settings.sensor.full_size_stills and proxy is not None and proxy.source is None:
        return "for full-size stills the camera's second size is what is recorded, so the proxy is scaled here"
    if settings.encoder.codec != "h264":
        return f"picamera2 does not encode {settings.encoder.codec}"
    order = settings.encoder.order
    if order is not None and "camera" not in order:
        return "camera.encoder.order leaves the camera's library out"
    return ""
