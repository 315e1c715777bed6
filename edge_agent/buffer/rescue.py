"""Clips of a ring whose storage takes no writes any more.

A failing SSD has its file system turned read-only (ext4: `errors=remount-ro`), on the very day when the footage
matters. Nothing of the ring is written here. The index is copied to a scratch folder that lies elsewhere and brought
up to what the files hold; plans are made and kept there; footage is read from where it lies. An index that is gone or
cannot be read is made anew in the scratch folder from all files. Nothing is pinned: nothing can be removed either.
"""

import errno
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from edge_agent.buffer.disposal import Disposal
from edge_agent.buffer.file_indexer import FileIndexer, Recovered
from edge_agent.buffer.holdings import Holdings
from edge_agent.buffer.index import Index
from edge_agent.buffer.index_file import index_files_of
from edge_agent.buffer.intake import Intake
from edge_agent.buffer.keeper import Keeper
from edge_agent.buffer.layout import PLANS_FOLDER, list_segments
from edge_agent.buffer.live_state import LiveState, RingContext
from edge_agent.buffer.planning import Planner
from edge_agent.buffer.recovery import AT_ONCE, check_readable, load_rows
from edge_agent.buffer.retention import limits_of
from edge_agent.buffer.sampler import Sampler
from edge_agent.buffer.write_figures import WriteFigures
from edge_agent.clock import Clock
from edge_agent.clock_source import ClockProbe, SystemClockProbe
from edge_agent.durable import make_directory
from edge_agent.errors import RingStorageError
from edge_agent.paths import ring_directory
from edge_agent.settings import CameraSettings

logger = logging.getLogger(__name__)


def is_read_only(directory: Path) -> bool:
    """Whether the file system of a folder refuses writes as read-only, by its mount or after a fault."""
    try:
        os.close(os.open(directory, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as error:
        return error.errno == errno.EROFS
    return False


@contextmanager
def open_read_only(
    data_dir: Path,
    scratch: Path,
    camera: CameraSettings,
    context: RingContext,
    clock: Clock,
    probe: ClockProbe | None = None,
) -> Iterator[Planner]:
    """A camera's ring, as its files lie; plans are made under `scratch` as if it were the data directory.

    Args:
        data_dir: the unit's data directory; nothing in it is written.
        scratch: an empty folder with room for a copy of the index; the caller removes it.
        camera: its settings.
        context: who asks.
        clock: the clocks.
        probe: says who vouches for the wall clock; this machine's when None.

    Raises:
        RingStorageError: the ring cannot be read, or the scratch folder cannot be written.
    """
    directory, shadow = ring_directory(data_dir, camera.name), ring_directory(scratch, camera.name)
    try:
        make_directory(shadow / PLANS_FOLDER)
        index = _index_of(directory, shadow)
        try:
            yield _planner(directory, shadow, index, camera, context, clock, probe or SystemClockProbe(clock))
        finally:
            index.close()
    except OSError as error:
        raise RingStorageError(f"cannot rescue footage of {directory}: {error}") from error


def _index_of(directory: Path, shadow: Path) -> Index:
    """A copy of the index; an empty one when it cannot be read."""
    try:
        file, _ = index_files_of(directory)
        for suffix in ("", "-wal"):
            if (source := directory / f"{file}{suffix}").exists():
                shutil.copyfile(source, shadow / source.name)
        with ExitStack() as unless_readable:
            index = Index(shadow / file)
            unless_readable.callback(index.close)
            check_readable(index)
            unless_readable.pop_all()
            return index
    except (OSError, RingStorageError) as error:
        logger.warning("the index cannot be used, every file is read instead: %s", error)
    return Index(shadow / "empty.db")


def _planner(
    directory: Path,
    shadow: Path,
    index: Index,
    camera: CameraSettings,
    context: RingContext,
    clock: Clock,
    probe: ClockProbe,
) -> Planner:
    holdings, disposal = Holdings(directory, index), Disposal(directory, index)
    limits = limits_of(camera)
    keeper = Keeper(holdings, index, disposal, Sampler(probe, context.boot_id), clock, context.boot_id, limits)
    _load(directory, index, holdings, keeper)
    index.add_boot(context.boot_id, index.next_sequence(), clock.monotonic_us())
    holdings.set_clock(index.boots(), index.anchors())
    keeper.sample()
    live = LiveState(camera.name, context, clock, holdings, keeper, Intake(0), WriteFigures(), limits)
    plans = shadow / PLANS_FOLDER
    return Planner(holdings, index, live, plans, context.unit_id, camera.name, max_pinned_share=None)


def _load(directory: Path, index: Index, holdings: Holdings, keeper: Keeper) -> None:
    """Know every segment, as `recovery` does, and leave every file as it lies."""
    listing, owed = list_segments(directory), set(index.deletions_owed())
    load_rows(directory, index, holdings, listing, owed)
    unknown = sorted(number for number in listing.segments - owed if not holdings.holds(number))
    indexer = FileIndexer(
        directory, index, holdings, Recovered(), newest=-1, is_lost=len(unknown) > AT_ONCE, mends=False
    )
    indexer.take(unknown[-AT_ONCE:])
    keeper.rebuild(unknown[:-AT_ONCE], indexer)
    keeper.rebuild_all()
