"""Settings that a camera keeps by itself: its encoder's, and how it turns the picture. Each is read back."""

import errno
from dataclasses import dataclass

from linuxpy.video import raw

from edge_agent.capture.v4l2.node import Node
from edge_agent.settings import CameraSettings

_IDS = raw.ControlID
_UNUSABLE = int(raw.ControlFlag.DISABLED) | int(raw.ControlFlag.READ_ONLY)
_REFUSED = frozenset({errno.EINVAL, errno.ENOTTY, errno.ERANGE, errno.EACCES, errno.EBUSY, errno.EIO, errno.EPIPE})
"""Not there, not now, or a UVC camera that does not answer; anything else means that the camera is gone."""
_CONSTANT_RATE = 1
_JOINED_HEADERS = 1
_PROFILES = {"baseline": 1, "main": 2, "high": 4}
"""V4L2_MPEG_VIDEO_H264_PROFILE_…; baseline as constrained baseline, which is what is meant."""


@dataclass(frozen=True, slots=True)
class Turning:
    """What is still to be done to the picture after the camera did what it can."""

    rotation_deg: int
    hflip: bool
    vflip: bool

    @property
    def is_done(self) -> bool:
        """Nothing is left."""
        return not (self.rotation_deg or self.hflip or self.vflip)


def put(node: Node, control: int, value: int) -> int | None:
    """Set a control to the nearest value that it takes; what it then is, None when the camera has none.

    Raises:
        OSError: the camera is gone.
    """
    asked = raw.v4l2_queryctrl(id=control)
    try:
        node.call(raw.IOC.QUERYCTRL, asked)
        if asked.flags & _UNUSABLE or asked.minimum > asked.maximum:
            return None
        held = min(max(value, int(asked.minimum)), int(asked.maximum))
        node.call(raw.IOC.S_CTRL, raw.v4l2_control(id=control, value=held))
        told = raw.v4l2_control(id=control)
        node.call(raw.IOC.G_CTRL, told)
    except OSError as error:
        if error.errno in _REFUSED:
            return None
        raise
    return int(told.value)


def turn(node: Node, settings: CameraSettings) -> Turning:
    """Have the camera turn the picture as far as it can; controls that a stranger left set are put back.

    Raises:
        OSError: the camera is gone.
    """
    hflip, vflip, rotation_deg = settings.hflip, settings.vflip, int(settings.rotation_deg)
    hflip = _mirror(node, int(_IDS.HFLIP), wanted=hflip)
    vflip = _mirror(node, int(_IDS.VFLIP), wanted=vflip)
    # A camera turns after it mirrored, as the settings mean it; what is left of mirroring has to come first.
    if rotation_deg == 180 and not hflip and not vflip:
        rotation_deg = 0 if put(node, int(_IDS.ROTATE), 180) == 180 else rotation_deg
    else:
        put(node, int(_IDS.ROTATE), 0)
    return Turning(rotation_deg, hflip, vflip)


def _mirror(node: Node, control: int, *, wanted: bool) -> bool:
    """Have the camera mirror, or not; whether pictures still have to be mirrored for it to be as wanted."""
    return (put(node, control, int(wanted)) == 1) != wanted


def set_encoder(node: Node, settings: CameraSettings, fps: float) -> str:
    """Set the camera's own H.264 encoder; what it says it does.

    Raises:
        OSError: the camera is gone.
    """
    pictures = max(1, round(settings.gop_s * fps))
    put(node, int(_IDS.MPEG_VIDEO_BITRATE_MODE), _CONSTANT_RATE)
    bitrate = put(node, int(_IDS.MPEG_VIDEO_BITRATE), settings.bitrate_kbps * 1000)
    gop = put(node, int(_IDS.MPEG_VIDEO_GOP_SIZE), pictures)
    period = put(node, int(_IDS.MPEG_VIDEO_H264_I_PERIOD), pictures)
    put(node, int(_IDS.MPEG_VIDEO_REPEAT_SEQ_HEADER), 1)
    put(node, int(_IDS.MPEG_VIDEO_HEADER_MODE), _JOINED_HEADERS)
    profile = settings.encoder.profile
    if profile is not None:
        put(node, int(_IDS.MPEG_VIDEO_H264_PROFILE), _PROFILES[profile])
    told = [] if bitrate is None else [f"{bitrate // 1000} kbit/s"]
    key = gop if gop is not None else period
    if key is not None:
        told.append(f"a key frame every {key} pictures")
    return ", ".join(told) or "sets its bit rate and key frames by itself"


def ask_key_frame(node: Node) -> None:
    """Ask for a key frame now, where the camera can be asked.

    Raises:
        OSError: the camera is gone.
    """
    put(node, int(_IDS.MPEG_VIDEO_FORCE_KEY_FRAME), 1)
