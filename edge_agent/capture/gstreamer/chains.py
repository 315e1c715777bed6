"""Encoders as pieces of a pipeline, by the properties that their elements really have.

NVIDIA's are those of `gstv4l2videoenc.c` and `gstv4l2h264enc.c` in Jetson Linux 36 (`gst-inspect-1.0 nvv4l2h264enc`);
they take pictures from the board's own memory (NVMM), into which `nvvidconv` brings them. Written against their
source and never run on a Jetson; `x264enc` and `x265enc` are run here.
"""

from dataclasses import dataclass

from edge_agent.camera_settings import CameraSettings, Profile
from edge_agent.contract.access_unit import Codec

_NV_PROFILES: dict[Profile, int] = {"baseline": 0, "main": 2, "high": 4}
_DEFAULT_FPS = 25.0
QUEUE = "queue max-size-buffers=3 max-size-bytes=0 max-size-time=0"
"""Camera and encoder in threads of their own, without letting pictures grow old."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What an encoder is asked for; see `CameraSettings`."""

    codec: Codec
    bitrate_kbps: int
    gop_pictures: int
    profile: Profile
    quality: float | None = None

    @classmethod
    def of(cls, settings: CameraSettings) -> "Wish":
        """A camera's."""
        encoder = settings.encoder
        gop = max(1, round(settings.gop_s * (settings.fps or _DEFAULT_FPS)))
        return cls(encoder.codec, settings.bitrate_kbps, gop, encoder.profile or "high", encoder.quality)


@dataclass(frozen=True, slots=True)
class Chain:
    """An encoder in a pipeline.

    Attributes:
        name: of the element, for people.
        text: as `gst-launch-1.0` takes it.
        is_on_device: it takes pictures from NVIDIA's memory.
        has_quality: it can hold a quality; others go by bit rate.
    """

    name: str
    text: str
    is_on_device: bool = False
    has_quality: bool = False

    def from_system(self, flip: str = "") -> str:
        """The chain for pictures in the processor's memory."""
        if self.is_on_device:
            return f"nvvidconv{flip} ! video/x-raw(memory:NVMM),format=NV12 ! {self.text}"
        return self.text


def nvenc(wish: Wish) -> Chain:
    """NVIDIA's engine (Orin NX and up; Orin Nano has none)."""
    name = "nvv4l2h264enc" if wish.codec == "h264" else "nvv4l2h265enc"
    profile = f" profile={_NV_PROFILES[wish.profile]}" if wish.codec == "h264" else ""
    gop = wish.gop_pictures
    text = (
        f"{name} bitrate={wish.bitrate_kbps * 1000} control-rate=1 iframeinterval={gop} idrinterval={gop}"
        f" insert-sps-pps=true maxperf-enable=true{profile}"
    )
    return Chain(name, text, is_on_device=True)


def software(wish: Wish) -> Chain:
    """x264 or x265 in the pipeline's process."""
    common = f"key-int-max={wish.gop_pictures} tune=zerolatency speed-preset=superfast"
    if wish.codec == "hevc":
        return Chain("x265enc", f"x265enc bitrate={wish.bitrate_kbps} {common}")
    rate = f"bitrate={wish.bitrate_kbps} vbv-buf-capacity=1000"
    if wish.quality is not None:
        rate += f" pass=qual quantizer={min(50, round(wish.quality))}"
    text = f"x264enc {rate} {common} option-string=scenecut=0 ! video/x-h264,profile={_x264_profile(wish.profile)}"
    return Chain("x264enc", text, has_quality=True)


def _x264_profile(profile: Profile) -> str:
    return "constrained-baseline" if profile == "baseline" else profile


def candidates(wish: Wish) -> tuple[Chain, ...]:
    """Encoders for a camera of NVIDIA's, best first."""
    return nvenc(wish), software(wish)


def trial(chain: Chain, width_px: int, height_px: int, pictures: int) -> str:
    """A pipeline that has an encoder show that it works, with drawn pictures and as fast as it can."""
    drawn = f"video/x-raw,format=I420,width={width_px},height={height_px},framerate=25/1"
    return f"videotestsrc num-buffers={pictures} pattern=ball ! {drawn} ! {chain.from_system()}"
