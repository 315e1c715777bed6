"""Whom to tell, as one TOML file says: `csu serve --notify FILE`.

Unknown keys are refused. Every message names the file, the key, the value and the remedy; of an address only its host
is repeated, since the rest may be a secret.
"""

import ipaddress
import re
import tomllib
from base64 import b64decode
from collections.abc import Sequence
from datetime import time
from email.errors import MessageError
from email.headerregistry import Address
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from csu.errors import CsuSettingsError
from csu.views import Severity

MAX_FILE_BYTES = 100_000
SECRET_PREFIX = "whsec_"  # noqa: S105 -- the mark of a secret, and none
_SECRET_BYTES = range(24, 65)
_MAKE_ONE = 'make one with: printf "whsec_%s" "$(openssl rand -base64 32)"'
_ADDRESS = re.compile(r"[!-~]{1,64}@[A-Za-z0-9.-]{1,250}")
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")

ChannelName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")]
Language = Literal["fr", "en"]


def is_loopback(host: str) -> bool:
    """Whether a host is this machine for certain."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _webhook_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError("no address; write https://host/path") from error
    if parts.scheme not in {"https", "http"} or not host or port == 0:
        raise ValueError("no address; write https://host/path")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(f"http to {host} is not encrypted; write https://, or http:// to this machine alone")
    if parts.username or parts.password or parts.fragment:
        raise ValueError(f"{host}: no user, password or fragment in the address; the signature shows who sends")
    return text


def _mail_address(text: str) -> str:
    try:
        address = Address(addr_spec=text)
    except (MessageError, ValueError, IndexError) as error:
        raise ValueError(f"{text!r:.80} is no mail address; write name@domain") from error
    if not _ADDRESS.fullmatch(address.addr_spec):
        raise ValueError(f"{text!r:.80} is no mail address; write name@domain, in ASCII")
    return text


def _local_time(text: str) -> str:
    if not _TIME.fullmatch(text):
        raise ValueError(f"{text!r:.20} is no time of day; write 07:00")
    return text


MailAddress = Annotated[str, AfterValidator(_mail_address)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, str_max_length=2000)


class _Channel(_Table):
    name: ChannelName
    """Known by it over restarts."""
    severity: Severity = "warning"
    """The least that is told: `critical` leaves warnings out."""
    cleared: bool = True
    """Tell also when an alarm is over."""
    summary: bool = False
    """Tell the daily summary."""
    ca_file: Path | None = None
    """Authorities that vouch for the other end; the system's unless given."""


class Webhook(_Channel):
    """JSON by HTTP POST, signed as Standard Webhooks has it."""

    url: Annotated[str, AfterValidator(_webhook_url)]
    secret_file: Path

    def secret(self) -> bytes:
        """The key of the signature.

        Raises:
            CsuSettingsError: the file cannot be read or holds no secret.
        """
        text = _read_private(self.secret_file, "secret_file").strip()
        try:
            secret = b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
        except ValueError as error:
            raise CsuSettingsError(f"secret_file {self.secret_file} is not base64; {_MAKE_ONE}") from error
        if not text.startswith(SECRET_PREFIX) or len(secret) not in _SECRET_BYTES:
            words = f"secret_file {self.secret_file}: expected whsec_ and 24 to 64 bytes in base64; {_MAKE_ONE}"
            raise CsuSettingsError(words)
        return secret


class Mail(_Channel):
    """Mail by SMTP, never in plain text to another machine."""

    host: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:-]{1,253}$")]
    port: int = Field(default=587, ge=1, le=65_535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    """`starttls` (RFC 3207, port 587), `tls` from the first byte (RFC 8314, port 465), `none` on loopback alone."""
    login_file: Path | None = None
    """Two lines: user, password."""
    sender: MailAddress = Field(alias="from")
    to: Annotated[tuple[MailAddress, ...], Field(min_length=1, max_length=20)]
    severity: Severity = "critical"
    summary: bool = True

    @model_validator(mode="after")
    def _is_encrypted(self) -> Self:
        if self.security == "none" and not is_loopback(self.host):
            raise ValueError(f'security "none" to {self.host} is not encrypted; write "starttls" or "tls"')
        return self

    def login(self) -> tuple[str, str] | None:
        """User and password; None where none is needed.

        Raises:
            CsuSettingsError: the file cannot be read or holds no two lines.
        """
        if self.login_file is None:
            return None
        lines = [line.strip() for line in _read_private(self.login_file, "login_file").splitlines()]
        if len(lines) != 2 or not all(lines):
            raise CsuSettingsError(f"login_file {self.login_file}: expected two lines, user and password")
        return lines[0], lines[1]


class NotifySettings(_Table):
    """The file."""

    language: Language = "fr"
    summary_at: Annotated[str, AfterValidator(_local_time)] | None = None
    """Local time of the centre (`csu serve --zone`) from which on the day before is summed up."""
    webhook: Annotated[tuple[Webhook, ...], Field(max_length=8)] = ()
    mail: Annotated[tuple[Mail, ...], Field(max_length=8)] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [channel.name for channel in self.channels]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"name {twice[0]!r} is taken twice; give each webhook and mail its own")
        if not names:
            raise ValueError("nobody is told; add a table [[webhook]] or [[mail]]")
        return self

    @property
    def channels(self) -> Sequence[Webhook | Mail]:
        """All of them."""
        return (*self.webhook, *self.mail)

    @property
    def summary_time(self) -> time | None:
        """`summary_at`."""
        return None if self.summary_at is None else time.fromisoformat(self.summary_at)


def load_notify_settings(path: Path) -> NotifySettings:
    """Read and check the file, and the files that it names.

    Raises:
        CsuSettingsError: the message names file, key, value and remedy.
    """
    try:
        tree = tomllib.loads(_read(path))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise CsuSettingsError(f"{path}: not TOML: {error}") from error
    try:
        settings = _with_paths(NotifySettings.model_validate(tree), path.absolute().parent)
    except ValidationError as error:
        raise CsuSettingsError(f"{path}: {_sentence(error)}") from error
    try:
        for channel in settings.channels:
            _check_files(channel)
    except CsuSettingsError as error:
        raise CsuSettingsError(f"{path}: {error}") from error
    return settings


def _check_files(channel: Webhook | Mail) -> None:
    if isinstance(channel, Webhook):
        channel.secret()
    else:
        channel.login()
    if channel.ca_file is not None and not channel.ca_file.is_file():
        raise CsuSettingsError(f"ca_file {channel.ca_file}: no such file")


def _with_paths(settings: NotifySettings, folder: Path) -> NotifySettings:
    """Relative paths are taken from the file's folder."""
    moved: dict[str, Any] = {}
    for kind in ("webhook", "mail"):
        moved[kind] = tuple(
            channel.model_copy(update={name: folder / value for name, value in channel if isinstance(value, Path)})
            for channel in getattr(settings, kind)
        )
    return settings.model_copy(update=moved)


def _sentence(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in problem["loc"]).lstrip(".")
    if problem["type"] == "extra_forbidden":
        return f"{where}: no such key; see docs/operations.md for those that there are"
    words = str(problem["msg"]).removeprefix("Value error, ")
    return f"{where}: {words}" if where else words


def _read_private(path: Path, key: str) -> str:
    """A file with a secret, which nobody else may read."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise CsuSettingsError(f"{key} {path}: {error.strerror}") from error
    if mode & 0o007:
        raise CsuSettingsError(f"{key} {path}: everybody on this machine may read it; chmod 600 {path}")
    return _read(path)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        text = content.decode()
    except OSError as error:
        raise CsuSettingsError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CsuSettingsError(f"{path}: not UTF-8 text") from error
    if len(content) > MAX_FILE_BYTES:
        raise CsuSettingsError(f"{path}: over {MAX_FILE_BYTES} bytes")
    return text
