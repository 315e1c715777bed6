"""The centre's keys: the one that signs commands and receipts, and the public keys of the enrolled units."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from csu.errors import CsuSettingsError, SignatureError
from edge_agent.contract.jws import SigningKey, TrustedKeys
from edge_agent.contract.names import UNIT_ID_PATTERN
from edge_agent.durable import fsync_directory, make_directory, write_file

RESERVED_UNIT_IDS = frozenset({"csu"})
"""Names of the broker's service users."""
_INSTANT = "expelled_us"
"""Member of an expelled key: when its unit was shut out."""


class KeyStore:
    """Keys under one directory; reads are from memory, so that they may be made on the event loop.

    `command.jwk` is private (mode 0600); `command-keys.json` is its public set, which units are given;
    `units/<unit>.jwks` holds a unit's public keys, the present one first. Earlier ones stay: they verify clips that
    were signed before the unit got a new key. `expelled/<unit>.jwks` holds those of units that were shut out, each
    with the instant (`expelled_us`): they authorise nothing, and verify what had arrived before.
    """

    def __init__(self, directory: Path) -> None:
        """Read the keys, making the signing key at the first call.

        Raises:
            CsuSettingsError: a key file is damaged or cannot be read or made.
        """
        self._units_directory = directory / "units"
        self._expelled_directory = directory / "expelled"
        try:
            make_directory(self._units_directory, 0o700)
            self.signing_key = _load_or_create(directory / "command.jwk")
            write_file(directory / "command-keys.json", json.dumps(self.public_jwks(), indent=2).encode(), 0o644)
            self._units = _read_sets(self._units_directory, "remove it and enrol the unit again")
            self._expelled = {
                path.stem: _read_expelled(path) for path in sorted(self._expelled_directory.glob("*.jwks"))
            }
        except OSError as error:
            raise CsuSettingsError(f"keys under {directory} cannot be read or made: {error}") from error

    def public_jwks(self) -> dict[str, Any]:
        """The set that units trust: a JWK set (RFC 7517 §5) without private parts."""
        return {"keys": [self.signing_key.public_jwk()]}

    def units(self) -> list[str]:
        """Enrolled units, sorted."""
        return sorted(self._units)

    def unit_jwks(self, unit_id: str) -> dict[str, Any] | None:
        """A unit's public keys, the present one first; None when it is not enrolled."""
        entries = self._units.get(unit_id)
        return None if entries is None else {"keys": entries}

    def upload_keys(self, unit_id: str) -> TrustedKeys | None:
        """What authorises a unit now: its present key alone; None when it is not enrolled."""
        entries = self._units.get(unit_id)
        return None if entries is None else TrustedKeys.from_jwks({"keys": entries[:1]})

    def evidence_jwks(self, unit_id: str, completed_us: int) -> dict[str, Any] | None:
        """What verifies a clip that was complete here at this instant: a unit's keys, and those expelled since.

        No right to speak or to upload follows from them: whether bytes of a unit are taken was asked before, of
        `upload_keys`. None when there is no such key.
        """
        expelled = [entry for entry in self._expelled.get(unit_id, []) if completed_us <= entry[_INSTANT]]
        return _public_set(_merged(self._units.get(unit_id, []), expelled))

    def known_keys(self, unit_id: str) -> TrustedKeys | None:
        """All keys that a unit ever had: enough to read what its manifest names, whatever the verdict will be."""
        jwks = _public_set(_merged(self._units.get(unit_id, []), self._expelled.get(unit_id, [])))
        return None if jwks is None else TrustedKeys.from_jwks(jwks)

    def enrol(self, unit_id: str, jwk: Mapping[str, Any]) -> None:
        """Make a key the present one of a unit, durably; blocks for the write.

        Raises:
            CsuSettingsError: a bad unit id, or not a public Ed25519 key.
        """
        if not re.fullmatch(UNIT_ID_PATTERN, unit_id) or unit_id in RESERVED_UNIT_IDS:
            raise CsuSettingsError(f"unit id {unit_id!r:.60} cannot be used; it has to match {UNIT_ID_PATTERN}")
        entry = _public_entry(jwk)
        entries = _merged([entry], self._units.get(unit_id, []))
        path = self._units_directory / f"{unit_id}.jwks"
        try:
            write_file(path, json.dumps({"keys": entries}, indent=2).encode(), 0o644)
        except OSError as error:
            raise CsuSettingsError(f"{path} cannot be written: {error}") from error
        self._units[unit_id] = entries

    def expel(self, unit_id: str, now_us: int) -> None:
        """Trust a unit no longer; without effect when it is not enrolled. Its keys go to `expelled/`, durably.

        What was complete here by `now_us` can still be verified with them.

        Raises:
            CsuSettingsError: the storage refused.
        """
        entries = self._units.get(unit_id)
        if entries is None:
            return
        path, kept = self._units_directory / f"{unit_id}.jwks", self._expelled_directory / f"{unit_id}.jwks"
        try:
            make_directory(self._expelled_directory, 0o700)
            dated = [entry | {_INSTANT: now_us} for entry in entries]
            both = _merged(dated, self._expelled.get(unit_id, []))
            write_file(kept, json.dumps({"keys": both}, indent=2).encode(), 0o644)
            path.unlink(missing_ok=True)
            fsync_directory(self._units_directory)
        except OSError as error:
            raise CsuSettingsError(f"the keys of {unit_id} cannot be moved: {error}") from error
        # First kept, then forgotten: the keys verify clips at every instant.
        self._expelled[unit_id] = both
        self._units.pop(unit_id, None)


def _public_entry(jwk: Mapping[str, Any]) -> dict[str, Any]:
    entries = jwk.get("keys", [jwk])
    document = entries[0] if isinstance(entries, list) and len(entries) == 1 else None
    if not isinstance(document, Mapping):
        raise CsuSettingsError("the unit's key is not a JWK; make it with: edge-agent identity --config FILE")
    if "d" in document:
        raise CsuSettingsError(
            "this is a private key; it must not leave its unit. Give the output of: edge-agent identity --config FILE"
        )
    try:
        TrustedKeys.from_jwks(document)
    except SignatureError as error:
        raise CsuSettingsError(f"the unit's key: {error}; make it with: edge-agent identity --config FILE") from error
    return {name: document[name] for name in ("kty", "crv", "x", "kid") if name in document}


def _load_or_create(path: Path) -> SigningKey:
    if not path.exists():
        write_file(path, SigningKey.generate().to_json().encode(), 0o600)
    try:
        return SigningKey.from_json(path.read_text(encoding="utf-8"))
    except (SignatureError, UnicodeDecodeError, AttributeError, RecursionError) as error:
        raise CsuSettingsError(f"{path}: {error}; restore it from a copy: units trust this key") from error


def _public_set(entries: list[dict[str, Any]]) -> dict[str, Any] | None:
    kept = [{name: entry[name] for name in entry if name != _INSTANT} for entry in entries]
    return {"keys": kept} if kept else None


def _merged(newer: list[dict[str, Any]], older: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Both, each key once."""
    known = {entry["x"] for entry in newer}
    return newer + [entry for entry in older if entry["x"] not in known]


def _read_sets(directory: Path, remedy: str) -> dict[str, list[dict[str, Any]]]:
    return {path.stem: _read_set(path, remedy) for path in sorted(directory.glob("*.jwks"))}


def _read_expelled(path: Path) -> list[dict[str, Any]]:
    """Each with its instant; one that was written without is not younger than its file."""
    entries = _read_set(path, "restore it, or remove it: clips of the unit can then not be verified")
    written_us = path.stat().st_mtime_ns // 1000
    dated = [{_INSTANT: written_us} | entry for entry in entries]
    if not all(isinstance(entry[_INSTANT], int) for entry in dated):
        raise CsuSettingsError(f"{path}: {_INSTANT} is no number of microseconds; restore it, or take it out")
    return dated


def _read_set(path: Path, remedy: str) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        TrustedKeys.from_json(text)
        return [dict(entry) for entry in json.loads(text)["keys"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CsuSettingsError(f"{path}: {error}; {remedy}") from error
