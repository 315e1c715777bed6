"""`csu serve`: run the centre until SIGTERM or Ctrl-C."""

import argparse
import asyncio
import re
import signal
from pathlib import Path
from urllib.parse import urlsplit

from csu.cli.common import OK, Context, add_dir, local_zone_name, short_text
from csu.errors import ContractError, CsuSettingsError
from csu.notify_settings import load_notify_settings
from csu.serve_settings import ForeignBroker, ServeSettings
from csu.service_info import ServiceInfo
from edge_agent.clock import Clock
from edge_agent.contract.local_time import load_zone
from edge_agent.contract.names import DEFAULT_PREFIX
from edge_agent.contract.upload import origin_of

_TILES = (
    r"https?://(\{s\}\.)?[A-Za-z0-9.-]+(:\d{1,5})?/(?=[^\s]*\{z\})(?=[^\s]*\{x\})(?=[^\s]*\{y\})"
    r"[A-Za-z0-9._~/{}?=&%@:+,-]*"
)
_PREFIX = r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*"


def add_to(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The subcommand's arguments."""
    parser = subcommands.add_parser("serve", help="run broker, ingest, registry and API")
    add_dir(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address of broker and ingest (default: %(default)s)")
    parser.add_argument("--public-host", metavar="NAME", help="name under which units reach them (default: --host)")
    for name, what in (("port", "broker's"), ("ingest-port", "ingest's"), ("api-port", "API's")):
        parser.add_argument(
            f"--{name}", type=_port, default=0, metavar="N", help=f"the {what} port (default: that of the last start)"
        )
    parser.add_argument(
        "--ingest-origin",
        action="append",
        default=[],
        metavar="URL",
        help="units reach the ingest at this address too, https://host[:port] of a proxy say; may be repeated",
    )
    parser.add_argument("--prefix", default=DEFAULT_PREFIX, help="of the topics (default: %(default)s)")
    parser.add_argument("--broker", metavar="URL", help="use this broker, mqtt(s)://host[:port], and start none")
    parser.add_argument("--broker-user", metavar="NAME", help="user of --broker")
    parser.add_argument("--broker-password-file", type=Path, metavar="FILE", help="password of --broker-user")
    parser.add_argument("--broker-ca", type=Path, metavar="FILE", help="authorities that vouch for --broker")
    parser.add_argument("--broker-certificate", type=Path, metavar="FILE", help="that we show to --broker")
    parser.add_argument("--broker-key", type=Path, metavar="FILE", help="key of --broker-certificate")
    parser.add_argument("--zone", metavar="NAME", help="time zone of the page, such as Europe/Paris (this machine's)")
    parser.add_argument("--tile-url", metavar="URL", help="map tiles of the page, with {z}, {x}, {y} (none: a plan)")
    parser.add_argument("--tile-attribution", metavar="TEXT", help="whom the keepers of the tiles want named")
    parser.add_argument("--operator", type=short_text, metavar="NAME", help="name that the page proposes in forms")
    parser.add_argument("--notify", type=Path, metavar="FILE", help="whom to tell of alarms, and how (TOML)")
    parser.set_defaults(run=run)


def run(context: Context) -> int:
    """Serve until a signal."""
    asyncio.run(_serve(_settings_of(context.arguments), context.clock))
    return OK


async def _serve(settings: ServeSettings, clock: Clock) -> None:
    from csu.service import Service  # loads slowly; the clients do without

    service = Service(settings, clock)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.stop)
    await service.run(_announce)


def _announce(info: ServiceInfo) -> None:
    places = f"broker {info.mqtt_url}, ingest {info.ingest_url}, API {info.api_url}"
    print(f"csu: ready; {places}; page: csu page", flush=True)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 <= int(text) <= 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to 65535)")
    return int(text)


def _settings_of(arguments: argparse.Namespace) -> ServeSettings:
    if not re.fullmatch(_PREFIX, arguments.prefix):
        raise CsuSettingsError(f"--prefix {arguments.prefix!r}: letters, digits, - and _ between single slashes")
    return ServeSettings(
        directory=arguments.dir,
        host=arguments.host,
        public_host=arguments.public_host,
        mqtt_port=arguments.port,
        ingest_port=arguments.ingest_port,
        api_port=arguments.api_port,
        ingest_origins=tuple(map(_origin, arguments.ingest_origin)),
        prefix=arguments.prefix,
        foreign_broker=_foreign_broker(arguments),
        zone=_zone(arguments.zone),
        tile_url=_tile_url(arguments.tile_url),
        tile_attribution=arguments.tile_attribution,
        operator=arguments.operator,
        notify=None if arguments.notify is None else load_notify_settings(arguments.notify),
    )


def _origin(url: str) -> str:
    try:
        return origin_of(url)
    except ContractError as error:
        raise CsuSettingsError(f"--ingest-origin: {error}") from error


def _zone(name: str | None) -> str:
    try:
        return load_zone(local_zone_name() if name is None else name).key
    except ContractError as error:
        if name is None:
            return "UTC"  # this machine's is none of the database
        raise CsuSettingsError(f"--zone: {error}") from error


def _tile_url(url: str | None) -> str | None:
    """A URL of tiles as Leaflet and others take it; its host goes into the page's content policy."""
    if url is not None and not re.fullmatch(_TILES, url):
        raise CsuSettingsError("--tile-url: expected https://host/path with {z}, {x} and {y}")
    return url


def _is_broker(url: str) -> bool:
    """Whether it has a scheme of MQTT, a host, a possible port, and no credentials."""
    try:
        parts = urlsplit(url)
        is_place = bool(parts.hostname) and parts.port != 0
    except ValueError:  # whose words may repeat a password
        return False
    return parts.scheme in {"mqtt", "mqtts"} and is_place and not (parts.username or parts.password)


def _foreign_broker(arguments: argparse.Namespace) -> ForeignBroker | None:
    if arguments.broker is None:
        return None
    if not _is_broker(arguments.broker):
        raise CsuSettingsError("--broker: expected mqtts://host[:port]; credentials go into --broker-user and -file")
    password = None
    if arguments.broker_password_file is not None:
        try:
            password = arguments.broker_password_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise CsuSettingsError(f"--broker-password-file: {error}") from error
    for option in ("ca", "certificate", "key"):
        path = getattr(arguments, f"broker_{option}")
        if path is not None and not path.is_file():
            raise CsuSettingsError(f"--broker-{option} {path}: no such file")
    return ForeignBroker(
        arguments.broker,
        arguments.broker_user,
        password,
        arguments.broker_ca,
        arguments.broker_certificate,
        arguments.broker_key,
    )
