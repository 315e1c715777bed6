"""What is asked of the camera, and whether it was given.

libcamera answers a size, a format or a turn that it does not have with another one, without a word: what was really
configured is read back and compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_agent.capture.picamera.full_size import Size, is_fast_enough
from edge_agent.capture.picamera.layout import (
    USABLE,
    Choice,
    Layout,
    Wish,
    configure_one_of,
    most_fps,
    named,
    with_large_stills,
)
from edge_agent.capture.picamera.library import Library
from edge_agent.capture.picamera.unit_queue import StreamName
from edge_agent.capture.report import CaptureReport, Configured
from edge_agent.capture.source import SourceContext
from edge_agent.errors import SourceFormatError
from edge_agent.settings import CameraSettings, SensorSettings

DEFAULT_SIZE = (1280, 720)
DEFAULT_FPS = 25.0
BUFFERS = 6
_MOST_PROXY_FPS = 12.5
_AF_MANUAL, _AF_CONTINUOUS = 0, 2  # libcamera's AfModeEnum

SIZE, TURN, RATE, CONTROL, STILLS = (
    "size-not-as-asked", "turn-not-as-asked", "frame-rate-not-as-asked", "sensor-control-missing",
    "stills-not-full-size",
)  # fmt: skip
_STILLS_REMEDY = (
    "Ask for fewer camera.fps, give the camera more memory (dtoverlay=vc4-kms-v3d,cma-512 in"
    " /boot/firmware/config.txt), or take camera.sensor.full_size_stills out"
)


@dataclass(frozen=True, slots=True)
class Given:
    """What the camera was configured to.

    Attributes:
        size: of what is recorded.
        lores: of the small stream beside it, for the proxy; None when there is none.
        format: of their pixels.
        fps: nominal.
        still: of the camera's main stream, from which stills are taken.
        choice: how the camera was configured.
    """

    size: Size
    lores: Size | None
    format: str
    fps: float
    still: Size
    choice: Choice

    @property
    def recorded(self) -> StreamName:
        """The camera's name for what is recorded: `lores` where its main stream is large, for stills alone."""
        return self.choice.layout.recorded

    @property
    def has_large_stills(self) -> bool:
        """Stills are larger than what is recorded."""
        return self.recorded == "lores"


def asked_size(settings: CameraSettings) -> Size:
    """Of the main stream, even."""
    width, height = settings.width or DEFAULT_SIZE[0], settings.height or DEFAULT_SIZE[1]
    return width // 2 * 2, height // 2 * 2


def asked_flips(settings: CameraSettings) -> tuple[bool, bool]:
    """Left to right, top to bottom: what the sensor itself can do; half a turn is both."""
    half_turn = settings.rotation_deg == 180
    return settings.hflip != half_turn, settings.vflip != half_turn


def proxy_every(settings: CameraSettings, fps: float) -> int:
    """Of the camera's pictures, one in so many goes into the proxy."""
    proxy = settings.proxy
    wanted = min(fps / 2, _MOST_PROXY_FPS) if proxy is None or proxy.fps is None else proxy.fps
    return max(1, round(fps / wanted))


def controls_for(
    settings: SensorSettings, fps: float, offered: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """What to set, and which settings this sensor has no control for."""
    frame_us = round(1e6 / fps)
    wishes: list[tuple[str, str, object]] = [("", "FrameDurationLimits", (frame_us, frame_us))]
    if settings.exposure_us is not None:
        wishes.append(("exposure_us", "ExposureTime", settings.exposure_us))
    if settings.analogue_gain is not None:
        wishes.append(("analogue_gain", "AnalogueGain", settings.analogue_gain))
    if settings.exposure_compensation_ev is not None:
        wishes.append(("exposure_compensation_ev", "ExposureValue", settings.exposure_compensation_ev))
    if settings.autofocus is not None:
        mode = _AF_CONTINUOUS if settings.autofocus == "continuous" else _AF_MANUAL
        wishes.append(("autofocus", "AfMode", mode))
    if settings.focus_dioptre is not None:
        wishes.append(("focus_dioptre", "LensPosition", settings.focus_dioptre))
    controls = {control: value for _, control, value in wishes if control in offered}
    missing = [key for key, control, _ in wishes if key and control not in offered]
    return controls, missing


def configure(
    camera: Any,  # noqa: ANN401 -- picamera2 has no types
    library: Library,
    settings: CameraSettings,
    context: SourceContext,
    *,
    with_lores: bool,
    turns_here: bool,
) -> Given:
    """Configure an open camera, and report what it gives.

    Args:
        camera: a `Picamera2`.
        library: picamera2.
        settings: the camera's.
        context: its report is told of everything that is not as asked.
        with_lores: ask for a small stream beside the main one; there are no large stills then.
        turns_here: flips and half turns are asked of the sensor.

    Raises:
        SourceFormatError: it gives pixels that cannot be encoded, or another view than masks were drawn for.
    """
    fps, size, report = settings.fps or DEFAULT_FPS, asked_size(settings), context.report
    flips = asked_flips(settings) if turns_here else (False, False)
    controls, missing = controls_for(settings.sensor, fps, camera.camera_controls)
    more = {
        "transform": library.make_transform(hflip=int(flips[0]), vflip=int(flips[1])),
        "buffer_count": BUFFERS, "controls": controls, "display": None,
    }  # fmt: skip
    layouts, why = [Layout(size, _proxy_size(settings, size) if with_lores else None)], ""
    if settings.sensor.full_size_stills and not with_lores:
        layouts, why = with_large_stills(camera, layouts[0], fps)
    keeps_view = bool(settings.masks) and len(layouts) > 1
    if keeps_view:
        layouts.pop()  # the ordinary one, which may see another part of the scene than the masks were drawn for
    choice = configure_one_of(camera, Wish(layouts, more, fps, keeps_view=keeps_view), context)
    found = camera.camera_configuration()
    given = _given(found, choice, fps)
    _tell(camera, found, given, settings, report)
    _judge(report, STILLS, _stills_fault(settings, given, why))
    _judge(report, CONTROL, missing and f"this sensor has no control for {', '.join(missing)}; take them out")
    _judge(report, SIZE, _size_fault(size, given))
    turned = found["transform"]
    as_asked = (bool(turned.hflip), bool(turned.vflip)) == flips
    _judge(report, TURN, "" if as_asked else "the camera does not turn or mirror its pictures; mount it upright")
    return given


def _proxy_size(settings: CameraSettings, size: Size) -> Size | None:
    proxy = settings.proxy
    return None if proxy is None else (min(proxy.width, size[0]), min(proxy.height, size[1]))


def _stills_fault(settings: CameraSettings, given: Given, why: str) -> str:
    """What is not as asked of the size of stills."""
    if not settings.sensor.full_size_stills or given.has_large_stills:
        return ""
    faults = [fault for fault in (why, *given.choice.faults) if fault]
    return f"stills have {named(given.still)}, as what is recorded: {'; '.join(faults)}. {_STILLS_REMEDY}"


def _given(found: Mapping[str, Any], choice: Choice, fps: float) -> Given:
    main, lores = found["main"], found.get("lores")
    if main["format"] not in USABLE or (lores is not None and lores["format"] not in USABLE):
        raise SourceFormatError(
            f"picamera2: the camera gives {main['format']}, not {' or '.join(USABLE)}; it is none of the board's own"
            " cameras: record it with v4l2:"
        )
    if choice.layout.recorded == "lores":
        return Given(found["lores"]["size"], None, found["lores"]["format"], fps, main["size"], choice)
    return Given(main["size"], None if lores is None else lores["size"], main["format"], fps, main["size"], choice)


def _tell(
    camera: Any,  # noqa: ANN401 -- picamera2 has no types
    found: Mapping[str, Any],
    given: Given,
    settings: CameraSettings,
    report: CaptureReport,
) -> None:
    properties: Mapping[str, Any] = camera.camera_properties
    lores, raw, mode = given.lores, found.get("raw"), found.get("sensor")
    details = [f"the sensor has {named(camera.sensor_resolution)}"]
    if raw is not None:
        details.append(f"read as {raw['format']} {named(raw['size'])}")
    elif mode:
        details.append(f"read as {named(mode['output_size'])} of {mode['bit_depth']} bits")
    details += [] if lores is None else [f"the small stream is {named(lores)}"]
    details += [f"stills have {named(given.still)}"] if settings.sensor.full_size_stills else []
    device = f"{settings.source} ({properties.get('Model', 'unnamed')})"
    report.configured(Configured(device, given.format, *given.size, given.fps, "; ".join(details)))
    most = most_fps(camera)
    too_fast = most is not None and not is_fast_enough(most, given.fps)
    _judge(
        report,
        RATE,
        f"asked for {given.fps:g} pictures a second, at this size the sensor gives {most:.1f}; set camera.fps to"
        " that or less, or a smaller size"
        if too_fast
        else "",
    )


def _size_fault(asked: Size, given: Given) -> str:
    if given.size == asked:
        return ""
    return (
        f"asked for {named(asked)}, configured to {named(given.size)}; set camera.width and"
        " camera.height to a size that the sensor has (rpicam-hello --list-cameras)"
    )


def _judge(report: CaptureReport, code: str, fault: object) -> None:
    if fault:
        report.warn(code, str(fault))
    else:
        report.clear(code)
