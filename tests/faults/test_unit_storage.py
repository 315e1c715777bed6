"""What a power cut, a person or a full disk leaves: the next start records on, and nothing good is lost."""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from csu.verify import verify_clip
from edge_agent.buffer.segment_scan import scan_segment
from edge_agent.contract.jws import TrustedKeys
from edge_agent.contract.times import format_utc
from edge_agent.evidence.keys import load_or_create_unit_key
from edge_agent.paths import ring_directory
from tests.support.mounts import require_mounts
from tests.support.polling import wait_until
from tests.support.processes import Processes
from tests.support.unit import Unit, plain_environment, running, small_camera

pytestmark = pytest.mark.faults

REASON = ("--reference", "PV 2026/118", "--purpose", "requisition")


@pytest.fixture
def unit(tmp_path: Path, processes: Processes) -> Iterator[Unit]:
    yield from running(Unit(tmp_path / "unit", processes, [small_camera(segment_s=4)]))


def record_some(unit: Unit) -> tuple[int, int]:
    """Record, then die as in a power cut while the newest file is more than its tail; an interval that is on disk."""
    if not unit.pids():
        unit.start()
    start_us = unit.newest_us("main") or 0
    unit.wait_footage_after("main", start_us + 2_500_000)
    wait_until(lambda: len(newest_fragments(unit)) in {2, 3}, what="a file of two fragments", timeout_s=60)
    unit.cut_power()
    return start_us, start_us + 2_000_000


def newest_fragments(unit: Unit) -> list[tuple[int, int]]:
    """Where the good ones of the newest file lie: offsets and lengths."""
    info = scan_segment(unit.segment_files()[-1], ring_directory(unit.data_dir, "main")).info
    return [] if info is None else list(zip(info.fragments.offsets, info.fragments.lengths_bytes, strict=True))


def check_clip(unit: Unit, interval: tuple[int, int], folder: Path) -> None:
    """The interval can still be had, whole and verified."""
    times = ("--from", format_utc(interval[0]), "--to", format_utc(interval[1]))
    outcome = unit.cli("clip", "main", *times, *REASON, "-o", folder)
    assert outcome.returncode == 0, outcome.stderr
    assert "gap" not in outcome.stdout
    keys = TrustedKeys.from_jwks(load_or_create_unit_key(unit.data_dir).public_jwk())
    verdict = verify_clip(folder, keys)
    assert verdict.ok, verdict


def good_samples(unit: Unit) -> int:
    """Pictures of the files as they lie there, torn tails left out."""
    return good_samples_of(unit, unit.segment_files())


def good_samples_of(unit: Unit, files: list[Path]) -> int:
    root = ring_directory(unit.data_dir, "main")
    infos = [scan_segment(path, root).info for path in files]
    return sum(len(info.samples) for info in infos if info is not None)


def delete_index(unit: Unit) -> None:
    for path in ring_directory(unit.data_dir, "main").glob("index.db*"):
        path.unlink()


def fill_index_with_garbage(unit: Unit) -> None:
    path = ring_directory(unit.data_dir, "main") / "index.db"
    path.write_bytes(random.Random(4).randbytes(path.stat().st_size))


def spoil_pages_of_index(unit: Unit) -> None:
    path = ring_directory(unit.data_dir, "main") / "index.db"
    for log in path.parent.glob("index.db-*"):
        log.unlink()
    content = bytearray(path.read_bytes())
    content[4096 : 4096 + 8192] = random.Random(5).randbytes(8192)
    path.write_bytes(content)


def tear_tail(unit: Unit) -> None:
    offset, length = newest_fragments(unit)[-1]
    os.truncate(unit.segment_files()[-1], offset + random.Random(6).randrange(length * 3 // 4, length))


def append_zeros(unit: Unit) -> None:
    with unit.segment_files()[-1].open("ab") as newest:
        newest.write(bytes(50_000))


def tear_tail_and_delete_index(unit: Unit) -> None:
    tear_tail(unit)
    delete_index(unit)


HARMS: list[Callable[[Unit], None]] = [
    delete_index,
    fill_index_with_garbage,
    spoil_pages_of_index,
    tear_tail,
    append_zeros,
    tear_tail_and_delete_index,
]


def test_whatever_is_harmed_the_next_start_records_on_and_loses_nothing_good(tmp_path: Path, unit: Unit) -> None:
    intervals = []
    for harm in HARMS:
        intervals.append(record_some(unit))
        harm(unit)
        files, samples = unit.segment_files(), good_samples(unit)
        unit.start()
        assert unit.segment_files()[: len(files)] == files, harm.__name__
        assert good_samples_of(unit, files) == samples, harm.__name__
        check_clip(unit, intervals[-1], tmp_path / harm.__name__)
    coverage = unit.coverage()
    assert coverage.oldest_us is not None
    assert coverage.oldest_us <= intervals[0][0]
    assert {cause for _, cause in unit.gaps()} == {"restart"}
    check_clip(unit, intervals[0], tmp_path / "oldest")
    assert unit.end() == 0
    assert unit.scanned()  # every file is good to its last byte
    assert not list((ring_directory(unit.data_dir, "main") / "damaged").glob("*.mp4"))


def test_a_data_directory_that_refuses_is_told_and_tried_again(unit: Unit) -> None:
    unit.data_dir.write_text("a file stands where the data directory should be")
    alone = unit.cli("record", "main")
    assert alone.returncode == 1
    assert f"data_dir {unit.data_dir} is no folder" in alone.stderr
    assert "Traceback" not in alone.stderr
    unit.start(wait=False)
    recorder = unit.pid_of("record main")
    link = unit.pid_of("link")
    unit.wait_other_pid("link", link)
    unit.data_dir.unlink()
    unit.wait_recording()
    assert unit.pid_of("record main") == recorder
    assert unit.end() == 0


def test_a_data_directory_that_refuses_keeps_nobody_from_ending(unit: Unit) -> None:
    unit.data_dir.write_text("a file stands where the data directory should be")
    unit.start(wait=False)
    recorder = unit.pid_of("record main")
    unit.wait_other_pid("link", unit.pid_of("link"))
    assert unit.pid_of("record main") == recorder
    assert unit.end() == 0


READ_ONLY_FOR_A_WHILE = """
set -e
mount -t tmpfs -o size=40m,ro none "$DATA"
"$PYTHON" -m edge_agent record main --config "$CONFIG" 2>"$SAID" || test $? = 1
"$PYTHON" -m edge_agent run --config "$CONFIG" & unit=$!
until test -e "$GO"; do sleep 0.2; done
mount -o remount,rw "$DATA"
wait "$unit"
"""


def test_storage_that_is_read_only_is_told_and_waited_for(tmp_path: Path, processes: Processes) -> None:
    require_mounts(tmp_path / "trial")
    unit = Unit(tmp_path / "unit", processes, [small_camera(segment_s=1)])
    unit.data_dir.mkdir()
    go, said = tmp_path / "go", tmp_path / "said"
    places = {"DATA": unit.data_dir, "CONFIG": unit.settings_file, "GO": go, "SAID": said}
    more = {name: str(path) for name, path in places.items()} | {"PYTHON": unit.command()[0]}
    with (unit.directory / "log-read-only.txt").open("wb") as log:
        script = ["unshare", "-rm", "sh", "-c", READ_ONLY_FOR_A_WHILE]
        process = processes.start(script, env=plain_environment(**more), stdout=log, stderr=log)
    seen: dict[str, set[int]] = {"record": set(), "link": set()}

    def links() -> int:
        # Not `recursive`: what a recorder forks (chronyc) bears the recorder's command line until its exec.
        services = psutil.Process(process.pid).children()
        for child in (child for service in services for child in children_of(service)):
            with suppress(psutil.NoSuchProcess):
                words = child.cmdline()
                if "--take-over" in words:
                    seen[words[words.index("edge_agent") + 1]].add(child.pid)
        return len(seen["link"])

    wait_until(lambda: links() > 3, what="a link that ends again and again", timeout_s=120)
    assert f"data_dir {unit.data_dir} is on read-only storage" in said.read_text(encoding="utf-8")
    go.touch()
    segments = Path(f"/proc/{process.pid}/root{unit.data_dir}/ring/main/segments")
    wait_until(lambda: links() and len(list(segments.rglob("*.mp4"))) > 1, what="footage", timeout_s=90)
    assert len(seen["record"]) == 1
    assert process.poll() is None


def children_of(process: psutil.Process) -> list[psutil.Process]:
    """None when it ended meanwhile."""
    with suppress(psutil.NoSuchProcess):
        return process.children()
    return []


FULL_DISK = """
set -e
mount -t tmpfs -o size=12m none "$DATA"
"$PYTHON" -m edge_agent record main --config "$CONFIG" & recorder=$!
for _ in $(seq 300); do
    [ "$(find "$DATA/ring/main/segments" -name '*.mp4' 2>/dev/null | wc -l)" -ge 5 ] && break
    sleep 0.2
done
kill "$recorder"; wait "$recorder"
dd if=/dev/zero of="$DATA/other" bs=4k 2>/dev/null || true
rm -f "$DATA"/ring/main/index.db-*
test "$(df --output=avail "$DATA" | tail -n 1)" -lt 64
exec "$PYTHON" -m edge_agent record main --config "$CONFIG"
"""


def test_a_recorder_starts_on_a_full_disk_and_makes_room(tmp_path: Path, processes: Processes) -> None:
    require_mounts(tmp_path / "trial")
    camera = small_camera(width=320, height=240, bitrate_kbps=4000, segment_s=1)
    unit = Unit(tmp_path / "unit", processes, [camera])
    unit.data_dir.mkdir()
    environment = {"DATA": unit.data_dir, "PYTHON": unit.command()[0], "CONFIG": unit.settings_file}
    with (unit.directory / "log-full.txt").open("wb") as log:
        process = processes.start(
            ["unshare", "-rm", "sh", "-c", FULL_DISK],
            env=os.environ | {name: str(value) for name, value in environment.items()},
            stdout=log,
            stderr=log,
        )
    inside = Path(f"/proc/{process.pid}/root{unit.data_dir}")

    def newest() -> int:
        return max((int(path.stem) for path in (inside / "ring/main/segments").rglob("*.mp4")), default=0)

    wait_until((inside / "other").exists, what="a full disk", timeout_s=90)
    before = newest()
    wait_until(lambda: newest() > before + 1, what="footage after the start", timeout_s=60)
    assert process.poll() is None
