"""A delivered clip for people: what its manifest says, and its files, as the verification reported them.

The report was stored with the verdict; a clip of an older report, or without one, tells its files alone.
"""

import errno
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from csu.errors import ContractError, RequestRefusedError
from csu.records import ClipRecord, CommandState
from csu.views import ClipFile, ClipView
from edge_agent.contract.manifest import MANIFEST_FILE_NAME
from edge_agent.contract.times import parse_utc

_TIMESCALE_HZ = 90_000
_CODECS = {"h264": "h264", "hevc": "h265"}
"""libav's names and those that people know."""
_MAX_FILES = 5000


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A regular file in a clip's folder."""

    name: str
    size_bytes: int


def list_files(folder: Path) -> tuple[StoredFile, ...]:
    """The files of a clip, by name; what is no regular file is none of them, nor is a link, or what no line can show.

    Raises:
        OSError: the folder cannot be read, or is a link itself.
    """
    descriptor = _open_folder(folder)
    try:
        with os.scandir(descriptor) as entries:
            found = [file for entry in entries if (file := _file_in(descriptor, entry.name)) is not None]
    finally:
        os.close(descriptor)
    return tuple(sorted(found, key=lambda file: file.name)[:_MAX_FILES])


def _open_folder(folder: Path) -> int:
    """A descriptor of the folder itself (open(2), O_NOFOLLOW): what a link in its place leads to is no clip's."""
    return os.open(folder, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY | os.O_NOFOLLOW)


def _file_in(folder: int, name: str) -> StoredFile | None:
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    is_named = name.isprintable() and not name.startswith(".")
    return StoredFile(name, status.st_size) if is_named and stat.S_ISREG(status.st_mode) else None


def open_file(folder: Path, name: str) -> int:
    """A descriptor of one of a clip's files, for reading; of no link's target, of no file elsewhere.

    Raises:
        RequestRefusedError: the clip has no file of this name.
        OSError: the storage does not give it.
    """
    unknown = RequestRefusedError("unknown-file", f"the clip has no file {name!r:.80}", 404)
    if Path(name).name != name or name.startswith(".") or not name.isprintable() or len(os.fsencode(name)) > 255:
        raise unknown
    try:
        descriptor = _open_in(folder, name)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise unknown from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise unknown from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise unknown
    return descriptor


def _open_in(folder: Path, name: str) -> int:
    descriptor = _open_folder(folder)
    try:
        # O_NOFOLLOW: a link is refused (open(2), ELOOP); O_NONBLOCK: a FIFO keeps nobody.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        return os.open(name, flags, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def kind_of(name: str) -> Literal["part", "manifest", "other"]:
    """What a file of a clip is, by its name."""
    if name == MANIFEST_FILE_NAME:
        return "manifest"
    return "part" if name.endswith(".mp4") else "other"


def view_of(clip: ClipRecord, files: tuple[StoredFile, ...], command_state: CommandState | None) -> ClipView:
    """What the page shows of a clip."""
    report = clip.report or {}
    summary = _mapping(report.get("summary"))
    parts = {str(part.get("file_name")): part for part in map(_mapping, _sequence(summary.get("parts")))}
    bound_us = summary.get("clock_bound_us")
    return ClipView(
        clip_id=clip.clip_id,
        unit_id=clip.unit_id,
        completed_us=clip.completed_us,
        verdict=clip.verdict,
        reason=clip.reason,
        camera=summary.get("camera"),
        asked=_interval(summary.get("asked")),
        delivered=_interval(summary.get("delivered")),
        gaps=tuple(_gap(gap) for gap in map(_mapping, _sequence(summary.get("gaps")))),
        clock_source=summary.get("clock_source"),
        clock_bound_ms=bound_us / 1000 if isinstance(bound_us, int) else None,
        positions=tuple(dict(place) for part in parts.values() for place in _positions(part)),
        warnings=_warnings(report, parts),
        files=tuple(_file_of(clip, file, parts.get(file.name, {})) for file in files),
        command_state=command_state,
    )


def _file_of(clip: ClipRecord, file: StoredFile, part: Mapping[str, Any]) -> ClipFile:
    interval, preroll_90k = _mapping(part.get("interval")), part.get("preroll_90k")
    folder = f"/v1/clips/{quote(clip.unit_id, safe='')}/{quote(clip.clip_id, safe='')}"
    return ClipFile(
        name=file.name,
        size_bytes=file.size_bytes,
        kind=kind_of(file.name),
        url=f"{folder}/files/{quote(file.name, safe='')}",
        sha256=part.get("sha256"),
        codec=_CODECS.get(str(part.get("codec"))),
        start_us=_instant(interval.get("start_us")),
        end_us=_instant(interval.get("end_us")),
        preroll_s=preroll_90k / _TIMESCALE_HZ if isinstance(preroll_90k, int) else None,
    )


def _interval(value: object) -> dict[str, Any] | None:
    interval = _mapping(value)
    return {"from": interval.get("start_us"), "to": interval.get("end_us")} if interval else None


def _gap(gap: Mapping[str, Any]) -> dict[str, Any]:
    return {"from": gap.get("start_us"), "to": gap.get("end_us"), "cause": gap.get("cause")}


def _positions(part: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    places = [_mapping(place) for place in _sequence(part.get("positions"))]
    return places or ([_mapping(part["position"])] if part.get("position") else [])


def _warnings(report: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    found = [
        f"{finding.get('place')}: {finding.get('message')}"
        for finding in map(_mapping, _sequence(report.get("findings")))
        if finding.get("severity") == "warning"
    ]
    said = [str(words) for part in parts.values() for words in _sequence(part.get("warnings"))]
    return tuple(dict.fromkeys([*said, *found]))


def _instant(value: object) -> int | None:
    try:
        return parse_utc(value) if isinstance(value, str) else None
    except ContractError:
        return None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _sequence(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []
