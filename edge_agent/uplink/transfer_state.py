"""What is durable of a transfer: `link/transfers/<clip_id>.json`, and `<clip_id>.jws` once the manifest is signed.

Written at events only: submitted, upload created (and the part before it done), manifest signed, ended. How far an
upload is, is never written: the ingest knows (HEAD). What a cut leaves after each event is the state before or after
it, and every step is safe to repeat: a creation that was answered but not written is answered again with the same
upload by our ingest, or leaves an upload that a foreign one expires.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from edge_agent.contract.commands import Priority
from edge_agent.contract.model import ContractModel
from edge_agent.contract.names import Sha256Hex, Uuid
from edge_agent.durable import fsync_directory, make_directory, remove_file, sweep_temporary_files, write_file
from edge_agent.errors import FormatError

_MAX_STATE_BYTES = 16_000_000


class ItemState(ContractModel):
    """One upload of a clip: a part or the manifest."""

    location: str | None = None
    sha256: Sha256Hex | None = None
    done: bool = False


class Outcome(ContractModel):
    """How a transfer ended; kept, and reported again, until whoever submitted it lets go of it."""

    kind: Literal["delivered", "refused", "damaged"]
    code: str = ""
    message: str = ""


class TransferState(ContractModel):
    """`link/transfers/<clip_id>.json`."""

    schema_: Literal["transfer/1"] = Field("transfer/1", alias="schema")
    clip_id: Uuid
    plan_file: str
    """Relative to the data directory."""
    url: str
    priority: Priority
    submitted_us: int
    parts: tuple[ItemState, ...]
    manifest: ItemState = ItemState()
    """Its `sha256` is set when `<clip_id>.jws` was written."""
    outcome: Outcome | None = None

    def with_part(self, position: int, item: ItemState) -> "TransferState":
        """The same with one part's state replaced."""
        parts = tuple(item if number == position else part for number, part in enumerate(self.parts))
        return self.model_copy(update={"parts": parts})

    def with_manifest(self, item: ItemState) -> "TransferState":
        """The same with the manifest's state replaced."""
        return self.model_copy(update={"manifest": item})

    def with_outcome(self, outcome: Outcome) -> "TransferState":
        """The same, ended."""
        return self.model_copy(update={"outcome": outcome})

    def locations(self) -> list[str]:
        """Uploads that the ingest may know."""
        return [item.location for item in (*self.parts, self.manifest) if item.location is not None]


class TransferStore:
    """The files; everything here blocks."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._swept = False  # later on, a temporary file may be another clip's write that is under way

    def open(self) -> None:
        """Make the directory; the first call removes what an interrupted write of an earlier process left.

        Raises:
            OSError: the storage refused.
        """
        make_directory(self._directory)
        if not self._swept:
            self._swept = True
            sweep_temporary_files(self._directory)

    def list(self) -> list[str]:
        """Clip ids of what is there."""
        return sorted(path.stem for path in self._directory.glob("*.json"))

    def load(self, clip_id: str) -> TransferState | None:
        """The state of a clip's transfer; None when there is none.

        Raises:
            FormatError: it is damaged, which no cut can do.
            OSError: the storage refused.
        """
        path = self._path(clip_id)
        try:
            state = TransferState.from_json(path.read_bytes(), _MAX_STATE_BYTES)
        except FileNotFoundError:
            return None
        except (IsADirectoryError, ValueError) as error:
            raise FormatError(f"{path}: {error}") from error
        if state.clip_id != clip_id:
            raise FormatError(f"{path}: the state of clip {state.clip_id}")
        return state

    def set_aside(self, clip_id: str, wall_us: int) -> Path:
        """Move a damaged state out of the way, never delete it; its new name.

        Raises:
            OSError: the storage refused.
        """
        path = self._path(clip_id)
        aside = path.with_name(f"{path.name}.damaged-{wall_us}")
        path.rename(aside)
        fsync_directory(self._directory)
        return aside

    def save(self, state: TransferState) -> None:
        """Write it durably.

        Raises:
            OSError: the storage refused.
        """
        write_file(self._path(state.clip_id), state.to_json())

    def save_manifest(self, clip_id: str, token: str) -> None:
        """Write the signed manifest durably, before it is noted in the state.

        Raises:
            OSError: the storage refused.
        """
        write_file(self._path(clip_id, ".jws"), token.encode("ascii"))

    def load_manifest(self, clip_id: str) -> bytes | None:
        """The signed manifest; None when it was not written yet.

        Raises:
            OSError: it cannot be read.
        """
        try:
            return self._path(clip_id, ".jws").read_bytes()
        except FileNotFoundError:
            return None

    def remove(self, clip_id: str) -> None:
        """Forget a transfer; the state goes last, so that a cut leaves something to remove again.

        Raises:
            OSError: the storage refused.
        """
        self._path(clip_id, ".jws").unlink(missing_ok=True)
        remove_file(self._path(clip_id))

    def _path(self, clip_id: str, suffix: str = ".json") -> Path:
        return self._directory / f"{clip_id}{suffix}"
