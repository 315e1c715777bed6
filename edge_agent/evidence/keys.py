"""The unit's own signing key: Ed25519, made once on the unit, kept in `keys/unit.jwk` under the data directory.

The private key never leaves the file; its public half is what a supervision centre enrols.
"""

import stat
from pathlib import Path

from edge_agent.contract.jws import SigningKey
from edge_agent.durable import create_file, make_directory
from edge_agent.errors import EvidenceError, SignatureError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def unit_key_file(data_dir: Path) -> Path:
    """Where the unit's private key lies."""
    return data_dir / "keys" / "unit.jwk"


def load_or_create_unit_key(data_dir: Path) -> SigningKey:
    """The unit's key; made at the first call, and the same ever after, whichever process asked first.

    Raises:
        EvidenceError: the file is open to others, damaged, or cannot be read or made.
    """
    path = unit_key_file(data_dir)
    try:
        if not path.exists():
            _create(path)
        return _load(path)
    except OSError as error:
        raise EvidenceError(f"{path}: cannot read or make the unit's key: {error.strerror}") from error


def _create(path: Path) -> None:
    make_directory(path.parent, 0o700)
    text = SigningKey.generate().to_json()
    try:
        create_file(path, text.encode(), 0o600)
    except FileExistsError:
        return  # another process of this unit was first: its key is the unit's


def _load(path: Path) -> SigningKey:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & _OTHERS:
        raise EvidenceError(f"{path}: mode {mode:04o} lets others use the unit's key; run: chmod 600 {path}")
    try:
        return SigningKey.from_json(path.read_text(encoding="utf-8"))
    except (SignatureError, UnicodeDecodeError) as error:
        raise EvidenceError(
            f"{path}: {error}; restore it, or remove it and enrol the unit anew with the key that it then makes"
        ) from error
