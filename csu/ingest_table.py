"""The ingest's uploads in memory: found by id, clip and part, with sums a unit, so that no creation looks at all.

A clip may have 10,000 uploads and a centre 1,000 units. How far an upload is, is noted by who appends to it, for the
sums alone: the size of the file stays the truth for who sends.
"""

import threading
from dataclasses import dataclass, field
from typing import TypeVar

from csu.ingest_upload import Upload
from edge_agent.contract.upload import UploadMetadata

K = TypeVar("K")


@dataclass(slots=True)
class _Clip:
    uploads: dict[str, Upload] = field(default_factory=dict)
    by_place: dict[tuple[str, int], Upload] = field(default_factory=dict)
    by_name: dict[str, Upload] = field(default_factory=dict)


@dataclass(slots=True)
class _Unit:
    clips: dict[str, _Clip] = field(default_factory=dict)
    uploads: int = 0
    empty: int = 0
    missing_bytes: int = 0


class UploadTable:
    """Safe from any thread; nothing here reads the disk."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # protects all tables, which threads and the loop use
        self._uploads: dict[str, Upload] = {}
        self._offsets: dict[str, int] = {}
        self._units: dict[str, _Unit] = {}

    def add(self, upload: Upload, offset_bytes: int) -> None:
        """A new upload, or one read from disk."""
        metadata, upload_id = upload.info.metadata, upload.info.upload_id
        with self._lock:
            unit = self._units.setdefault(metadata.unit_id, _Unit())
            clip = unit.clips.setdefault(metadata.clip_id, _Clip())
            self._uploads[upload_id] = upload
            clip.uploads[upload_id] = upload
            clip.by_place[metadata.kind, metadata.index] = upload
            clip.by_name[metadata.filename] = upload
            unit.uploads += 1
            self._offsets[upload_id] = offset_bytes
            _count(unit, upload, offset_bytes, 1)

    def discard(self, upload: Upload) -> None:
        """Forget an upload; without effect when it is not known."""
        metadata, upload_id = upload.info.metadata, upload.info.upload_id
        with self._lock:
            if self._uploads.pop(upload_id, None) is None:
                return
            unit = self._units[metadata.unit_id]
            clip = unit.clips[metadata.clip_id]
            del clip.uploads[upload_id]
            _drop(clip.by_place, (metadata.kind, metadata.index), upload)
            _drop(clip.by_name, metadata.filename, upload)
            unit.uploads -= 1
            _count(unit, upload, self._offsets.pop(upload_id), -1)
            if not clip.uploads:
                del unit.clips[metadata.clip_id]
            if not unit.clips:
                del self._units[metadata.unit_id]

    def note(self, upload: Upload, offset_bytes: int) -> None:
        """An upload is that far; without effect when it is not known."""
        upload_id = upload.info.upload_id
        with self._lock:
            if upload_id in self._offsets:
                unit = self._units[upload.info.metadata.unit_id]
                _count(unit, upload, self._offsets[upload_id], -1)
                _count(unit, upload, offset_bytes, 1)
                self._offsets[upload_id] = offset_bytes

    def find(self, upload_id: str) -> Upload | None:
        """An upload by its id."""
        with self._lock:
            return self._uploads.get(upload_id)

    def all(self) -> list[Upload]:
        """Every upload."""
        with self._lock:
            return list(self._uploads.values())

    def of_unit(self, unit_id: str) -> list[Upload]:
        """The uploads of a unit."""
        with self._lock:
            unit = self._units.get(unit_id, _Unit())
            return [upload for clip in unit.clips.values() for upload in clip.uploads.values()]

    def of_clip(self, unit_id: str, clip_id: str) -> list[Upload]:
        """The uploads of a clip."""
        with self._lock:
            return list(self._clip(unit_id, clip_id).uploads.values())

    def twin(self, metadata: UploadMetadata) -> Upload | None:
        """The upload that already stands for this part or manifest of this clip."""
        with self._lock:
            clip = self._clip(metadata.unit_id, metadata.clip_id)
            return clip.by_place.get((metadata.kind, metadata.index))

    def is_named(self, metadata: UploadMetadata) -> bool:
        """An upload of this clip has this file name."""
        with self._lock:
            return metadata.filename in self._clip(metadata.unit_id, metadata.clip_id).by_name

    def has_begun(self, unit_id: str, clip_id: str) -> bool:
        """There is an upload of this clip."""
        with self._lock:
            return bool(self._clip(unit_id, clip_id).uploads)

    def clips_of(self, unit_id: str) -> int:
        """How many clips of a unit have uploads."""
        with self._lock:
            return len(self._units.get(unit_id, _Unit()).clips)

    def uploads_of(self, unit_id: str) -> int:
        """How many uploads a unit has."""
        with self._lock:
            return self._units.get(unit_id, _Unit()).uploads

    def empty_of(self, unit_id: str) -> int:
        """How many uploads of a unit have no byte."""
        with self._lock:
            return self._units.get(unit_id, _Unit()).empty

    def missing_bytes(self) -> dict[str, int]:
        """What each unit announced and has not sent."""
        with self._lock:
            return {name: unit.missing_bytes for name, unit in self._units.items()}

    def _clip(self, unit_id: str, clip_id: str) -> _Clip:
        unit = self._units.get(unit_id, _Unit())
        return unit.clips.get(clip_id, _Clip())


def _count(unit: _Unit, upload: Upload, offset_bytes: int, sign: int) -> None:
    unit.missing_bytes += sign * max(0, upload.info.length_bytes - offset_bytes)
    unit.empty += sign * (offset_bytes == 0)


def _drop(table: dict[K, Upload], key: K, upload: Upload) -> None:
    if table.get(key) is upload:
        del table[key]
