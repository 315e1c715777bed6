"""What `csu serve` is told."""

import socket
from dataclasses import dataclass
from pathlib import Path

from csu.notify_settings import NotifySettings
from edge_agent.contract.names import DEFAULT_PREFIX

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class ForeignBroker:
    """A broker that runs already and has a user for the centre; its access rules are its keeper's."""

    url: str
    username: str | None = None
    password: str | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """What `csu serve` is told.

    Attributes:
        directory: everything of the service lies in it.
        host: address that broker and ingest listen on; the API is always on loopback.
        public_host: name under which units reach them; None takes `host`, or this machine's name for 0.0.0.0.
        mqtt_port: 0 keeps the port of the last start, or chooses one.
        ingest_port: as `mqtt_port`.
        api_port: as `mqtt_port`.
        ingest_origins: further addresses at which units reach the ingest: of a reverse proxy, a second network.
        prefix: of the topics.
        foreign_broker: None starts an own one.
        zone: IANA name of the time zone of the page and of the day's summary.
        tile_url: of map tiles for the page, with `{z}`, `{x}`, `{y}`; None draws a plain plan.
        tile_attribution: whom the tiles' keepers want named.
        operator: name that the page proposes.
        notify: whom to tell of alarms and days; None tells nobody.
    """

    directory: Path
    host: str = LOOPBACK
    public_host: str | None = None
    mqtt_port: int = 0
    ingest_port: int = 0
    api_port: int = 0
    ingest_origins: tuple[str, ...] = ()
    prefix: str = DEFAULT_PREFIX
    foreign_broker: ForeignBroker | None = None
    zone: str = "UTC"
    tile_url: str | None = None
    tile_attribution: str | None = None
    operator: str | None = None
    notify: NotifySettings | None = None

    @property
    def reached_as(self) -> str:
        """Name in the URLs that units are given."""
        everywhere = self.host in {"0.0.0.0", "::"}  # noqa: S104 -- compared only
        name = self.public_host or (socket.gethostname() if everywhere else self.host)
        return f"[{name}]" if ":" in name else name
