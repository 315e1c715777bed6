"""A whole clip: the manifest and its signature, the intervals, then part after part."""

import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joserfc.util import urlsafe_b64decode

from csu.verify.part import Claim, PartCheck
from csu.verify.progress import Progress, untold
from csu.verify.regular_file import open_regular
from csu.verify.verdict import Findings, SignatureState, Verdict
from edge_agent.contract.clip import Interval, Manifest, ManifestPart
from edge_agent.contract.errors import ContractError, SignatureError
from edge_agent.contract.jws import TrustedKeys
from edge_agent.contract.manifest import MANIFEST_FILE_NAME, MAX_MANIFEST_BYTES, manifest_beside, read_manifest
from edge_agent.contract.times import format_utc

_LONGEST_SILENT_HOLE_US = 2_002_000
"""Holes up to 2 s are no gaps; times are given in whole milliseconds."""

_LONG = {"fragments"}
_OF_PART = (
    "file_name",
    "interval",
    "preroll_90k",
    "length_bytes",
    "sha256",
    "codec",
    "width_px",
    "height_px",
    "position",
    "positions",
    "warnings",
)
"""What the summary says of each part."""
_MAX_PARTS_BYTES = 1_000_000
"""A day in which the unit was carried about has 250 kB."""


@dataclass(slots=True)
class _Statement:
    """The manifest as far as it could be read."""

    signature: SignatureState
    manifest: Manifest | None = None


KeysOf = Callable[[str], TrustedKeys | None]
"""The keys of the unit that a manifest claims to be of; None when none is known."""


def verify_clip(
    path: Path, trusted: TrustedKeys | KeysOf | None = None, *, decode: bool = True, progress: Progress = untold
) -> Verdict:
    """Verify a delivered or saved clip. Never raises for what the files hold.

    Args:
        path: the folder with the parts and `manifest.jws`; or one part's file, whose manifest is looked for beside
            it (`NAME.manifest.jws`, or a `manifest.jws` that names the file).
        trusted: the unit's public keys, or where to find those of the unit that the manifest names, so that no unit
            signs for another; None checks everything but the signature, and says so.
        decode: decode every picture; without, containers, digests and tables are checked.
        progress: called for each read and each picture.

    Returns:
        The verdict; `ok` only when nothing is wrong.
    """
    findings = Findings()
    if not path.exists():
        findings.error(path.name, "no such file or folder")
        return Verdict(str(path), "not-checked", tuple(findings.kept), ())
    statement = _read_statement(path, trusted, findings)
    if statement.manifest is not None:
        _check_intervals(statement.manifest, findings)
    reports = [check.run(decode=decode) for check in _part_checks(path, statement, findings, progress)]
    manifest = statement.manifest
    return Verdict(
        clip=str(path),
        signature=statement.signature,
        findings=tuple(findings.kept),
        parts=tuple(reports),
        clip_id=manifest.clip_id if manifest else None,
        unit_id=manifest.unit_id if manifest else None,
        left_out=findings.left_out,
        left_out_errors=findings.left_out_errors,
        summary=_summary(manifest) if manifest else {},
        is_unreadable=findings.is_unreadable,
    )


def _read_statement(path: Path, trusted: TrustedKeys | KeysOf | None, findings: Findings) -> _Statement:
    manifest_file = _manifest_of(path)
    if manifest_file is None:
        if path.is_dir():
            findings.error(MANIFEST_FILE_NAME, "missing: nothing says what this folder should hold")
        else:
            findings.add("warning", path.name, "no manifest beside it: origin and completeness were not checked")
        return _Statement("not-checked")
    statement = _Statement("not-checked" if trusted is None else "invalid")
    try:
        text = _read_text(manifest_file, findings)
        statement.manifest = _read_unsigned(text)
        if trusted is None:
            findings.add("warning", manifest_file.name, "no key was given: the signature was not checked")
        else:
            read_manifest(text, _keys_for(statement.manifest, trusted))
            statement.signature = "valid"
    except ContractError as error:
        findings.error(manifest_file.name, str(error))
    return statement


def _keys_for(manifest: Manifest, trusted: TrustedKeys | KeysOf) -> TrustedKeys:
    if isinstance(trusted, TrustedKeys):
        return trusted
    keys = trusted(manifest.unit_id)
    if keys is None:
        raise SignatureError(f"it says that it is of {manifest.unit_id}, of which no key is known; give its key")
    return keys


def _manifest_of(path: Path) -> Path | None:
    if path.is_dir():
        candidates = [path / MANIFEST_FILE_NAME]
    else:
        candidates = [manifest_beside(path), path.with_name(MANIFEST_FILE_NAME)]
    return next((candidate for candidate in candidates if candidate.exists()), None)


def _read_text(path: Path, findings: Findings) -> str:
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            data = file.read(MAX_MANIFEST_BYTES + 1)
        if len(data) > MAX_MANIFEST_BYTES:
            raise ContractError(f"over {MAX_MANIFEST_BYTES} bytes, which is the most that is read")
        return data.decode("ascii")
    except OSError as error:
        findings.is_unreadable = True
        raise ContractError(f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ContractError(f"not a JWS: {error.reason} at {error.start}") from error


def _read_unsigned(text: str) -> Manifest:
    """What the manifest says, whoever says so; its signature is another question."""
    pieces = text.split(".")
    if len(pieces) != 3:
        raise SignatureError("not a JWS in compact form")
    try:
        manifest = Manifest.from_object(json.loads(urlsafe_b64decode(pieces[1].encode())))
        manifest.to_object()  # dates beyond the calendar fail here
    except (ValueError, RecursionError) as error:
        raise ContractError(f"cannot be read: {error}") from error
    return manifest


def _part_checks(path: Path, statement: _Statement, findings: Findings, progress: Progress) -> Iterator[PartCheck]:
    manifest = statement.manifest
    if not path.is_dir():
        claim = _claimed_part(path, manifest, findings)
        yield PartCheck(path, claim.part.index if claim else 1, claim, findings, progress)
    elif manifest is not None:
        for part in manifest.parts:
            if _is_plain_name(part.file_name):
                yield PartCheck(path / part.file_name, part.index, Claim(manifest, part), findings, progress)
            else:
                findings.error(MANIFEST_FILE_NAME, f"part {part.index}: {part.file_name!r:.80} is no file name")


def _is_plain_name(name: str) -> bool:
    return Path(name).name == name and name not in {"", ".", ".."} and "\0" not in name


def _claimed_part(path: Path, manifest: Manifest | None, findings: Findings) -> Claim | None:
    """The part that a single file is: by its name, or the only one there is."""
    if manifest is None:
        return None
    named: list[ManifestPart] = [part for part in manifest.parts if part.file_name == path.name]
    if not named and manifest_beside(path).is_file():
        named = list(manifest.parts[:1]) if len(manifest.parts) == 1 else []
    if not named:
        findings.error(path.name, "the manifest beside it does not speak of this file")
        return None
    if len(manifest.parts) > 1:
        others = len(manifest.parts) - 1
        findings.add("note", path.name, f"part {named[0].index} of {len(manifest.parts)}; {others} not looked at")
    return Claim(manifest, named[0])


def _check_intervals(manifest: Manifest, findings: Findings) -> None:
    """Delivered, asked, parts and gaps tell one story."""
    place = "manifest"
    parts = manifest.parts
    if not parts:
        findings.error(place, "it lists no part")
        return
    if [part.index for part in parts] != list(range(1, len(parts) + 1)):
        findings.error(place, "its parts are not numbered from 1")
    if len({part.file_name for part in parts}) != len(parts):
        findings.error(place, "two of its parts have the same name")
    if manifest.delivered != Interval(start_us=parts[0].interval.start_us, end_us=parts[-1].interval.end_us):
        findings.error(place, "the delivered interval is not that of its parts")
    for part in parts:
        _check_part_interval(manifest, part, findings)
    _check_holes(manifest, findings)


def _check_part_interval(manifest: Manifest, part: ManifestPart, findings: Findings) -> None:
    place, asked, here = f"part {part.index}", manifest.asked, part.interval
    if not asked.start_us // 1000 * 1000 <= here.start_us < asked.end_us or here.end_us <= here.start_us:
        findings.error(place, "its interval does not begin inside the asked one")
    if part.preroll_90k < 0 or part.samples <= 0 or not part.fragments:
        findings.error(place, "it claims to hold nothing")


def _check_holes(manifest: Manifest, findings: Findings) -> None:
    """Every hole of over 2 s is a gap of the manifest."""
    edges = [(part.interval.start_us, part.interval.end_us) for part in manifest.parts]
    gaps = deque(sorted((gap.start_us, gap.end_us) for gap in manifest.gaps))
    held_until_us = explained_until_us = manifest.asked.start_us
    for start_us, end_us in [*edges, (manifest.asked.end_us, manifest.asked.end_us)]:
        while gaps and gaps[0][0] <= held_until_us:
            explained_until_us = max(explained_until_us, gaps.popleft()[1])
        if start_us - held_until_us > _LONGEST_SILENT_HOLE_US and explained_until_us < start_us:
            instant = format_utc(held_until_us)
            findings.error("manifest", f"footage from {instant} on is missing and no gap is listed for it")
        held_until_us = max(held_until_us, end_us)


def _summary(manifest: Manifest) -> dict[str, Any]:
    document = manifest.model_dump(
        mode="json", by_alias=True, exclude_none=True, exclude={"parts": {"__all__": _LONG}}
    )
    kept = ("camera", "asked", "delivered", "gaps", "requester", "clock_source", "clock_bound_us", "software_version")
    summary = {name: document[name] for name in kept if name in document}
    parts = [{name: part[name] for name in _OF_PART if name in part} for part in document["parts"]]
    # A manifest says what its unit likes; the report of it has a bound (`csu.verify_process`).
    summary["parts"] = parts if len(json.dumps(parts)) <= _MAX_PARTS_BYTES else []
    return summary
