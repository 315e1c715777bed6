"""What both ends of an upload agree on, beside tus 1.0.0 (https://tus.io/protocols/resumable-upload).

A clip is one upload a part, then one of the signed manifest. Every request carries
`Authorization: Bearer <JWS of kind "upload">` with `UploadClaims`; a creation carries `UploadMetadata`.
"""

import base64
import binascii
import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints

from edge_agent.contract.errors import ContractError
from edge_agent.contract.model import ContractModel
from edge_agent.contract.names import UnitId, Uuid

TUS_VERSION = "1.0.0"
PATCH_CONTENT_TYPE = "application/offset+octet-stream"

MAX_PARTS = 9999
"""Of a clip; the index of a part is at most as large."""

MAX_METADATA_CHARACTERS = 2000
"""Of the `Upload-Metadata` header; the longest that this contract can fill has about 600."""

MAX_TOKEN_LIFETIME_S = 600
"""The longest time between `iat` and `exp` of an upload token."""

CLOCK_LEEWAY_S = 60
"""How far the clocks of unit and ingest may differ before a token is refused."""

UploadKind = Literal["part", "manifest"]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,149}$")]
"""It becomes a file name at the centre, so nothing that leads elsewhere is let through."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_URL_CHARACTERS = re.compile(r"[!-~]+")
_INDEX = re.compile(r"\d{1,4}")


class UploadClaims(ContractModel):
    """Claims of the bearer token (RFC 7519 names; times in whole seconds since 1970)."""

    iss: UnitId
    aud: Annotated[str, StringConstraints(min_length=1, max_length=300)]
    """Origin of the ingest, as `origin_of` spells it."""
    iat: int
    exp: int
    jti: Uuid


class UploadMetadata(ContractModel):
    """What an upload is: part `index` of a clip, or its manifest (index 0)."""

    clip_id: Uuid
    unit_id: UnitId
    kind: UploadKind
    index: int = Field(ge=0, le=MAX_PARTS)
    filename: FileName

    def to_header(self) -> str:
        """The value of `Upload-Metadata`: `key base64(value)` pairs, comma separated (tus 1.0.0, Creation)."""
        values = {name: str(getattr(self, name)) for name in type(self).model_fields}
        return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in values.items())

    @classmethod
    def from_header(cls, header: str) -> Self:
        """Read an `Upload-Metadata` header; keys that the contract does not know are ignored.

        Raises:
            ContractError: too long, not such pairs, a key twice, or a value that is missing or wrong.
        """
        if len(header) > MAX_METADATA_CHARACTERS:
            raise ContractError(
                f"Upload-Metadata: {len(header)} characters, at most {MAX_METADATA_CHARACTERS} are read"
            )
        values: dict[str, str] = {}
        for pair in header.split(","):
            key, _, encoded = pair.strip().partition(" ")
            if key in values:
                raise ContractError(f"Upload-Metadata: {key!r:.40} is there twice")
            values[key] = _decode_value(key, encoded)
        if not _INDEX.fullmatch(values.get("index", "0")):
            raise ContractError("Upload-Metadata: index: expected a number of at most four digits")
        return cls.from_object(values)


def _decode_value(key: str, encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode("utf-8")
    except (binascii.Error, ValueError) as error:
        raise ContractError(f"Upload-Metadata: {key!r:.40}: not base64 of UTF-8 text") from error


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL in one spelling: lower case, no default port (RFC 6454 §6.2).

    Raises:
        ContractError: not an absolute http or https URL, or one with a user name or password in it.
    """
    if not _URL_CHARACTERS.fullmatch(url):
        raise ContractError(f"{url!r:.200} is not a URL: blanks and letters beyond ASCII have to be percent-encoded")
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError as error:
        raise ContractError(f"{url!r:.200} is not a URL: {error}") from error
    if scheme not in _DEFAULT_PORTS or not host:
        raise ContractError(f"{url!r:.200} is not a URL of the form https://host[:port]/path")
    if parts.username is not None or parts.password is not None:
        raise ContractError("a URL with a user name or password in it is not taken; uploads carry their own token")
    name = f"[{host}]" if ":" in host else host
    return f"{scheme}://{name}" if port in {None, _DEFAULT_PORTS[scheme]} else f"{scheme}://{name}:{port}"
