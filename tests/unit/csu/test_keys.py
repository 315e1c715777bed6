import json
import os
from pathlib import Path

import pytest

from csu.errors import CsuSettingsError
from csu.keys import KeyStore
from edge_agent.contract.jws import SigningKey, TrustedKeys

EXPELLED_US = 1_790_000_000_000_000


def test_the_signing_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    first, second = KeyStore(tmp_path), KeyStore(tmp_path)
    assert first.signing_key.key_id == second.signing_key.key_id
    assert (tmp_path / "command.jwk").stat().st_mode & 0o777 == 0o600
    public = json.loads((tmp_path / "command-keys.json").read_text())
    assert public == first.public_jwks()
    assert "d" not in public["keys"][0]
    token = first.signing_key.sign("command", {"a": 1})
    assert TrustedKeys.from_jwks(public).verify("command", token) == {"a": 1}


def test_a_new_key_uploads_and_the_old_one_still_verifies(tmp_path: Path) -> None:
    old, new = SigningKey.generate(), SigningKey.generate()
    store = KeyStore(tmp_path)
    assert store.upload_keys("nomad-07") is None
    store.enrol("nomad-07", old.public_jwk())
    store.enrol("nomad-07", {"keys": [new.public_jwk()]})
    store.enrol("nomad-07", new.public_jwk())
    store = KeyStore(tmp_path)
    assert store.units() == ["nomad-07"]
    uploads, evidence = store.upload_keys("nomad-07"), TrustedKeys.from_jwks(store.unit_jwks("nomad-07") or {})
    assert uploads is not None
    assert uploads.verify("upload", new.sign("upload", {})) == {}
    assert evidence.verify("manifest", old.sign("manifest", {})) == {}
    with pytest.raises(ValueError, match="signature"):
        uploads.verify("upload", old.sign("upload", {}))


def test_an_expelled_unit_is_trusted_no_longer_and_its_keys_are_kept(tmp_path: Path) -> None:
    old, new = SigningKey.generate(), SigningKey.generate()
    store = KeyStore(tmp_path)
    for key in (old, new):
        store.enrol("nomad-07", key.public_jwk())
        store.expel("nomad-07", EXPELLED_US)
    store.expel("nomad-07", EXPELLED_US)
    for reader in (store, KeyStore(tmp_path)):
        assert reader.units() == []
        assert reader.upload_keys("nomad-07") is None
    kept = TrustedKeys.from_json((tmp_path / "expelled" / "nomad-07.jwks").read_text())
    for key in (old, new):
        assert kept.verify("manifest", key.sign("manifest", {})) == {}


def test_what_an_expelled_unit_sent_before_can_be_verified(tmp_path: Path) -> None:
    old, new = SigningKey.generate(), SigningKey.generate()
    store = KeyStore(tmp_path)
    assert store.evidence_jwks("nomad-07", EXPELLED_US) is None
    assert store.known_keys("nomad-07") is None
    store.enrol("nomad-07", old.public_jwk())
    store.expel("nomad-07", EXPELLED_US)
    for reader in (store, KeyStore(tmp_path)):
        assert reader.evidence_jwks("nomad-07", EXPELLED_US) == {"keys": [old.public_jwk()]}
        assert reader.evidence_jwks("nomad-07", EXPELLED_US + 1) is None
    store.enrol("nomad-07", new.public_jwk())
    for reader in (store, KeyStore(tmp_path)):
        assert reader.evidence_jwks("nomad-07", EXPELLED_US) == {"keys": [new.public_jwk(), old.public_jwk()]}
        assert reader.evidence_jwks("nomad-07", EXPELLED_US + 1) == {"keys": [new.public_jwk()]}
        both, uploads = reader.known_keys("nomad-07"), reader.upload_keys("nomad-07")
        assert both is not None
        assert uploads is not None
        for key in (old, new):
            assert both.verify("manifest", key.sign("manifest", {})) == {}
        with pytest.raises(ValueError, match="signature"):
            uploads.verify("upload", old.sign("upload", {}))


def test_a_key_that_was_expelled_without_an_instant_is_as_old_as_its_file(tmp_path: Path) -> None:
    old = SigningKey.generate()
    (tmp_path / "expelled").mkdir()
    path = tmp_path / "expelled" / "nomad-07.jwks"
    path.write_text(json.dumps({"keys": [old.public_jwk()]}))
    os.utime(path, ns=(EXPELLED_US * 1000, EXPELLED_US * 1000))
    store = KeyStore(tmp_path)
    assert store.evidence_jwks("nomad-07", EXPELLED_US) == {"keys": [old.public_jwk()]}
    assert store.evidence_jwks("nomad-07", EXPELLED_US + 1) is None


@pytest.mark.parametrize("unit_id", ["csu", "Nomad", "a", "../x", "", "n" * 40])
def test_unusable_unit_ids_are_refused(tmp_path: Path, unit_id: str) -> None:
    with pytest.raises(CsuSettingsError, match="unit id"):
        KeyStore(tmp_path).enrol(unit_id, SigningKey.generate().public_jwk())
    assert list((tmp_path / "units").iterdir()) == []


def test_a_private_key_is_refused_with_the_remedy(tmp_path: Path) -> None:
    private = json.loads(SigningKey.generate().to_json())
    with pytest.raises(CsuSettingsError, match=r"private key.*edge-agent identity"):
        KeyStore(tmp_path).enrol("nomad-07", private)


@pytest.mark.parametrize("jwk", [{}, {"keys": []}, {"keys": ["x"]}, {"kty": "OKP", "crv": "Ed25519"}, {"kty": "RSA"}])
def test_what_is_no_key_is_refused(tmp_path: Path, jwk: dict[str, object]) -> None:
    with pytest.raises(CsuSettingsError, match="key"):
        KeyStore(tmp_path).enrol("nomad-07", jwk)


@pytest.mark.parametrize("content", [None, "", "[]", "{}", "null", '{"keys": 5}', '{"keys": []}', "[" * 100_000])
@pytest.mark.parametrize("name", ["command.jwk", "units/nomad-07.jwks", "expelled/nomad-08.jwks"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: str | None) -> None:
    store = KeyStore(tmp_path)
    for unit_id in ("nomad-07", "nomad-08"):
        store.enrol(unit_id, SigningKey.generate().public_jwk())
    store.expel("nomad-08", EXPELLED_US)
    path = tmp_path / name
    path.write_text(path.read_text()[:-10] if content is None else content)
    with pytest.raises(CsuSettingsError, match=name.replace("/", ".")):
        KeyStore(tmp_path)


@pytest.mark.parametrize("change", [{"kty": "EC"}, {"kty": "AAA"}, {"crv": "X25519"}, {"x": "AAAA"}, {"kty": None}])
def test_only_an_ed25519_key_lets_a_unit_in(tmp_path: Path, change: dict[str, object]) -> None:
    store, public = KeyStore(tmp_path), SigningKey.generate().public_jwk()
    sets: list[dict[str, object]] = [{"keys": [public | change]}, {"keys": [public, public]}, {"keys": []}]
    for jwk in [public | change, *sets]:
        with pytest.raises(CsuSettingsError, match="unit's key"):
            store.enrol("nomad-07", jwk)
    assert store.units() == []
