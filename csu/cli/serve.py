"""`csu serve`: run the centre until SIGTERM or Ctrl-C."""

import argparse
import asyncio
import re
import signal
from pathlib import Path
from urllib.parse import urlsplit

from csu.cli.common import OK, Context, add_dir
from csu.errors import CsuSettingsError
from csu.serve_settings import ForeignBroker, ServeSettings
from csu.service_info import ServiceInfo
from edge_agent.clock import Clock
from edge_agent.contract.names import DEFAULT_PREFIX

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
    parser.add_argument("--prefix", default=DEFAULT_PREFIX, help="of the topics (default: %(default)s)")
    parser.add_argument("--broker", metavar="URL", help="use this broker, mqtt(s)://host[:port], and start none")
    parser.add_argument("--broker-user", metavar="NAME", help="user of --broker")
    parser.add_argument("--broker-password-file", type=Path, metavar="FILE", help="password of --broker-user")
    parser.add_argument("--broker-ca", type=Path, metavar="FILE", help="authorities that vouch for --broker")
    parser.add_argument("--broker-certificate", type=Path, metavar="FILE", help="that we show to --broker")
    parser.add_argument("--broker-key", type=Path, metavar="FILE", help="key of --broker-certificate")
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
    print(f"csu: ready; broker {info.mqtt_url}, ingest {info.ingest_url}, API {info.api_url}", flush=True)


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
        prefix=arguments.prefix,
        foreign_broker=_foreign_broker(arguments),
    )


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
