"""The manifest: built from a clip's plan, signed by the unit, read by whoever verifies the clip."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_agent.contract.clip import ClipPlan, Manifest, ManifestPart, Part
from edge_agent.contract.errors import ContractError, SignatureError
from edge_agent.contract.jws import SigningKey, TrustedKeys
from edge_agent.contract.segment_format import CLOCK_SOURCES, ClockSource

MANIFEST_FILE_NAME = "manifest.jws"
"""Its name beside the parts."""

MAX_MANIFEST_BYTES = 40_000_000
"""The largest signed manifest that is read; a day at one fragment a second is about 16 MB."""

_BYTES_A_FRAGMENT = 220
_BYTES_A_PART = 3_000
_BYTES_A_GAP = 200
_BYTES_A_POSITION = 300
_BYTES_MORE = 8_000


def manifest_bound_bytes(fragments: int, parts: int, gaps: int, positions: int = 0) -> int:
    """How large a signed manifest becomes at most, names of ordinary length given."""
    lists = _BYTES_A_FRAGMENT * fragments + _BYTES_A_GAP * gaps + _BYTES_A_POSITION * positions
    return lists + _BYTES_A_PART * parts + _BYTES_MORE


def manifest_beside(clip: Path) -> Path:
    """Where the manifest of a clip that was saved as one file lies: `street.manifest.jws` for `street.mp4`."""
    return clip.with_suffix(".manifest.jws")


def build_manifest(plan: ClipPlan, sha256_of_parts: Sequence[str]) -> Manifest:
    """The manifest of a planned clip.

    Args:
        plan: a plan in state `planned`.
        sha256_of_parts: hex SHA-256 of each whole part file, in the plan's order.

    Raises:
        ContractError: the plan is only reserved, or the digests are not one a part.
    """
    if plan.state != "planned" or plan.delivered is None or not plan.parts:
        raise ContractError(f"clip {plan.clip_id}: a {plan.state} plan without parts has no manifest")
    if len(sha256_of_parts) != len(plan.parts):
        raise ContractError(f"clip {plan.clip_id}: {len(sha256_of_parts)} digests for {len(plan.parts)} parts")
    source, bound_us = _weakest_clock(plan.parts)
    parts = tuple(_manifest_part(part, digest) for part, digest in zip(plan.parts, sha256_of_parts, strict=True))
    return Manifest(
        clip_id=plan.clip_id,
        unit_id=plan.unit_id,
        camera=plan.camera,
        asked=plan.asked,
        delivered=plan.delivered,
        gaps=plan.gaps,
        parts=parts,
        requester=plan.requester,
        created_us=plan.created_us,
        clock_source=source,
        clock_bound_us=bound_us,
        software_version=plan.software_version,
    )


def _manifest_part(part: Part, sha256: str) -> ManifestPart:
    shared: dict[str, Any] = {
        name: getattr(part, name) for name in ManifestPart.model_fields if name in Part.model_fields
    }
    return ManifestPart(**shared, sha256=sha256)


def _weakest_clock(parts: Sequence[Part]) -> tuple[ClockSource, int | None]:
    """The least trusted source and the largest bound: what holds for the whole clip."""
    source = min((part.clock.source for part in parts), key=CLOCK_SOURCES.index)
    bounds_us = [part.clock.bound_us for part in parts if part.clock.bound_us is not None]
    return source, max(bounds_us) if len(bounds_us) == len(parts) else None


def sign_manifest(manifest: Manifest, key: SigningKey) -> str:
    """The manifest as a JWS in compact form: the content of `manifest.jws`."""
    return key.sign_json("manifest", manifest.to_json())  # the objects are gone by then: a day has 80 MB of them


def read_manifest(token: str, trusted: TrustedKeys) -> Manifest:
    """Check the signature and read the manifest.

    Raises:
        SignatureError: the signature does not hold or its key is not trusted.
        ContractError: too long, or signed but not of this shape.
    """
    if len(token) > MAX_MANIFEST_BYTES:
        raise ContractError(f"the manifest has {len(token)} characters, at most {MAX_MANIFEST_BYTES} are read")
    if not _is_canonical(token):
        raise SignatureError("the manifest's text is not base64url as it is written")
    return Manifest.from_object(trusted.verify("manifest", token, MAX_MANIFEST_BYTES))


def _is_canonical(token: str) -> bool:
    """No other text stands for the same bytes: decoders let stray characters and unused bits pass (RFC 4648 §3.5)."""
    try:
        pieces = [(piece, urlsafe_b64decode(piece + "=" * (-len(piece) % 4))) for piece in token.split(".")]
    except ValueError:
        return False
    return all(urlsafe_b64encode(data).rstrip(b"=") == piece.encode() for piece, data in pieces)
