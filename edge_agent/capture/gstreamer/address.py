"""`gstreamer:` addresses: a pipeline as `gst-launch-1.0` takes it, or `gstreamer:argus`, a Jetson's own camera."""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

MAX_DESCRIPTION = 8192
_ARGUS = re.compile(r"argus(\?(?P<query>\S*))?", re.IGNORECASE)
_LIMITS = {"sensor": (0, 255), "mode": (-1, 255)}


@dataclass(frozen=True, slots=True)
class ArgusCamera:
    """A camera behind NVIDIA's Argus.

    Attributes:
        sensor: `sensor-id`: its place in the device tree.
        mode: `sensor-mode`; -1 leaves the choice to Argus.
    """

    sensor: int = 0
    mode: int = -1


def parse(source: str) -> str | ArgusCamera:
    """What stands behind `gstreamer:`: a pipeline, or a camera.

    Raises:
        ValueError: neither; the message says what would be one and repeats nothing of the address.
    """
    text = source.partition(":")[2].strip()
    found = _ARGUS.fullmatch(text)
    if found is not None:
        return _argus(found["query"] or "")
    if not text or "\0" in text:
        raise ValueError("it names no pipeline; expected gstreamer:v4l2src ! … ! h264parse, or gstreamer:argus")
    if len(text) > MAX_DESCRIPTION:
        raise ValueError(f"the pipeline is longer than {MAX_DESCRIPTION} characters")
    return text


def _argus(query: str) -> ArgusCamera:
    values: dict[str, int] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        lowest, highest = _LIMITS.get(key, (0, -1))
        if key in values or not re.fullmatch(r"-?\d{1,3}", value) or not lowest <= int(value) <= highest:
            raise ValueError("expected gstreamer:argus, gstreamer:argus?sensor=1 or gstreamer:argus?sensor=0&mode=2")
        values[key] = int(value)
    return ArgusCamera(**values)
