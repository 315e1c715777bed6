"""Which size stills may have that are larger than what is recorded, and in which of the sensor's modes."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

_log = logging.getLogger(__name__)

Size = tuple[int, int]

_RATE_TOLERANCE = 1.01
_FIELD_TOLERANCE = Fraction(99, 100)


@dataclass(frozen=True, slots=True)
class Large:
    """A size for stills.

    Attributes:
        size: of the shape of what is recorded, even, and larger than it.
        mode: in which the sensor is read, as picamera2's `sensor`; None: picamera2 chooses.
    """

    size: Size
    mode: Mapping[str, object] | None


def is_fast_enough(most_fps: float, fps: float) -> bool:
    """Whether a camera that gives at most `most_fps` gives `fps`; frame durations are whole µs."""
    return most_fps * _RATE_TOLERANCE >= fps


def cut(size: Size, shape: Size) -> Size:
    """The largest even size in `size` that has the shape of `shape`."""
    share = min(Fraction(size[0], shape[0]), Fraction(size[1], shape[1]))
    return int(shape[0] * share) // 2 * 2, int(shape[1] * share) // 2 * 2


def largest(camera: Any, recorded: Size, fps: float) -> tuple[Large | None, str]:  # noqa: ANN401 -- picamera2 has no types
    """The largest size for stills at this rate; None, and why, when there is none above what is recorded.

    Of the sensor's modes only those count that see the most of the scene: a mode that reads the middle of the sensor
    may have more pixels, and would cut off what the recording sees without it. The camera is configured to each mode
    in turn, and is to be configured behind.
    """
    modes = _modes(camera)
    if not modes:
        size = cut(camera.sensor_resolution, recorded)
        return (Large(size, None), "") if size > recorded else (None, "the sensor has nothing larger")
    usable = [mode for mode in modes if is_fast_enough(mode["fps"], fps) and cut(mode["size"], recorded) >= recorded]
    widest = max((_field(mode, recorded) for mode in usable), default=Fraction(0))
    usable = [mode for mode in usable if _field(mode, recorded) >= widest * _FIELD_TOLERANCE]
    best = max(usable, key=lambda mode: (cut(mode["size"], recorded), mode.get("bit_depth", 0)), default=None)
    if best is None or cut(best["size"], recorded) <= recorded:
        return None, _nothing_larger(modes, fps)
    sensor = {"output_size": best["size"]} | {key: best[key] for key in ("bit_depth",) if key in best}
    return Large(cut(best["size"], recorded), sensor), ""


def _modes(camera: Any) -> Sequence[Mapping[str, Any]]:  # noqa: ANN401 -- picamera2 has no types
    """What picamera2 knows of them; none of a camera that is not the board's own, or without memory to ask."""
    try:
        modes = tuple(camera.sensor_modes)
    except Exception as error:  # noqa: BLE001 -- whatever it is: without modes there is still the whole resolution
        _log.warning("the sensor's modes cannot be read: %s: %s", type(error).__name__, error)
        return ()
    return tuple(mode for mode in modes if "size" in mode and "fps" in mode)


def _field(mode: Mapping[str, Any], shape: Size) -> Fraction:
    """How wide a piece of the sensor is seen; 0 where nobody knows."""
    crop = mode.get("crop_limits")
    return Fraction(0) if crop is None else min(Fraction(crop[2], shape[0]), Fraction(crop[3], shape[1]))


def _nothing_larger(modes: Sequence[Mapping[str, Any]], fps: float) -> str:
    top = max(modes, key=lambda mode: (mode["size"][0] * mode["size"][1], mode["fps"]))
    width, height = top["size"]
    return (
        f"at {fps:g} pictures a second the sensor gives nothing that is larger and sees as much; its {width}×{height}"
        f" come at {top['fps']:g}"
    )
