"""Saving a planned clip as files, for whoever stands beside the unit.

Procedure, and what a cut after each step leaves:

1. write each part to a temporary file, hashing on the way, sync, give it its name  – parts without a manifest
2. write the signed manifest in the same way                                        – the whole clip

A clip without its manifest is not whole; nothing that was there before is ever touched.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from edge_agent.buffer.clip.reader import PartReader
from edge_agent.contract.clip import ClipPlan
from edge_agent.contract.jws import SigningKey
from edge_agent.contract.manifest import (
    MANIFEST_FILE_NAME,
    build_manifest,
    manifest_beside,
    sign_manifest,
)
from edge_agent.durable import create_file, fsync_directory, make_directory
from edge_agent.errors import RingError, RingStorageError

_SAVED_MODE = 0o640  # footage of a requisition: for its owner and group alone, as in the ring


def save_clip(
    plan: ClipPlan, ring_directory: Path, plan_file: Path, destination: Path, key: SigningKey
) -> tuple[Path, ...]:
    """Write the parts and the signed manifest of a planned clip; blocks until all is synced.

    Args:
        plan: a plan in state `planned`, whose segments stay pinned meanwhile.
        ring_directory: the camera's ring.
        plan_file: the plan's file, which holds its headers.
        destination: a folder, made if missing; or a name that ends in `.mp4`, for a clip of one part. The manifest is
            then `NAME.manifest.jws` beside it.
        key: the unit's key.

    Returns:
        The files written: parts in order, then the manifest.

    Raises:
        FormatError: ring bytes are gone or short.
        RingError: the clip has several parts and `destination` names one file.
        RingStorageError: a name is taken, or the storage refused; nothing is left behind.
        ContractError: the plan is only reserved.
    """
    *parts, manifest = names = _names(plan, destination)
    try:
        _prepare(names)
        digests = _write_parts(plan, ring_directory, plan_file, parts)
        try:
            text = sign_manifest(build_manifest(plan, digests), key)
            create_file(manifest, text.encode(), _SAVED_MODE)
        except BaseException:
            _discard(parts)
            raise
    except OSError as error:
        raise RingStorageError(f"cannot save to {error.filename or destination}: {error.strerror}") from error
    return (*parts, manifest)


def _names(plan: ClipPlan, destination: Path) -> list[Path]:
    if destination.suffix.lower() != ".mp4":
        return [*(destination / part.file_name for part in plan.parts), destination / MANIFEST_FILE_NAME]
    if len(plan.parts) > 1:
        raise RingError(f"the clip has {len(plan.parts)} parts: name a folder instead of {destination}")
    return [destination, manifest_beside(destination)]


def _prepare(names: Sequence[Path]) -> None:
    taken = next((path for path in names if path.exists()), None)
    if taken is not None:
        raise RingStorageError(f"{taken} exists already: remove it or name another destination")
    make_directory(names[0].parent)


def _write_parts(plan: ClipPlan, ring_directory: Path, plan_file: Path, names: Sequence[Path]) -> list[str]:
    """Write the parts and return their hex digests; none is left when one fails."""
    digests: list[str] = []
    try:
        for part, name in zip(plan.parts, names, strict=True):
            with PartReader(ring_directory, plan_file, part) as reader:
                digest = hashlib.sha256()
                create_file(name, _hashed(reader, digest), _SAVED_MODE)
            digests.append(digest.hexdigest())
    except BaseException:
        _discard(names[: len(digests)])
        raise
    return digests


def _hashed(reader: PartReader, digest: "hashlib._Hash") -> Iterator[bytes]:
    for chunk in reader.chunks():
        digest.update(chunk)
        yield chunk


def _discard(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
    if paths:
        fsync_directory(paths[0].parent)
