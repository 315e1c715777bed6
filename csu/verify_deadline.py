"""How long a verification may take: its work is bytes that are read and pictures that are decoded."""

import json
from pathlib import Path

from joserfc.util import urlsafe_b64decode

from edge_agent.contract.clip import Manifest
from edge_agent.contract.errors import ContractError
from edge_agent.contract.manifest import MANIFEST_FILE_NAME, MAX_MANIFEST_BYTES

_BASE_S = 120.0
_BYTES_PER_S = 2_000_000.0
_PICTURES_PER_S = 50.0
"""Of 3840 × 2160 on a slow processor; of 1920 × 1080 it is mostly twenty times as many."""
_MAX_S = 2 * 3600.0
"""The number of pictures is the unit's word, which nobody has verified yet, and others wait for their turn."""


def deadline_s(folder: Path, tries: int) -> float:
    """Seconds after which the verification of a delivered clip is given up.

    Args:
        folder: the clip's.
        tries: so many were too slow already, perhaps for a busy machine: each further one has twice the time.

    Raises:
        OSError: the folder cannot be read.
    """
    size_bytes = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    pictures_s = _claimed_pictures(folder / MANIFEST_FILE_NAME) / _PICTURES_PER_S
    return min((_BASE_S + size_bytes / _BYTES_PER_S + pictures_s) * (1 << tries), _MAX_S)


def _claimed_pictures(manifest_file: Path) -> int:
    """What the manifest says, whoever signed it; 0 when it cannot be read, which the verification will tell."""
    with manifest_file.open("rb") as file:
        pieces = file.read(MAX_MANIFEST_BYTES).split(b".")
    try:
        manifest = Manifest.from_object(json.loads(urlsafe_b64decode(pieces[1])))
    except (ValueError, IndexError, RecursionError, ContractError):
        return 0
    return sum(max(0, part.samples) for part in manifest.parts)
