"""The storage's figures on a made-up disk."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.health.answering import Answering
from edge_agent.health.disk import disk_figures
from edge_agent.health.storage import storage_figures
from edge_agent.settings import CameraSettings
from tests.support.fake_recorder import make_state
from tests.support.kernel_files import write

Statvfs = Callable[[Path], os.statvfs_result]


def statvfs(free_bytes: int, flags: int = 0, inodes: int = 100) -> Statvfs:
    found = os.statvfs_result((4096, 1, 10**12, free_bytes, free_bytes, inodes, 50, 50, flags, 255))
    return lambda _path: found


def test_days_that_fit() -> None:
    camera = CameraSettings(name="main", source="test:", min_free_bytes=0)
    state = make_state(bitrate_kbps=4000.0, size_bytes=0)
    figures = storage_figures({"free_bytes": 43_200_000_000}, [camera], [state])
    assert figures["days_that_fit"] == 1.0
    half = storage_figures({"free_bytes": 43_200_000_000}, [camera], [state], {"main": 8000.0})
    assert half["days_that_fit"] == 0.5
    bounded = camera.model_copy(update={"max_bytes": 21_600_000_000})
    assert storage_figures({"free_bytes": 10**12}, [bounded], [state])["days_that_fit"] == 0.5
    wanting = bounded.model_copy(update={"min_age_h": 24.0})
    assert storage_figures({"free_bytes": 10**12}, [wanting], [state])["retention_share"] == 0.5
    assert "days_that_fit" not in storage_figures({"free_bytes": 1}, [camera], [])
    assert "days_that_fit" not in storage_figures({}, [camera], [state])


def test_the_slowest_recorders_syncs_are_told() -> None:
    camera = CameraSettings(name="main", source="test:")
    states = [make_state(sync_p50_ms=4.04, sync_max_ms=900.0), make_state(sync_p50_ms=8.0), make_state()]
    figures = storage_figures({}, [camera], states)
    assert (figures["sync_p50_ms"], figures["sync_max_ms"]) == (8.0, 900.0)
    assert "sync_p50_ms" not in storage_figures({}, [camera], [make_state()])


def test_a_disk_says_its_space_and_whether_it_is_read_only(tmp_path: Path) -> None:
    figures = disk_figures(tmp_path, tmp_path, statvfs(1000))
    assert figures == {
        "free_bytes": 1000,
        "total_bytes": 10**12,
        "read_only": False,
        "free_inodes_share": 0.5,
    }
    assert disk_figures(tmp_path, tmp_path, statvfs(1000, os.ST_RDONLY))["read_only"] is True
    assert "free_inodes_share" not in disk_figures(tmp_path, tmp_path, statvfs(1000, inodes=0))  # btrfs


@pytest.mark.parametrize(
    ("options", "is_read_only"),
    [("rw,emergency_ro", True), ("rw", False), ("rw,shutdown", True), ("rw,errors=remount-ro", False), ("", False)],
)
def test_a_file_system_that_ext4_gave_up_is_read_only(tmp_path: Path, options: str, is_read_only: bool) -> None:
    device = tmp_path.stat().st_dev
    mine = f"{os.major(device)}:{os.minor(device)}"
    lines = [
        "29 1 0:25 / /sys rw,nosuid shared:7 - sysfs sysfs rw,emergency_ro",
        "garbage",
        " - ",
        f"44 27 {mine} / /data rw,relatime shared:1 - ext4 /dev/sda1 {options}",
    ]
    write(tmp_path, "proc/self/mountinfo", "\n".join(lines) + "\n")
    assert disk_figures(tmp_path, tmp_path, statvfs(1))["read_only"] is is_read_only


def test_a_disk_that_is_gone_says_nothing(tmp_path: Path) -> None:
    def gone(_path: Path) -> os.statvfs_result:
        raise OSError(5, "Input/output error")

    assert disk_figures(tmp_path, tmp_path, gone) == {}
    assert disk_figures(tmp_path / "missing", tmp_path) == {}


@pytest.mark.parametrize(("content", "errors"), [("3\n", 3), ("", None), ("-1\n", None), ("9" * 400, None)])
def test_ext4_says_how_many_errors_it_found(tmp_path: Path, content: str, errors: int | None) -> None:
    device = tmp_path.stat().st_dev
    write(tmp_path, "sys/fs/ext4/sda1/errors_count", content)
    place = tmp_path / f"sys/dev/block/{os.major(device)}:{os.minor(device)}"
    place.parent.mkdir(parents=True)
    place.symlink_to("../../devices/pci/block/sda/sda1")
    assert disk_figures(tmp_path, tmp_path, statvfs(1)).get("file_system_errors") == errors


def test_what_does_not_answer_is_asked_by_one_thread_alone() -> None:
    go_on, asked = threading.Event(), []

    def question() -> str:
        asked.append(1)
        go_on.wait(60)
        return "well"

    answering = Answering(question, 0.02, "nothing")
    assert [answering.ask() for _ in range(5)] == [None] * 5
    assert len(asked) == 1
    go_on.set()
    answering._limit_s = 20.0
    assert answering.ask() == "well"
    assert answering.ask() == "well"


def test_a_question_that_fails_has_an_answer_that_says_nothing() -> None:
    def question() -> str:
        raise OSError(5, "Input/output error")

    assert Answering(question, 20.0, "nothing").ask() == "nothing"
