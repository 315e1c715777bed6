"""Uploads on disk: `ingest/<upload_id>/{info.json,data}`; the offset of an upload is the size of its file, always.

Creation, and what a cut after each step leaves:

1. make the folder                       – a folder without `info.json` and bytes: removed at the next start
2. make the empty `data`, sync           – the same
3. write `info.json` durably             – an upload of offset 0

A removal takes `data` first, so that bytes without a readable `info.json` are damage: they are never deleted at a
start but set aside in `ingest-damaged/`, for a person to look at.

When a clip has arrived its files are moved to `clips/<unit_id>/<clip_id>/` (csu.ingest_arrival); `info.json` stays
until it expires or its unit has too many, so that a unit that asks again hears that everything is there.

Everything here blocks and is called from threads, but for the look-ups in memory (`table`).
"""

import logging
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from uuid import uuid4

from csu.errors import ContractError, UploadRefusedError
from csu.ingest_table import UploadTable
from csu.ingest_upload import DATA_NAME, Upload, UploadInfo
from edge_agent.contract.manifest import MANIFEST_FILE_NAME
from edge_agent.contract.upload import UploadMetadata
from edge_agent.durable import fsync_directory, make_directory, write_file

_INFO_NAME = "info.json"
_DAMAGED_NAME = "ingest-damaged"
_MAX_INFO_BYTES = 8000

_log = logging.getLogger(__name__)


class UploadStore:
    """All uploads of an ingest; `table` finds them."""

    def __init__(self, directory: Path, clips_directory: Path) -> None:
        self._directory = directory
        self._clips = clips_directory
        self.table = UploadTable()

    def load(self) -> None:
        """Read what is on disk; remove what an interrupted creation or removal left, set aside what is damaged.

        Raises:
            OSError: the directory cannot be made or read.
        """
        make_directory(self._directory)
        for folder in sorted(self._directory.iterdir()):
            try:
                upload = self._read(folder)
            except (ContractError, OSError) as error:
                self._set_aside(folder, error)
                continue
            if upload is None:
                _log.warning("removing %s: an upload without bytes", folder)
                _remove_tree(folder)
            else:
                self.table.add(upload, upload.offset_or_0())

    def _read(self, folder: Path) -> Upload | None:
        """The upload; None when there is nothing to keep; raises ContractError or OSError when it is damaged."""
        data_path = folder / DATA_NAME
        if not (folder / _INFO_NAME).exists() and folder.is_dir():
            if data_path.exists() and data_path.stat().st_size:
                raise ContractError(f"{_INFO_NAME} is missing")
            return None
        upload = self._upload(UploadInfo.from_json((folder / _INFO_NAME).read_bytes(), _MAX_INFO_BYTES))
        if upload.folder != folder:
            raise ContractError(f"{_INFO_NAME} is of {upload.info.upload_id}")
        try:
            upload.offset_bytes()
        except FileNotFoundError:
            return None
        return upload

    def _set_aside(self, path: Path, error: Exception) -> None:
        aside = self._directory.with_name(_DAMAGED_NAME)
        make_directory(aside)
        target = aside / f"{path.name}.{uuid4().hex[:8]}"
        _log.error("%s is damaged and set aside as %s: %s", path, target, error)
        path.rename(target)

    def _upload(self, info: UploadInfo) -> Upload:
        metadata = info.metadata
        arrived = self._clips / metadata.unit_id / metadata.clip_id / metadata.filename
        return Upload(info, self._directory / info.upload_id, arrived)

    def create(self, metadata: UploadMetadata, length_bytes: int, now_us: int) -> Upload:
        """A new upload, durable; complete from the start when its clip has arrived with a file of this length.

        Raises:
            UploadRefusedError: 400, its clip has arrived with a file of this name and another length, or without one.
            OSError: the storage refused.
        """
        info = UploadInfo(upload_id=uuid4().hex, metadata=metadata, length_bytes=length_bytes, created_us=now_us)
        upload = self._upload(info)
        has_arrived = upload.arrived_path.exists()
        if has_arrived and upload.arrived_path.stat().st_size != length_bytes:
            raise UploadRefusedError(400, f"this {metadata.kind} is already here, with another length")
        if not has_arrived and upload.arrived_path.with_name(MANIFEST_FILE_NAME).exists():
            raise UploadRefusedError(400, f"this clip is already here, without {metadata.filename}")
        make_directory(upload.folder)
        if not has_arrived:
            os.close(os.open(upload.data_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640))
        write_file(upload.folder / _INFO_NAME, info.to_json())
        self.table.add(upload, length_bytes if has_arrived else 0)
        return upload

    def remove(self, upload: Upload) -> None:
        """Forget an upload and its bytes; the files of an arrived clip stay.

        Raises:
            OSError: the storage refused.
        """
        if upload.data_path.exists():
            upload.data_path.unlink()
            fsync_directory(upload.folder)
        # Not before its bytes are gone: what could not be removed stays known, and is removed when it is tried again.
        self.table.discard(upload)
        _remove_tree(upload.folder)
        fsync_directory(self._directory)

    def has_clip_arrived(self, unit_id: str, clip_id: str) -> bool:
        """The clip's folder is whole: what is asked of it is answered from there (`create`) and begins nothing."""
        return (self._clips / unit_id / clip_id / MANIFEST_FILE_NAME).exists()

    def arrived(self, unit_id: str) -> list[Upload]:
        """A unit's uploads whose bytes lie in their clips' folders.

        They may be forgotten: who asks for one again creates it anew, and hears that everything is there (`create`).
        """
        return [upload for upload in self.table.of_unit(unit_id) if upload.has_arrived()]

    def forget(self, arrived: Iterable[Upload]) -> None:
        """Forget uploads that have arrived; synced once, since a cut leaves nothing but some that are still known.

        Raises:
            OSError: the storage refused.
        """
        for upload in arrived:
            self.table.discard(upload)
            _remove_tree(upload.folder)
        fsync_directory(self._directory)

    def waiting_manifests(self) -> list[Upload]:
        """Complete manifests whose clip was not put together yet."""
        manifests = [upload for upload in self.table.all() if upload.info.metadata.kind == "manifest"]
        return [upload for upload in manifests if upload.data_path.exists() and upload.is_complete()]

    def room_bytes(self, unit_id: str, share: float) -> int:
        """What a unit may still announce: the free space without what was announced and has not come.

        A unit's own announcements count whole, those of each other unit up to this share of the free space: an
        announcement costs nothing, so that one unit could otherwise keep all others out.

        Raises:
            OSError: the file system does not say.
        """
        free_bytes = shutil.disk_usage(self._directory).free
        announced = self.table.missing_bytes()
        own_bytes = announced.pop(unit_id, 0)
        cap_bytes = int(free_bytes * share)
        return free_bytes - own_bytes - sum(min(cap_bytes, other_bytes) for other_bytes in announced.values())

    def idle_since(self, instant_us: int, empty_instant_us: int) -> list[Upload]:
        """Uploads that are idle (`Upload.is_idle`)."""
        return [upload for upload in self.table.all() if upload.is_idle(instant_us, empty_instant_us)]


def _remove_tree(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
