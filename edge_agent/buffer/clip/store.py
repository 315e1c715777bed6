"""Durable plans: `plans/<clip_id>.plan` in a camera's ring, one file a clip.

It holds the header bytes of each part, one after another, a line feed, and the plan as one line of JSON: `tail -n 1`
shows it. One file is one sync less on flash than a document beside its headers, and is there whole or not at all.

A plan exists when its file does, and that pins the segments it names. A reserved plan is replaced by the planned one
by writing it again. Writing is `durable.write_file`: a temporary file, synced and renamed, and the folder synced; a
cut before the rename leaves a temporary file, which is swept when the ring is opened, and the former plan or none.
Removing is one `unlink` and the folder's sync.

Only the ring's owner writes here; others read (`reader.read_plan`).
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from edge_agent.buffer.clip.reader import PLAN_SUFFIX, read_plan
from edge_agent.contract.clip import ClipPlan
from edge_agent.contract.names import UUID_PATTERN
from edge_agent.durable import make_directory, remove_file, sweep_temporary_files, write_file
from edge_agent.errors import FormatError

__all__ = ["list_plans", "plan_path", "read_plan", "remove_plan", "sweep_unfinished", "write_plan"]


def plan_path(plans_directory: Path, clip_id: str) -> Path:
    """The file of one plan.

    Raises:
        FormatError: the id is not a UUID, and thus no file of this kind.
    """
    if not re.fullmatch(UUID_PATTERN, clip_id):
        raise FormatError(f"{clip_id!r:.60} is not a clip id: a UUID in lower case is")
    return plans_directory / f"{clip_id}{PLAN_SUFFIX}"


def write_plan(plans_directory: Path, plan: ClipPlan, headers: Sequence[bytes] = ()) -> Path:
    """Make a plan durable; when this returns, a power cut does not take it any more.

    Args:
        plans_directory: the camera's `plans` folder.
        plan: the plan.
        headers: header bytes of each part, in the plan's order.

    Returns:
        The path of its file.

    Raises:
        FormatError: headers and parts do not fit one another.
        OSError: the storage refused; there is no plan then, or the former one.
    """
    path = plan_path(plans_directory, plan.clip_id)
    offset = 0
    for part, header in zip(plan.parts, headers, strict=False):
        if (part.header_offset, part.header_bytes) != (offset, len(header)):
            raise FormatError(f"clip {plan.clip_id}: the header of part {part.index} does not fit its plan")
        offset += len(header)
    if len(headers) != len(plan.parts):
        raise FormatError(f"clip {plan.clip_id}: {len(headers)} headers do not fit {len(plan.parts)} parts")
    make_directory(plans_directory)
    write_file(path, [*headers, b"\n", plan.model_dump_json(by_alias=True, exclude_none=True).encode()])
    return path


def list_plans(plans_directory: Path) -> list[str]:
    """Ids of the clips that have a plan, sorted; what else lies in the folder is passed over.

    Raises:
        OSError: the folder cannot be read; a missing one holds no plans.
    """
    if not plans_directory.exists():
        return []
    with os.scandir(plans_directory) as entries:  # says what is a file without asking a rotten one
        names = [entry.name for entry in entries if entry.name.endswith(PLAN_SUFFIX) and entry.is_file()]
    ids = (name.removesuffix(PLAN_SUFFIX) for name in names)
    return sorted(clip_id for clip_id in ids if re.fullmatch(UUID_PATTERN, clip_id))


def remove_plan(plans_directory: Path, clip_id: str) -> bool:
    """Remove a plan; safe to repeat.

    Returns:
        Whether there was one.

    Raises:
        FormatError: the id is not a UUID.
        OSError: the storage refused.
    """
    path = plan_path(plans_directory, clip_id)
    existed = path.exists()
    if existed:
        remove_file(path)
    return existed


def sweep_unfinished(plans_directory: Path) -> int:
    """Remove what cuts left of plans that were being written; the number removed.

    Raises:
        OSError: the storage refused.
    """
    return sweep_temporary_files(plans_directory) if plans_directory.exists() else 0
