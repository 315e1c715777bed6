"""`gstreamer:argus`: a Jetson's camera through NVIDIA's Argus, as a pipeline.

`nvarguscamerasrc` and `nvvidconv` by the properties in their source (Jetson Linux 36: `gstnvarguscamerasrc.cpp`; the
values of `flip-method` are those of the developer guide). Never run on a Jetson.

`nvarguscamerasrc` stamps a picture when it comes out of Argus, not when the sensor began it: capture times are late
by the time that the image processor takes, some pictures at most.
"""

from fractions import Fraction

from edge_agent.camera_settings import CameraSettings, SensorSettings
from edge_agent.capture.gstreamer.address import ArgusCamera
from edge_agent.capture.gstreamer.chains import QUEUE, Chain

DEFAULT_WIDTH_PX, DEFAULT_HEIGHT_PX, DEFAULT_FPS = 1280, 720, 25.0
_EV = 2.0
"""`exposurecompensation` takes -2 to 2."""

FLIPS = {
    (False, 0): (0, "none"),
    (False, 90): (3, "clockwise"),
    (False, 180): (2, "rotate-180"),
    (False, 270): (1, "counterclockwise"),
    (True, 0): (4, "horizontal-flip"),
    (True, 90): (5, "upper-right-diagonal"),
    (True, 180): (6, "vertical-flip"),
    (True, 270): (7, "upper-left-diagonal"),
}
"""Mirrored left to right, then turned clockwise by so many degrees → `flip-method` of `nvvidconv`, and its name."""


def flip_of(settings: CameraSettings) -> tuple[int, str]:
    """The one flip that mirrors and turns as the settings say; top to bottom is left to right and half a turn."""
    turned = settings.rotation_deg + (180 if settings.vflip else 0)
    return FLIPS[settings.hflip != settings.vflip, turned % 360]


def argus_pipeline(camera: ArgusCamera, settings: CameraSettings, encoder: Chain | None) -> str:
    """The pipeline from sensor to coded pictures, or to raw ones without an encoder."""
    width_px, height_px = settings.width or DEFAULT_WIDTH_PX, settings.height or DEFAULT_HEIGHT_PX
    rate = Fraction(settings.fps or DEFAULT_FPS).limit_denominator(1001)
    asked = f"width={width_px},height={height_px},framerate={rate.numerator}/{rate.denominator}"
    head = f"{_source(camera, settings.sensor)} ! video/x-raw(memory:NVMM),format=NV12,{asked}"
    method, _ = flip_of(settings)
    if method % 2:
        width_px, height_px = height_px, width_px
    size = f"width={width_px},height={height_px}"
    if encoder is not None and encoder.is_on_device:
        turn = f" ! nvvidconv flip-method={method} ! video/x-raw(memory:NVMM),format=NV12,{size}" if method else ""
        return f"{head}{turn} ! {encoder.text}"
    raw = f"{head} ! nvvidconv flip-method={method} ! video/x-raw,format=I420,{size}"
    return raw if encoder is None else f"{raw} ! {QUEUE} ! {encoder.text}"


def _source(camera: ArgusCamera, sensor: SensorSettings) -> str:
    words = [f"nvarguscamerasrc sensor-id={camera.sensor}"]
    if camera.mode >= 0:
        words.append(f"sensor-mode={camera.mode}")
    if sensor.exposure_us is not None:
        exposure_ns = sensor.exposure_us * 1000
        words.append(f'exposuretimerange="{exposure_ns} {exposure_ns}"')
    if sensor.analogue_gain is not None:
        words.append(f'gainrange="{sensor.analogue_gain:g} {sensor.analogue_gain:g}"')
    if sensor.exposure_compensation_ev is not None:
        stops = max(-_EV, min(_EV, sensor.exposure_compensation_ev))
        words.append(f"exposurecompensation={stops:g}")
    return " ".join(words)
