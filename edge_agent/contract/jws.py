"""Signed documents: JWS compact serialisation (RFC 7515) with Ed25519 (RFC 8037, algorithm name of RFC 9864)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey
from joserfc.jws import JWSRegistry

from edge_agent.contract.errors import SignatureError
from edge_agent.contract.model import canonical_json

ALGORITHM = "Ed25519"
MEDIA_TYPES = {
    "command": "csu-command+jwt",
    "receipt": "csu-receipt+jwt",
    "manifest": "csu-manifest+jwt",
    "upload": "csu-upload+jwt",
}
"""The `typ` header of each kind, so that one kind of document never passes for another (RFC 8725 §3.11)."""
MAX_PAYLOAD_CHARACTERS = 128_000
"""The longest payload, as base64url, that is read, unless the kind of document has its own limit."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private Ed25519 key; its id is its RFC 7638 thumbprint."""

    key: OKPKey

    @classmethod
    def generate(cls) -> "SigningKey":
        """A new random key."""
        return cls(OKPKey.generate_key("Ed25519", auto_kid=True))

    @classmethod
    def from_json(cls, text: str) -> "SigningKey":
        """Read a private JWK (RFC 7517).

        Raises:
            SignatureError: not a private Ed25519 JWK.
        """
        try:
            key = OKPKey.import_key(json.loads(text))
            key.ensure_kid()
        except (ValueError, KeyError, TypeError, JoseError) as error:
            raise SignatureError(f"not an Ed25519 JWK: {error}") from error
        if not key.is_private or key.curve_name != "Ed25519":
            raise SignatureError("the JWK is not a private Ed25519 key")
        return cls(key)

    @property
    def key_id(self) -> str:
        """RFC 7638 thumbprint."""
        return str(self.key.kid)

    def to_json(self) -> str:
        """The private JWK; goes into a file that only its owner reads."""
        return json.dumps(self.key.as_dict(private=True))

    def public_jwk(self) -> dict[str, Any]:
        """The public JWK."""
        return dict(self.key.as_dict(private=False))

    def sign(self, kind: str, payload: Mapping[str, Any]) -> str:
        """Sign a JSON object; `kind` is a key of `MEDIA_TYPES`."""
        return self.sign_json(kind, canonical_json(dict(payload)))

    def sign_json(self, kind: str, text: bytes) -> str:
        """Sign an object that is canonical JSON already; `kind` is a key of `MEDIA_TYPES`."""
        head = {"alg": ALGORITHM, "kid": self.key_id, "typ": MEDIA_TYPES[kind]}
        return jws.serialize_compact(head, text, self.key, algorithms=[ALGORITHM])


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """The public keys that may sign documents for us."""

    keys: KeySet

    @classmethod
    def from_jwks(cls, document: Mapping[str, Any]) -> "TrustedKeys":
        """Read a JWK set (RFC 7517 §5), or a single JWK.

        Raises:
            SignatureError: no usable Ed25519 key in it.
        """
        entries = document.get("keys", [document])
        try:
            keys = [OKPKey.import_key(dict(entry)) for entry in entries]
            kinds = {(entry["kty"], key.curve_name) for key, entry in zip(keys, entries, strict=True)}
            for key in keys:
                key.ensure_kid()
        except (ValueError, KeyError, TypeError, AttributeError, JoseError) as error:
            raise SignatureError(f"not a set of Ed25519 JWKs: {error}") from error
        if kinds != {("OKP", "Ed25519")}:  # the library takes any `kty`
            raise SignatureError("the key set holds no Ed25519 key, or another kind of key")
        return cls(KeySet(list(keys)))

    @classmethod
    def from_json(cls, text: str) -> "TrustedKeys":
        """Read a JWK set as text.

        Raises:
            SignatureError: not JSON, or no usable key in it.
        """
        try:
            document = json.loads(text)
        except ValueError as error:
            raise SignatureError(f"not JSON: {error}") from error
        if not isinstance(document, dict):
            raise SignatureError("a JWK set is a JSON object")
        return cls.from_jwks(document)

    def verify(self, kind: str, token: str, max_characters: int = MAX_PAYLOAD_CHARACTERS) -> dict[str, Any]:
        """Check a signed document and return its payload.

        Raises:
            SignatureError: not a JWS, its payload longer than `max_characters`, another kind, an unknown key, or a
                signature that does not hold.
        """
        try:
            signed = jws.deserialize_compact(token, self.keys, registry=_registry(max_characters))
            payload = json.loads(signed.payload)
        except (ValueError, KeyError, TypeError, JoseError, RecursionError) as error:
            raise SignatureError(f"signature not accepted: {type(error).__name__}: {error}") from error
        if signed.headers().get("typ") != MEDIA_TYPES[kind]:
            raise SignatureError(f"a document of type {signed.headers().get('typ')!r:.40} is not a {kind}")
        if not isinstance(payload, dict):
            raise SignatureError("the payload is not a JSON object")
        return payload


def _registry(max_characters: int) -> JWSRegistry:
    """What the library accepts; its own limit of the payload is less than a long clip's manifest."""
    registry = JWSRegistry(algorithms=[ALGORITHM])
    registry.max_payload_length = max_characters
    return registry
