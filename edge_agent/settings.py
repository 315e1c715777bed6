"""Settings: one TOML file, every key also an environment variable, all validated at start.

The environment variable of `[unit] data_dir` is `EDGE_UNIT_DATA_DIR`; that of the second camera's source is
`EDGE_CAMERA_1_SOURCE`. A variable wins over the file. Trust anchors and allowed origins are never taken from the
environment of an enrolled unit (`unit.enrolled = true` in the file).
"""

import re
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, field_validator, model_validator

from edge_agent.camera_settings import (
    PROXY_SUFFIX,
    CameraSettings,
    EncoderSettings,
    ProxySettings,
    SensorSettings,
    SyncPolicy,
    V4l2Settings,
)
from edge_agent.contract.local_time import load_zone
from edge_agent.contract.names import DEFAULT_PREFIX, UnitId
from edge_agent.contract.upload import origin_of
from edge_agent.errors import ContractError
from edge_agent.settings_base import SettingsTable

__all__ = [
    "CameraSettings",
    "EncoderSettings",
    "MqttSettings",
    "PositionSettings",
    "ProxySettings",
    "SensorSettings",
    "Settings",
    "SyncPolicy",
    "TrustSettings",
    "UnitSettings",
    "UploadSettings",
    "V4l2Settings",
]

GPSD_PORT = 2947
"""Registered with IANA for gpsd."""


def _is_url(text: str, *schemes: str) -> bool:
    """Whether it has one of the schemes and a host."""
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and bool(parts.hostname)
    except ValueError:  # whose words may repeat a password
        return False


def _host_and_port(address: str) -> tuple[str, int]:
    """`127.0.0.1:2947`, `gps.example`, `[::1]:2947`, taken apart.

    Raises:
        ValueError: it is none of them.
    """
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+(?:%\w+)?)\]|([\w.-]+))(?::(\d{1,5}))?", address)
    port = GPSD_PORT if found is None or found[3] is None else int(found[3])
    if found is None or not 0 < port < 65_536:
        raise ValueError("expected host:port of gpsd, as in 127.0.0.1:2947")
    return found[1] or found[2], port


class UnitSettings(SettingsTable):
    """`[unit]`: who the unit is and where it keeps everything."""

    id: UnitId
    """The name by which the centre knows the unit; it stands in every segment, manifest and topic."""
    data_dir: Path
    """Footage, keys and the link's state lie here; made when it is missing."""
    enrolled: bool = False
    """True: who the unit is, whom it obeys and whither footage goes are taken from the file alone."""
    timezone: str = "Europe/Paris"
    """Of the site, as the IANA database names it, for times that a person types; what is stored and sent is UTC."""

    @field_validator("timezone")
    @classmethod
    def _check_timezone(cls, name: str) -> str:
        load_zone(name)
        return name


class PositionSettings(SettingsTable):
    """`[position]`: a fixed place, a receiver behind gpsd, or both: the place then counts until the first fix."""

    longitude_deg: float | None = Field(default=None, ge=-180, le=180)
    """Of the fixed place, east of Greenwich, WGS 84 (RFC 7946 §4); goes with `latitude_deg`."""
    latitude_deg: float | None = Field(default=None, ge=-90, le=90)
    """Of the fixed place, north of the equator, WGS 84; goes with `longitude_deg`."""
    altitude_m: float | None = Field(default=None, ge=-500, le=9000)
    """Above the WGS 84 ellipsoid; sent with the position."""
    accuracy_m: float | None = Field(default=None, gt=0, le=10_000)
    """How far off the fixed place may be; sent with the position and kept in every segment."""
    gpsd: str | None = None
    """`host[:port]` of gpsd, 2947 without a port: `127.0.0.1` for the unit's own. None: no receiver."""

    @field_validator("gpsd")
    @classmethod
    def _check_gpsd(cls, address: str | None) -> str | None:
        if address is not None:
            _host_and_port(address)
        return address

    @model_validator(mode="after")
    def _check_place(self) -> Self:
        if (self.longitude_deg is None) != (self.latitude_deg is None):
            raise ValueError("longitude_deg and latitude_deg go together; write both or none")
        if self.longitude_deg is None and self.gpsd is None:
            raise ValueError("neither a place nor gpsd; write longitude_deg and latitude_deg, or gpsd")
        if self.longitude_deg is None and (self.altitude_m is not None or self.accuracy_m is not None):
            raise ValueError("altitude_m and accuracy_m are of a fixed place; write longitude_deg and latitude_deg")
        return self

    @property
    def gpsd_address(self) -> tuple[str, int] | None:
        """Host and port of gpsd; None when there is no receiver."""
        return None if self.gpsd is None else _host_and_port(self.gpsd)


class MqttSettings(SettingsTable):
    """`[mqtt]`: the broker of the centre. A link takes `[mqtt]`, `[upload]` and `[trust]`; recording takes none."""

    url: str
    """`mqtts://host[:port]`, or `mqtt://host[:port]` on a bench; without a port 8883 and 1883."""
    topic_prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$")] = DEFAULT_PREFIX
    """Before the unit's id in every topic; that of the centre."""
    username: str | None = None
    """None: the broker is given no name."""
    password_file: Path | None = None
    """Holds the password alone; read at every connection, blanks and newlines around it are dropped."""
    ca_file: Path | None = None
    """PEM of the authorities that may sign the broker's certificate; None: the system's."""
    certificate_file: Path | None = None
    """PEM of the unit's own certificate, for a broker that asks for one."""
    key_file: Path | None = None
    """PEM of the certificate's private key; None: it is in `certificate_file`."""
    keepalive_s: int = Field(default=45, ge=5, le=600)
    """A silent line is asked after so long."""
    session_expiry_s: int = Field(default=7 * 24 * 3600, ge=60, le=0xFFFFFFFF)
    """So long does the broker keep commands for a unit that is away; a broker may keep them for less."""

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        if not _is_url(url, "mqtt", "mqtts"):
            raise ValueError("expected mqtts://host[:port], or mqtt:// on a bench")
        return url


class UploadSettings(SettingsTable):
    """`[upload]`: the ingest of the centre; goes with `[mqtt]` and `[trust]`, without them there is no link."""

    url: str
    """`https://host[:port]/path/`, or `http://…` on a bench."""
    allowed_origins: tuple[str, ...] = ()
    """Origins beside that of `url` to which a command may send a clip."""
    ca_file: Path | None = None
    """PEM of the authorities that may sign the ingest's certificate; None: the system's."""
    certificate_file: Path | None = None
    """PEM of the unit's own certificate, for an ingest that asks for one."""
    key_file: Path | None = None
    """PEM of the certificate's private key; None: it is in `certificate_file`."""
    chunk_bytes: int = Field(default=4_000_000, ge=65_536, le=64_000_000)
    """Of one request, at least; requests grow while the link is fast."""
    concurrent: int = Field(default=2, ge=1, le=8)
    """Clips that are sent at the same time."""
    max_kbps: int = Field(default=0, ge=0, le=10_000_000)
    """Of all uploads together, in kbit/s; 0: as much as the link carries without a queue."""
    dscp: int = Field(default=0, ge=0, le=63)
    """Mark of the uploads' packets for routers that look at it (RFC 2474), such as 1: least effort, RFC 8622."""

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        if not _is_url(url, "http", "https"):
            raise ValueError("expected https://host[:port]/path/, or http:// on a bench")
        return url


def _has_port(url: str) -> bool:
    """Whether its port, if it names one, is a possible one."""
    try:
        _ = urlsplit(url).port
    except ValueError:
        return False
    return True


def _unusable_origin(upload: UploadSettings) -> str | None:
    named = [("upload.url", upload.url), *(("upload.allowed_origins", origin) for origin in upload.allowed_origins)]
    for name, url in named:
        try:
            origin_of(url)
        except ContractError:  # whose words may repeat a password
            return (
                f"{name}: one is no address of the form https://host[:port]/path without user and password; mend it:"
                " until then the unit records and nobody can ask for footage"
            )
    return None


def _unusable_port(mqtt: MqttSettings) -> str | None:
    if _has_port(mqtt.url):
        return None
    return "mqtt.url: its port is none; mend it: until then the unit records and nobody can ask for footage"


class TrustSettings(SettingsTable):
    """`[trust]`: whom the unit obeys; goes with `[mqtt]` and `[upload]`, without them there is no link."""

    command_keys_file: Path
    """JWK set (RFC 7517 §5) of the keys that sign commands and receipts."""


class Settings(SettingsTable):
    """Everything a unit is told."""

    unit: UnitSettings
    camera: tuple[CameraSettings, ...] = Field(min_length=1, max_length=8)
    mqtt: MqttSettings | None = None
    upload: UploadSettings | None = None
    trust: TrustSettings | None = None
    position: PositionSettings | None = None

    @model_validator(mode="after")
    def _check_cameras(self) -> Self:
        names = [camera.name for camera in self.rings]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two cameras are named {twice}; each needs a name of its own, and so does a proxy")
        return self

    @property
    def rings(self) -> tuple[CameraSettings, ...]:
        """Every ring that the unit keeps: each camera's, and behind it that of its proxy."""
        with_proxies = ((camera, camera.proxy_ring) for camera in self.camera)
        return tuple(ring for pair in with_proxies for ring in pair if ring is not None)

    @property
    def recorders(self) -> tuple[CameraSettings, ...]:
        """The main ring of every recorder process: the cameras, and proxies that have an address of their own."""
        return tuple(ring for ring in self.rings if ring.name not in self.made_proxies)

    @property
    def proxies(self) -> frozenset[str]:
        """Names of the rings of proxies: small by design, what the law asks of a picture is asked of the camera's."""
        return frozenset(camera.name + PROXY_SUFFIX for camera in self.camera if camera.proxy is not None)

    @property
    def made_proxies(self) -> frozenset[str]:
        """Those of them that are made from the main stream's pictures, in the main stream's process."""
        own = {camera.name + PROXY_SUFFIX for camera in self.camera if camera.has_own_recorder_for_proxy}
        return self.proxies - own

    @property
    def link_lacks(self) -> str | None:
        """Why there is no link, in a sentence; None when it has what it needs. Recording needs nothing of it."""
        tables = {"[mqtt]": self.mqtt, "[upload]": self.upload, "[trust]": self.trust}
        there = " and ".join(name for name, table in tables.items() if table is not None)
        missing = " and ".join(name for name, table in tables.items() if table is None)
        if not there:
            return "no [mqtt] in the settings: the unit records and nobody can ask for footage"
        if self.mqtt is not None and self.upload is not None and not missing:
            return _unusable_port(self.mqtt) or _unusable_origin(self.upload)
        return (
            f"{there} without {missing}: a link takes [mqtt], [upload] and [trust]; the unit records and nobody can"
            f" ask for footage; write what is missing, or take {there} out"
        )
