"""`csu verify`: whose keys it takes."""

from pathlib import Path

import pytest

from csu.cli.parser import main
from csu.keys import KeyStore
from edge_agent.contract.jws import SigningKey
from tests.builders import make_units
from tests.support.recording import rotated
from tests.support.saved_clips import UNIT_KEY, SavedClip, asked_s, saved_clip


@pytest.fixture
def clip(tmp_path: Path) -> SavedClip:
    """Of nomad-07, signed by `UNIT_KEY`."""
    return saved_clip(tmp_path, rotated(tmp_path, make_units(3), 40), asked_s(0.5, 2.5), tmp_path / "clip")


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "csu" / "keys")


def verify(clip: SavedClip, tmp_path: Path) -> int:
    return main(["verify", str(clip.folder), "--dir", str(tmp_path / "csu")])


def test_a_clip_of_an_enrolled_unit_is_verified(clip: SavedClip, keys: KeyStore, tmp_path: Path) -> None:
    keys.enrol("nomad-08", SigningKey.generate().public_jwk())
    keys.enrol("nomad-07", UNIT_KEY.public_jwk())
    assert verify(clip, tmp_path) == 0


def test_no_unit_signs_for_another(
    clip: SavedClip, keys: KeyStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys.enrol("nomad-07", SigningKey.generate().public_jwk())
    keys.enrol("nomad-08", UNIT_KEY.public_jwk())
    assert verify(clip, tmp_path) == 1
    assert "NOT VERIFIED" in capsys.readouterr().out


def test_a_unit_of_which_no_key_is_known_is_named(
    clip: SavedClip, keys: KeyStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys.enrol("nomad-08", UNIT_KEY.public_jwk())
    assert verify(clip, tmp_path) == 1
    assert "nomad-07, of which no key is known" in capsys.readouterr().out


def test_a_damaged_key_set_is_named(
    clip: SavedClip, keys: KeyStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys.enrol("nomad-07", UNIT_KEY.public_jwk())
    (tmp_path / "csu" / "keys" / "units" / "nomad-07.jwks").write_text("{}")
    assert verify(clip, tmp_path) == 2
    assert "nomad-07.jwks is damaged" in capsys.readouterr().err
