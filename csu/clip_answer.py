"""Whether a sound clip is the one that was asked for, and the signed word on it."""

import hashlib
from pathlib import Path
from typing import Any

from csu.records import ClipRecord, CommandRecord
from csu.verify_process import MAX_REASON_CHARACTERS
from edge_agent.contract.jws import SigningKey
from edge_agent.contract.messages import Receipt


def misplaced(clip: ClipRecord, report: dict[str, Any]) -> str | None:
    """Whether a sound clip is another one than it was delivered as; None when it is not."""
    pairs = {"clip_id": (clip.clip_id, report.get("clip_id")), "unit_id": (clip.unit_id, report.get("unit_id"))}
    differing = [f"{name}: delivered as {was}, manifest {is_!r}" for name, (was, is_) in pairs.items() if was != is_]
    return f"not the clip that it was delivered as: {'; '.join(differing)}" if differing else None


def unasked(clip: ClipRecord, command: CommandRecord | None) -> str | None:
    """Whether this id is that of something else that was asked for; None when it is not."""
    if command is None or (command.unit_id, command.cmd) == (clip.unit_id, "clip.request"):
        return None
    return f"this id is of a {command.cmd} to {'this' if command.unit_id == clip.unit_id else 'another'} unit"


def mismatch(command: CommandRecord | None, report: dict[str, Any]) -> str | None:
    """How a sound clip differs from what was asked for; None when it does not, or was not asked for from here.

    Args:
        command: the `clip.request`.
        report: the verification's; its `summary` says what the manifest says.
    """
    if command is None:
        return None
    summary = report.get("summary", {})
    asked, requester = summary.get("asked", {}), summary.get("requester", {})
    pairs = {
        "camera": (command.params.get("camera"), summary.get("camera")),
        "from": (command.params.get("from"), asked.get("start_us")),
        "to": (command.params.get("to"), asked.get("end_us")),
        "operator": (command.operator, requester.get("operator")),
        "reference": (command.reference, requester.get("reference")),
        "purpose": (command.purpose, requester.get("purpose")),
    }
    differing = [f"{name}: asked {was!r}, manifest {is_!r}" for name, (was, is_) in pairs.items() if was != is_]
    return f"not what was asked for: {'; '.join(differing)}"[:MAX_REASON_CHARACTERS] if differing else None


def sign_receipt(key: SigningKey, clip: ClipRecord, sha256: str, reason: str | None, now_us: int) -> str:
    """The centre's signed word on a clip (`contract.messages.Receipt`)."""
    receipt = Receipt(
        aud=clip.unit_id,
        clip_id=clip.clip_id,
        sha256=sha256,
        verdict="verified" if reason is None else "failed",
        reason=reason,
        iat=now_us // 1_000_000,
    )
    return key.sign("receipt", receipt.to_object())


def digest_of(manifest: Path) -> str:
    """SHA-256 of the manifest's text as it was uploaded, hex.

    Raises:
        OSError: it cannot be read.
    """
    with manifest.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
