"""Settings: one TOML file, every key also an environment variable, all validated at start.

The environment variable of `[unit] data_dir` is `EDGE_UNIT_DATA_DIR`; that of the second camera's source is
`EDGE_CAMERA_1_SOURCE`. A variable wins over the file. Trust anchors and allowed origins are never taken from the
environment of an enrolled unit (`unit.enrolled = true` in the file).
"""

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from edge_agent.contract.local_time import load_zone
from edge_agent.contract.names import DEFAULT_PREFIX, CameraName, UnitId

SyncPolicy = Literal["fragment", "10s"]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class UnitSettings(_Table):
    """`[unit]`."""

    id: UnitId
    data_dir: Path
    enrolled: bool = False
    timezone: str = "Europe/Paris"
    """Of the site, for times that a person types; everything stored and sent is UTC."""

    @field_validator("timezone")
    @classmethod
    def _check_timezone(cls, name: str) -> str:
        load_zone(name)
        return name


class PositionSettings(_Table):
    """`[position]`: the fixed position of a unit without GNSS."""

    longitude_deg: float = Field(ge=-180, le=180)
    latitude_deg: float = Field(ge=-90, le=90)
    altitude_m: float | None = Field(default=None, ge=-500, le=9000)
    accuracy_m: float | None = Field(default=None, gt=0, le=10_000)


class CameraSettings(_Table):
    """`[[camera]]`."""

    name: CameraName
    source: str
    width: int | None = Field(default=None, ge=64, le=8192)
    height: int | None = Field(default=None, ge=64, le=8192)
    fps: float | None = Field(default=None, gt=0, le=240)
    bitrate_kbps: int = Field(default=4000, ge=50, le=200_000)
    gop_s: float = Field(default=1.0, gt=0, le=10)
    sync: SyncPolicy = "fragment"
    max_bytes: int | None = Field(default=None, ge=1_000_000)
    """Size of the ring; None: as much as the disk gives."""
    min_free_bytes: int = Field(default=500_000_000, ge=0)
    """Free space that the ring leaves on its file system."""
    max_age_h: float = Field(default=30 * 24, gt=0, le=31 * 24)
    """Footage older than this is destroyed; the law's month is the most."""
    min_age_h: float | None = Field(default=None, gt=0, le=31 * 24)
    """Footage ought to be kept so long; an alarm says when the storage cannot hold it. None: no such alarm."""
    segment_s: float = Field(default=60.0, ge=1, le=60)
    connect_timeout_s: float = Field(default=10.0, gt=0, le=120)
    stall_timeout_s: float = Field(default=10.0, gt=0, le=300)
    tls_verify: bool = True
    """`rtsps://`: the camera's certificate has to be trusted and be for its host; false: encryption alone."""
    ca_file: Path | None = None
    """`rtsps://`: PEM of the authorities that may sign the camera's certificate; None: the system's."""


class MqttSettings(_Table):
    """`[mqtt]`."""

    url: str
    topic_prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$")] = DEFAULT_PREFIX
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    keepalive_s: int = Field(default=45, ge=5, le=600)
    session_expiry_s: int = Field(default=7 * 24 * 3600, ge=60, le=0xFFFFFFFF)

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname:
            raise ValueError("expected mqtts://host[:port], or mqtt:// on a bench")
        return url


class UploadSettings(_Table):
    """`[upload]`."""

    url: str
    allowed_origins: tuple[str, ...] = ()
    """Origins beside that of `url` to which a command may send a clip."""
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    chunk_bytes: int = Field(default=4_000_000, ge=65_536, le=64_000_000)
    concurrent: int = Field(default=2, ge=1, le=8)

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("expected https://host[:port]/path/, or http:// on a bench")
        return url


class TrustSettings(_Table):
    """`[trust]`: whom the unit obeys."""

    command_keys_file: Path
    """JWK set of the keys that sign commands and receipts."""


class Settings(_Table):
    """Everything a unit is told."""

    unit: UnitSettings
    camera: tuple[CameraSettings, ...] = Field(min_length=1, max_length=8)
    mqtt: MqttSettings | None = None
    upload: UploadSettings | None = None
    trust: TrustSettings | None = None
    position: PositionSettings | None = None

    @model_validator(mode="after")
    def _check_cameras(self) -> Self:
        names = [camera.name for camera in self.camera]
        if len(set(names)) != len(names):
            raise ValueError("two cameras have the same name; each needs its own")
        return self

    @model_validator(mode="after")
    def _check_link(self) -> Self:
        if self.mqtt is not None and (self.upload is None or self.trust is None):
            raise ValueError("[mqtt] needs [upload] and [trust] beside it")
        return self
