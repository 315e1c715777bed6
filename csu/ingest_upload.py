"""One upload of the ingest: what it is, and what its files say about it; everything but the paths reads the disk."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from edge_agent.contract.model import ContractModel
from edge_agent.contract.names import HexId
from edge_agent.contract.upload import UploadMetadata

DATA_NAME = "data"


class UploadInfo(ContractModel):
    """`info.json`."""

    schema_: Literal["ingest-upload/1"] = Field("ingest-upload/1", alias="schema")
    upload_id: HexId
    metadata: UploadMetadata
    length_bytes: int = Field(gt=0)
    created_us: int


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload: what it is, where its bytes go, where they lie once its clip has arrived."""

    info: UploadInfo
    folder: Path
    arrived_path: Path

    @property
    def data_path(self) -> Path:
        """The bytes so far."""
        return self.folder / DATA_NAME

    def offset_bytes(self) -> int:
        """How much is there; of an arrived upload, everything.

        Raises:
            FileNotFoundError: the bytes are gone.
        """
        try:
            return self.data_path.stat().st_size
        except FileNotFoundError:
            return self.arrived_path.stat().st_size

    def offset_or_0(self) -> int:
        """How much is there; 0 when the bytes are gone."""
        try:
            return self.offset_bytes()
        except FileNotFoundError:
            return 0

    def has_bytes(self) -> bool:
        """Its file is there, empty perhaps; it is not when somebody removed it by hand, or the storage lost it."""
        return self.data_path.exists() or self.arrived_path.exists()

    def is_complete(self) -> bool:
        """All bytes are there."""
        try:
            return self.offset_bytes() == self.info.length_bytes
        except FileNotFoundError:
            return False

    def has_arrived(self) -> bool:
        """Its bytes lie in the clip's folder."""
        return not self.data_path.exists() and self.arrived_path.exists()

    def content(self) -> bytes:
        """All bytes so far; of manifests only.

        Raises:
            OSError: they cannot be read.
        """
        path = self.data_path if self.data_path.exists() else self.arrived_path
        return path.read_bytes()

    def last_change_us(self) -> int:
        """When bytes last came, or the upload was made."""
        try:
            return max(self.info.created_us, self.data_path.stat().st_mtime_ns // 1000)
        except FileNotFoundError:
            return self.info.created_us

    def is_idle(self, since_us: int, empty_since_us: int) -> bool:
        """Nothing was added to it since the first instant, or it has no byte and was made before the second."""
        if self.last_change_us() < since_us:
            return True
        return self.info.created_us < empty_since_us and self.offset_or_0() == 0
