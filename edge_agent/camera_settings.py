"""`[[camera]]` and the tables in it: what a camera is asked for, how it is encoded, and how long it is kept."""

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import unquote

from pydantic import Field, field_validator, model_validator

from edge_agent.contract.access_unit import Codec
from edge_agent.contract.names import CameraName
from edge_agent.settings_base import SettingsTable

SyncPolicy = Literal["fragment", "10s"]
EncoderName = Literal["camera", "v4l2m2m", "gstreamer", "libx264", "libx265"]
"""`camera`: the one in the camera, or of its library; `v4l2m2m`: the board's, through the kernel's memory-to-memory
interface; `gstreamer`: the board's, through GStreamer; the others are software."""
Profile = Literal["baseline", "main", "high"]

PROXY_SUFFIX = "-proxy"
"""The proxy stream of camera `main` is the ring `main-proxy`."""
MAX_MASKS = 32
MAX_POINTS = 64

Share = Annotated[float, Field(ge=0, le=1)]
Polygon = Annotated[tuple[tuple[Share, Share], ...], Field(min_length=3, max_length=MAX_POINTS)]


class EncoderSettings(SettingsTable):
    """`[camera.encoder]`: how pictures are encoded where the unit does it itself."""

    codec: Codec = "h264"
    """`hevc` takes less space and more of the processor; browsers without H.265 do not play it."""
    order: tuple[EncoderName, ...] | None = Field(default=None, min_length=1)
    """Which to try, best first; each is tried out for a second of pictures, and the next one follows one that fails.
    None: the camera's own, the board's, then software."""
    profile: Profile | None = None
    """Of H.264; none: `high`. Software H.265 is always Main."""
    quality: float | None = Field(default=None, ge=1, le=51)
    """Constant quality (x264's and x265's rate factor, lower is better), and `bitrate_kbps` its ceiling; none:
    constant bit rate. An encoder without it, such as the Pi's, goes by bit rate and says so."""


class ProxySettings(SettingsTable):
    """`[camera.proxy]`: a second, small stream of the same camera, kept in a ring of its own, `<camera>-proxy`."""

    source: str | None = None
    """An address of its own, such as an RTSP camera's second profile: recorded by a process of its own. None: made
    from the main stream's pictures."""
    width: int = Field(default=640, ge=64, le=8192)
    """Of a proxy that is made here; even. The height follows the shape of the picture when it does not fit."""
    height: int = Field(default=360, ge=64, le=8192)
    """Of a proxy that is made here; even."""
    fps: float | None = Field(default=None, ge=0.1, le=240)
    """Pictures a second of a proxy that is made here, at most those of the main stream; None: half of them, at
    most 12.5."""
    bitrate_kbps: int = Field(default=250, ge=20, le=200_000)
    """A proxy that is made here is encoded at it; of one with a `source`, what is expected of it."""
    gop_s: float = Field(default=2.0, gt=0, le=10)
    """From key frame to key frame in a proxy that is made here."""
    sync: SyncPolicy = "10s"
    """As `camera.sync`."""
    max_bytes: int | None = Field(default=None, ge=1_000_000)
    """As `camera.max_bytes`."""
    max_age_h: float | None = Field(default=None, gt=0, le=31 * 24)
    """As `camera.max_age_h`; None: the camera's."""
    min_age_h: float | None = Field(default=None, gt=0, le=31 * 24)
    """As `camera.min_age_h`."""

    @field_validator("width", "height")
    @classmethod
    def _check_even(cls, side_px: int) -> int:
        if side_px % 2:
            raise ValueError("has to be even: colours have half the resolution")
        return side_px


class SensorSettings(SettingsTable):
    """`[camera.sensor]`: of a `picamera2:` camera, where its sensor and lens have it.

    `gstreamer:argus` takes `exposure_us`, `analogue_gain` and `exposure_compensation_ev`; others have their own.
    """

    tuning_file: str | None = Field(default=None, min_length=1, pattern=r"^(/.*|[^/]+)$")
    """libcamera's tuning of the sensor: a whole path, or a bare name among those that libcamera brings."""
    exposure_us: int | None = Field(default=None, ge=1, le=10_000_000)
    """Fixed exposure time; None: automatic."""
    analogue_gain: float | None = Field(default=None, ge=1, le=64)
    """Fixed gain; None: automatic."""
    exposure_compensation_ev: float | None = Field(default=None, ge=-8, le=8)
    """Stops by which the automatic exposure is brighter or darker; `gstreamer:argus` goes 2 either way."""
    autofocus: Literal["continuous", "off"] | None = None
    """`continuous` follows the scene, `off` stays where `focus_dioptre` says; None: as the lens does by itself."""
    focus_dioptre: float | None = Field(default=None, ge=0, le=32)
    """Where the lens is put with `autofocus = "off"`: 0 is infinity, 1 a metre, 2 half a metre."""
    full_size_stills: bool = False
    """Stills of `picamera2:` have the sensor's largest size at this rate and in the shape of the recording, not the
    recording's own. Off, as recording comes first: the sensor is read in that size all the time, which takes memory
    (CMA: 6 buffers of 1.5 bytes a pixel, 108 MB for 12 million) and the board's bandwidth; a proxy is then made by
    the recorder's own encoders. More of the scene may be seen than without: choose before masks are drawn."""

    @model_validator(mode="after")
    def _check_focus(self) -> Self:
        if self.focus_dioptre is not None and self.autofocus != "off":
            raise ValueError('focus_dioptre goes with autofocus = "off"; write both or none')
        return self


class V4l2Settings(SettingsTable):
    """`[camera.v4l2]`: of a `v4l2:` camera."""

    format: Literal["auto", "h264", "mjpeg", "yuyv"] = "auto"
    """What the camera is asked for; `auto`: the first that it has of H.264 as it comes, MJPEG, uncompressed."""


class CameraSettings(SettingsTable):
    """`[[camera]]`: one table a camera, one to eight of them."""

    name: CameraName
    """Its own among the unit's cameras; names its folder in the ring."""
    source: str
    """`picamera2:0`, `v4l2:/dev/v4l/by-path/…`, `gstreamer:<pipeline>`, `rtsp://user:password@host:554/path`,
    `rtsps://…`, `file:street.mp4`, or `test:` (drawn; on a bench)."""
    width: int | None = Field(default=None, ge=64, le=8192)
    """Asked of `picamera2:`, `v4l2:`, `gstreamer:argus` and the drawn scene (even, at least 144), which are 1280
    wide without; what was given is reported. Other sources have their own."""
    height: int | None = Field(default=None, ge=64, le=8192)
    """Likewise; 720 without, of the drawn scene at least 48."""
    fps: float | None = Field(default=None, ge=0.1, le=240)
    """Pictures a second, asked likewise; 25 without."""
    bitrate_kbps: int = Field(default=4000, ge=50, le=200_000)
    """What is encoded here is encoded at it. Of other sources it is what they are expected to send: the recorder's
    queue is sized by it, and `edge-agent check` reckons days by it."""
    gop_s: float = Field(default=1.0, gt=0, le=10)
    """From key frame to key frame in what is encoded here. Other sources have their own."""
    rotation_deg: Literal[0, 90, 180, 270] = 0
    """By which pictures that are encoded here are turned clockwise."""
    hflip: bool = False
    """Pictures that are encoded here are mirrored left to right, before they are turned."""
    vflip: bool = False
    """Likewise top to bottom."""
    masks: tuple[Polygon, ...] = Field(default=(), max_length=MAX_MASKS)
    """Areas that are never recorded, each a list of at least three points `[x, y]` from 0, 0 (top left of the
    recorded picture) to 1, 1; filled before the encoder. A stream that would pass through is decoded and encoded."""
    overlay: bool = False
    """Unit, site, local time and its offset from UTC are written into the picture, which is then encoded here."""
    encoder: EncoderSettings = EncoderSettings()
    """The table `[camera.encoder]`."""
    proxy: ProxySettings | None = None
    """The table `[camera.proxy]`; None: there is no second stream."""
    sensor: SensorSettings = SensorSettings()
    """The table `[camera.sensor]`."""
    v4l2: V4l2Settings = V4l2Settings()
    """The table `[camera.v4l2]`."""
    sync: SyncPolicy = "fragment"
    """When footage is synced to the disk: each fragment of 1 s, or every 10 s, which a power cut then takes."""
    max_bytes: int | None = Field(default=None, ge=1_000_000)
    """Size of the ring; None: as much as the disk gives."""
    min_free_bytes: int = Field(default=500_000_000, ge=0)
    """Free space that the ring leaves on its file system; the oldest footage gives way to it."""
    max_age_h: float = Field(default=30 * 24, gt=0, le=31 * 24)
    """Footage older than this is destroyed; the law's month is the most."""
    min_age_h: float | None = Field(default=None, gt=0, le=31 * 24)
    """Footage ought to be kept so long; an alarm says when the storage cannot hold it. None: no such alarm."""
    segment_s: float = Field(default=60.0, ge=1, le=60)
    """The longest that one file of footage gets; footage is destroyed file by file."""
    connect_timeout_s: float = Field(default=10.0, gt=0, le=120)
    """A camera that has not answered for so long is tried again."""
    stall_timeout_s: float = Field(default=10.0, gt=0, le=300)
    """A connected camera that is silent for so long is hung up on and tried again."""
    tls_verify: bool = True
    """`rtsps://`: the camera's certificate has to be trusted and be for its host; false: encryption alone."""
    ca_file: Path | None = None
    """`rtsps://`: PEM of the authorities that may sign the camera's certificate; None: the system's."""

    @field_validator("masks")
    @classmethod
    def _check_masks(cls, masks: tuple[Polygon, ...]) -> tuple[Polygon, ...]:
        for number, mask in enumerate(masks, 1):
            if _is_flat(mask):
                raise ValueError(f"mask {number} covers nothing; write the corners of an area, in order")
        return masks

    @model_validator(mode="after")
    def _check_proxy(self) -> Self:
        if self.proxy is not None and len(self.name) + len(PROXY_SUFFIX) > 31:
            raise ValueError(f"name: the proxy's ring is <name>{PROXY_SUFFIX}; write a name of at most 25 characters")
        return self

    @property
    def video_file(self) -> Path | None:
        """The path in `file:relative`, `file:/absolute` or `file:///absolute`; None when the source names no file."""
        # Taken apart by hand: urlsplit refuses what a camera's password may have in it, and cuts paths at `?`.
        scheme, _, path = self.source.partition(":")
        if scheme.lower() != "file":
            return None
        if path.startswith("//"):
            _, slash, rest = path.removeprefix("//").partition("/")
            path = unquote(slash + rest)
        return Path(path) if path else None

    @property
    def proxy_ring(self) -> "CameraSettings | None":
        """The proxy as a ring of its own; None when there is no second stream."""
        proxy = self.proxy
        if proxy is None:
            return None
        return self.model_copy(
            update={
                "name": self.name + PROXY_SUFFIX,
                "source": proxy.source or self.source,
                "width": proxy.width,
                "height": proxy.height,
                "fps": proxy.fps,
                "bitrate_kbps": proxy.bitrate_kbps,
                "gop_s": proxy.gop_s,
                "sync": proxy.sync,
                "max_bytes": proxy.max_bytes,
                "max_age_h": proxy.max_age_h or self.max_age_h,
                "min_age_h": proxy.min_age_h,
                "proxy": None,
            }
        )

    @property
    def has_own_recorder_for_proxy(self) -> bool:
        """The proxy comes from an address of its own: another process records it, and neither can harm the other."""
        return self.proxy is not None and self.proxy.source is not None


def _is_flat(polygon: Polygon) -> bool:
    """Whether all corners lie on one line; the area of an outline that crosses itself may well be 0."""
    (ax, ay), *others = polygon
    far_x, far_y = max(others, key=lambda point: (point[0] - ax) ** 2 + (point[1] - ay) ** 2)
    return all((far_x - ax) * (y - ay) == (far_y - ay) * (x - ax) for x, y in others)
