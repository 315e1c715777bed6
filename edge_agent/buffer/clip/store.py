"""Durable plans: `plans/<clip_id>/` in a camera's ring, with `plan.json` and the header bytes of each part.

A plan exists when its `plan.json` exists; that file's presence pins the segments it names.

Procedure of `write_plan`, and what a cut after each step leaves:

1. make the folder `plans/<clip_id>`                  – an empty folder: no plan
2. write `part-N.header`, part after part, synced      – headers without a plan: no plan (their names ride on the
                                                         sync of step 3: same folder, journalled in order)
3. write `plan.json` (temporary file, sync, rename)    – no plan, or the whole plan

Procedure of `remove_plan`:

1. remove `plan.json`, sync the folder                 – headers without a plan: no plan
2. remove the headers and the folder, sync `plans`     – nothing

What a cut leaves without a `plan.json` is removed by `sweep_unfinished` when the ring is opened. A reserved plan is
replaced by the planned one by writing it again: step 3 makes it one or the other.

Only the ring's owner writes here; others read (`reader.read_plan`).
"""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from edge_agent.buffer.clip.reader import PLAN_FILE_NAME, read_plan
from edge_agent.contract.clip import ClipPlan
from edge_agent.contract.names import UUID_PATTERN
from edge_agent.durable import fsync_directory, remove_file, settle_directory, write_file
from edge_agent.errors import FormatError

__all__ = ["list_plans", "plan_directory", "read_plan", "remove_plan", "sweep_unfinished", "write_plan"]

logger = logging.getLogger(__name__)


def plan_directory(plans_directory: Path, clip_id: str) -> Path:
    """The folder of one plan.

    Raises:
        FormatError: the id is not a UUID, and thus no folder of this kind.
    """
    if not re.fullmatch(UUID_PATTERN, clip_id):
        raise FormatError(f"{clip_id!r:.60} is not a clip id: a UUID in lower case is")
    return plans_directory / clip_id


def write_plan(plans_directory: Path, plan: ClipPlan, headers: Sequence[bytes] = ()) -> Path:
    """Make a plan durable; when this returns, a power cut does not take it any more.

    Args:
        plans_directory: the camera's `plans` folder.
        plan: the plan.
        headers: header bytes of each part, in the plan's order.

    Returns:
        The path of its `plan.json`.

    Raises:
        FormatError: headers and parts do not fit one another.
        OSError: the storage refused; there is no plan then, or the former one.
    """
    if [len(header) for header in headers] != [part.header_bytes for part in plan.parts]:
        raise FormatError(f"clip {plan.clip_id}: {len(headers)} headers do not fit {len(plan.parts)} parts")
    folder = plan_directory(plans_directory, plan.clip_id)
    settle_directory(folder)
    for part, header in zip(plan.parts, headers, strict=True):
        write_file(folder / part.header_file, header, is_followed=True)
    write_file(folder / PLAN_FILE_NAME, plan.model_dump_json(by_alias=True, exclude_none=True).encode())
    return folder / PLAN_FILE_NAME


def list_plans(plans_directory: Path) -> list[str]:
    """Ids of the clips that have a plan, sorted.

    Raises:
        OSError: the folder cannot be read; a missing one holds no plans.
    """
    if not plans_directory.exists():
        return []
    return sorted(path.parent.name for path in plans_directory.glob(f"*/{PLAN_FILE_NAME}"))


def remove_plan(plans_directory: Path, clip_id: str) -> bool:
    """Remove a plan; safe to repeat.

    Returns:
        Whether there was one.

    Raises:
        FormatError: the id is not a UUID.
        OSError: the storage refused.
    """
    folder = plan_directory(plans_directory, clip_id)
    plan_file = folder / PLAN_FILE_NAME
    existed = plan_file.exists()
    if existed:
        remove_file(plan_file)
    if folder.exists():
        _remove_folder(folder)
        fsync_directory(plans_directory)
    return existed


def sweep_unfinished(plans_directory: Path) -> int:
    """Remove folders without a plan, which a cut left; the number removed. One that cannot be removed stays.

    Raises:
        OSError: the folder of all plans cannot be read.
    """
    if not plans_directory.exists():
        return 0
    folders = [path for path in plans_directory.iterdir() if path.is_dir() and not (path / PLAN_FILE_NAME).exists()]
    return sum(map(_swept, folders))


def _swept(folder: Path) -> bool:
    try:
        _remove_folder(folder)
    except OSError as error:
        logger.warning("%s holds no plan and cannot be removed: %s", folder, error)
        return False
    return True


def _remove_folder(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
