"""What is asked of the camera, and whether it was given.

libcamera answers a size, a format or a turn that it does not have with another one, without a word: what was really
configured is read back and compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_agent.capture.picamera.library import Library
from edge_agent.capture.report import CaptureReport, Configured
from edge_agent.errors import SourceFormatError
from edge_agent.settings import CameraSettings, SensorSettings

DEFAULT_SIZE = (1280, 720)
DEFAULT_FPS = 25.0
FORMAT = "YUV420"
"""Both encoders take it without a conversion."""
USABLE = ("YUV420", "NV12")
BUFFERS = 6
_MOST_PROXY_FPS = 12.5
_AF_MANUAL, _AF_CONTINUOUS = 0, 2  # libcamera's AfModeEnum

SIZE, TURN, RATE, CONTROL = (
    "size-not-as-asked", "turn-not-as-asked", "frame-rate-not-as-asked", "sensor-control-missing",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Given:
    """What the camera was configured to.

    Attributes:
        size: of the main stream.
        lores: of the small stream; None when there is none.
        format: of their pixels.
        fps: nominal.
    """

    size: tuple[int, int]
    lores: tuple[int, int] | None
    format: str
    fps: float


def asked_size(settings: CameraSettings) -> tuple[int, int]:
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
    report: CaptureReport,
    *,
    with_lores: bool,
    turns_here: bool,
) -> Given:
    """Configure an open camera, and report what it gives.

    Args:
        camera: a `Picamera2`.
        library: picamera2.
        settings: the camera's.
        report: told of everything that is not as asked.
        with_lores: ask for a small stream beside the main one.
        turns_here: flips and half turns are asked of the sensor.

    Raises:
        SourceFormatError: it gives pixels that cannot be encoded.
    """
    fps, size = settings.fps or DEFAULT_FPS, asked_size(settings)
    proxy = settings.proxy
    lores = None
    if with_lores and proxy is not None:
        lores = {"size": (min(proxy.width, size[0]), min(proxy.height, size[1])), "format": FORMAT}
    flips = asked_flips(settings) if turns_here else (False, False)
    controls, missing = controls_for(settings.sensor, fps, camera.camera_controls)
    camera.configure(
        camera.create_video_configuration(
            main={"size": size, "format": FORMAT},
            lores=lores,
            transform=library.make_transform(hflip=int(flips[0]), vflip=int(flips[1])),
            buffer_count=BUFFERS,
            controls=controls,
            display=None,
        )
    )
    found = camera.camera_configuration()
    given = _given(found, fps)
    _tell(camera, found, given, settings, report)
    _judge(report, CONTROL, missing and f"this sensor has no control for {', '.join(missing)}; take them out")
    _judge(report, SIZE, _size_fault(size, given))
    turned = found["transform"]
    as_asked = (bool(turned.hflip), bool(turned.vflip)) == flips
    _judge(report, TURN, "" if as_asked else "the camera does not turn or mirror its pictures; mount it upright")
    return given


def _given(found: Mapping[str, Any], fps: float) -> Given:
    main, lores = found["main"], found.get("lores")
    if main["format"] not in USABLE or (lores is not None and lores["format"] not in USABLE):
        raise SourceFormatError(
            f"picamera2: the camera gives {main['format']}, not {' or '.join(USABLE)}; it is none of the board's own"
            " cameras: record it with v4l2:"
        )
    return Given(main["size"], None if lores is None else lores["size"], main["format"], fps)


def _tell(
    camera: Any,  # noqa: ANN401 -- picamera2 has no types
    found: Mapping[str, Any],
    given: Given,
    settings: CameraSettings,
    report: CaptureReport,
) -> None:
    properties: Mapping[str, Any] = camera.camera_properties
    sensor, lores, raw = camera.sensor_resolution, given.lores, found.get("raw")
    details = [f"the sensor has {sensor[0]}×{sensor[1]}"]
    details += [] if raw is None else [f"read as {raw['format']} {raw['size'][0]}×{raw['size'][1]}"]
    details += [] if lores is None else [f"the small stream is {lores[0]}×{lores[1]}"]
    device = f"{settings.source} ({properties.get('Model', 'unnamed')})"
    report.configured(Configured(device, given.format, *given.size, given.fps, "; ".join(details)))
    limits = camera.camera_controls.get("FrameDurationLimits")
    most_fps = 1e6 / limits[0] if limits and limits[0] else None
    too_fast = most_fps is not None and given.fps > most_fps * 1.01
    _judge(
        report,
        RATE,
        f"asked for {given.fps:g} pictures a second, at this size the sensor gives {most_fps:.1f}; set camera.fps to"
        " that or less, or a smaller size"
        if too_fast
        else "",
    )


def _size_fault(asked: tuple[int, int], given: Given) -> str:
    if given.size == asked:
        return ""
    return (
        f"asked for {asked[0]}×{asked[1]}, configured to {given.size[0]}×{given.size[1]}; set camera.width and"
        " camera.height to a size that the sensor has (rpicam-hello --list-cameras)"
    )


def _judge(report: CaptureReport, code: str, fault: object) -> None:
    if fault:
        report.warn(code, str(fault))
    else:
        report.clear(code)
