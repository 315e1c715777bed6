"""All encoders: one line each. An encoder's libraries are loaded when it is tried."""

from functools import partial

from edge_agent.camera_settings import EncoderName
from edge_agent.capture.encoding.encoder import OpenEncoder
from edge_agent.capture.encoding.libav_encoder import LibavEncoder
from edge_agent.capture.gstreamer.encoder import open_board_encoder

KINDS: dict[EncoderName, OpenEncoder] = {
    "v4l2m2m": partial(LibavEncoder, "h264_v4l2m2m"),
    "gstreamer": open_board_encoder,
    "libx264": partial(LibavEncoder, "libx264"),
    "libx265": partial(LibavEncoder, "libx265"),
}
"""Name in the settings → opens one."""
