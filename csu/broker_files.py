"""What mosquitto reads: its settings, password file and access rules.

Persistence: with `autosave_on_changes true` and `autosave_interval 1`, mosquitto 2.0 writes and fsyncs its whole
store at the end of each turn of its event loop that queued a message for an absent client, retained one or saw a
subscription (mosquitto `src/loop.c`). A PUBACK leaves within the turn, so the last acknowledged message alone may be
lost by a SIGKILL at that instant; any later answer of the broker proves that it is stored. Commands are sent again
until the unit replies, which covers that instant.
"""

import base64
import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from csu.errors import BrokerError

MAX_BODY_BYTES = 100_000
"""Bodies that the broker passes on: above the contract's limit, so that a unit can refuse one with a reason."""

MAX_PACKET_BYTES = 131_072
"""Larger packets end the connection (MQTT 5 §3.2.2.3.6)."""

MAX_QUEUED_MESSAGES = 50_000
"""Events and replies that wait for an absent client: those of 100 units at 20 a day for 25 days. States do not wait
(`csu.bus`). What exceeds it is dropped although it was acknowledged; but each message writes the whole store, which
takes a second when 400,000 wait, and nobody is served meanwhile."""

MAX_QUEUED_BYTES = 64 * 1024 * 1024
"""Also bounds what one unit can make the broker keep."""

_ITERATIONS = 101
_SALT_BYTES = 12


@dataclass(frozen=True, slots=True)
class BrokerPaths:
    """Where the files of one broker lie."""

    directory: Path

    @property
    def config(self) -> Path:
        """Settings, rewritten at every start."""
        return self.directory / "mosquitto.conf"

    @property
    def passwords(self) -> Path:
        """Hashed passwords, a user a line."""
        return self.directory / "passwords"

    @property
    def access(self) -> Path:
        """Access rules."""
        return self.directory / "access"

    @property
    def log(self) -> Path:
        """Log, rotated to `.1`."""
        return self.directory / "mosquitto.log"

    @property
    def pid(self) -> Path:
        """Process id of the running broker."""
        return self.directory / "mosquitto.pid"

    @property
    def store(self) -> Path:
        """Sessions, retained and waiting messages (`persistence_file`)."""
        return self.directory / "mosquitto.db"

    @property
    def port(self) -> Path:
        """The port that was chosen at the first start and is kept."""
        return self.directory / "port"

    def secret(self, user: str) -> Path:
        """Clear password of a service user, readable by its owner only."""
        return self.directory / f"{user}.password"


def config_text(paths: BrokerPaths, host: str, port: int, user: str) -> str:
    """Settings of mosquitto 2.0 (mosquitto.conf(5)).

    The client id is replaced by the user name, so that no unit can take another one's session over. `user` is the
    account that mosquitto runs as when started by root; it is ignored otherwise.
    """
    return f"""\
# Written by csu at every start.
listener {port} {host}
user {user}
allow_anonymous false
use_username_as_clientid true
password_file {paths.passwords}
acl_file {paths.access}
pid_file {paths.pid}
persistence true
persistence_location {paths.directory}/
persistence_file mosquitto.db
autosave_on_changes true
autosave_interval 1
max_packet_size {MAX_PACKET_BYTES}
message_size_limit {MAX_BODY_BYTES}
max_queued_messages {MAX_QUEUED_MESSAGES}
max_queued_bytes {MAX_QUEUED_BYTES}
max_inflight_messages 20
set_tcp_nodelay true
sys_interval 0
log_dest file {paths.log}
log_timestamp_format %Y-%m-%dT%H:%M:%S
log_type error
log_type warning
log_type notice
log_type information
"""


def access_text(prefix: str, service_users: Iterable[str]) -> str:
    """Access rules: a unit writes its own `up/#` and reads its own `down/#`, service users do all of the prefix."""
    services = "".join(f"user {user}\ntopic readwrite {prefix}/#\n\n" for user in service_users)
    return f"{services}pattern write {prefix}/%u/up/#\npattern read {prefix}/%u/down/#\n"


def hash_password(password: str) -> str:
    """A password as mosquitto 2.0 stores it: `$7$iterations$salt$hash`, PBKDF2-HMAC-SHA512 (`src/password_mosq.c`).

    The iteration count is mosquitto's own; what keeps the passwords safe is that they are random and long.
    """
    salt = secrets.token_bytes(_SALT_BYTES)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    return f"$7${_ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def parse_passwords(text: str) -> dict[str, str]:
    """User names and hashes of a password file.

    Raises:
        BrokerError: a line without a colon.
    """
    users = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, colon, digest = line.partition(":")
        if not colon or not name or not digest:
            raise BrokerError(f"line {number}: expected user:hash")
        users[name] = digest
    return users


def format_passwords(users: Mapping[str, str]) -> str:
    """The text of a password file."""
    return "".join(f"{name}:{digest}\n" for name, digest in sorted(users.items()))
