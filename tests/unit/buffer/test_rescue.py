"""Plans of a ring that is only read: the same clips, from whatever is left of it."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_agent.buffer.clip.reader import PartReader, read_plan
from edge_agent.buffer.planning import Planner
from edge_agent.buffer.recovery import AT_ONCE
from edge_agent.buffer.rescue import open_read_only
from edge_agent.contract.clip import Interval
from edge_agent.contract.ring_protocol import PlanRequest
from edge_agent.errors import RingRequestError, RingStorageError
from tests.support.rings import BOOT_IDS, REQUESTER, RingBench, clip_id

SECOND_US = 1_000_000


@pytest.fixture
def bench(tmp_path: Path) -> RingBench:
    return RingBench(tmp_path / "data")


@pytest.fixture
def begin_us(bench: RingBench) -> Iterator[int]:
    """When the footage begins: more segments than a start reads at once, two of them in no index."""
    begin_us = bench.clock.wall_us()
    ring = bench.open()
    bench.record(ring, 4 * (AT_ONCE + 3))
    ring._index.forget([AT_ONCE + 2, AT_ONCE + 3])
    ring.close()
    before = fingerprint(bench.data_dir)
    yield begin_us
    assert fingerprint(bench.data_dir) == before


def fingerprint(folder: Path) -> dict[Path, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def request(start_us: int, end_us: int) -> PlanRequest:
    return PlanRequest(clip_id=clip_id(1), interval=Interval(start_us=start_us, end_us=end_us), requester=REQUESTER)


def clip_of(bench: RingBench, scratch: Path, planner: Planner, asked: PlanRequest) -> list[bytes]:
    plan_file = scratch / planner.plan(asked).plan_file
    plan = read_plan(plan_file)
    assert not plan.gaps
    readers = [PartReader(bench.directory, plan_file, part) for part in plan.parts]
    parts = [b"".join(reader.chunks()) for reader in readers]
    for reader in readers:
        reader.close()
    return parts


def rescued(bench: RingBench, scratch: Path, asked: PlanRequest) -> list[bytes]:
    scratch.mkdir()
    with open_read_only(bench.data_dir, scratch, bench.camera, bench.context(), bench.clock, bench.probe) as planner:
        return clip_of(bench, scratch, planner, asked)


def test_every_state_of_the_index_gives_the_same_clip(bench: RingBench, begin_us: int, tmp_path: Path) -> None:
    asked = request(begin_us + SECOND_US, begin_us + 4 * (AT_ONCE + 3) * SECOND_US)
    clip = rescued(bench, tmp_path / "with-index", asked)
    assert clip
    assert clip == rescued(without_index(bench, tmp_path / "lost"), tmp_path / "without-index", asked)
    assert clip == rescued(with_spoilt_index(bench, tmp_path / "spoilt"), tmp_path / "another-index", asked)
    bench.reboot(3600, BOOT_IDS[1])
    assert clip == rescued(bench, tmp_path / "another-machine", asked)


def copied(bench: RingBench, data_dir: Path) -> RingBench:
    shutil.copytree(bench.data_dir, data_dir)
    return RingBench(data_dir, clock=bench.clock)


def without_index(bench: RingBench, data_dir: Path) -> RingBench:
    copy = copied(bench, data_dir)
    for path in copy.directory.glob("index.db*"):
        path.unlink()
    return copy


def with_spoilt_index(bench: RingBench, data_dir: Path) -> RingBench:
    copy = copied(bench, data_dir)
    (copy.directory / "index.db").write_bytes(b"no database" * 1000)
    return copy


def tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


def spoil(path: Path) -> None:
    path.write_bytes(b"\0" * path.stat().st_size)


@pytest.mark.parametrize(
    ("sequence", "harm"),
    [(1, tear), (AT_ONCE + 3, tear), (AT_ONCE + 3, spoil)],
    ids=["indexed-torn", "unknown-torn", "unknown-spoilt"],
)
def test_what_is_left_of_damaged_segments_is_used_and_they_are_left_alone(
    bench: RingBench, tmp_path: Path, sequence: int, harm: Callable[[Path], None]
) -> None:
    begin_us = bench.clock.wall_us()
    ring = bench.open()
    bench.record(ring, 4 * (AT_ONCE + 3))
    ring._index.forget([AT_ONCE + 3])
    ring.close()
    harm(bench.files()[sequence])
    before = fingerprint(bench.data_dir)
    (tmp_path / "scratch").mkdir()
    asked = request(begin_us, begin_us + 4 * (AT_ONCE + 3) * SECOND_US)
    with open_read_only(
        bench.data_dir, tmp_path / "scratch", bench.camera, bench.context(), bench.clock, bench.probe
    ) as planner:
        plan = read_plan(tmp_path / "scratch" / planner.plan(asked).plan_file)
    used = {piece.sequence for part in plan.parts for piece in part.ranges}
    assert used == set(bench.files()) - ({sequence} if harm is spoil else set())
    assert fingerprint(bench.data_dir) == before


def test_what_cannot_be_rescued_is_refused(bench: RingBench, begin_us: int, tmp_path: Path) -> None:
    with pytest.raises(RingRequestError, match="oldest footage"):
        rescued(bench, tmp_path / "scratch", request(SECOND_US, 2 * SECOND_US))
    with pytest.raises(RingStorageError, match="cannot rescue"):
        rescued(RingBench(tmp_path / "nothing"), tmp_path / "another", request(begin_us, begin_us + SECOND_US))
