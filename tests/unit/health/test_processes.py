"""What the supervisor writes of restarts, and what the link makes of it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.clock import FakeClock
from edge_agent.health import process_diary
from edge_agent.health.process_diary import ProcessDiary
from edge_agent.health.processes import MAX_ENDS, ProcessBook, process_figures, read_process_book
from tests.support.polling import wait_until

BOOT_ID = "a" * 32
NAMES = ["record main", "link"]


def book_of(path: Path, is_awaited: Callable[[ProcessBook], bool]) -> ProcessBook:
    """The book once it says what is awaited: it is written by a thread."""

    def awaited() -> ProcessBook | None:
        book = read_process_book(path, BOOT_ID)
        return book if book is not None and is_awaited(book) else None

    return wait_until(awaited, what="the book")


def test_ends_are_counted_over_the_supervisors_lives(tmp_path: Path) -> None:
    clock, path = FakeClock(), tmp_path / "run" / "processes.json"
    diary = ProcessDiary(path, BOOT_ID, NAMES, clock)
    diary.ended("link", "exit code 1")
    book_of(path, lambda book: book.processes[1].restarts == 1)
    clock.advance(60)
    ProcessDiary(path, BOOT_ID, NAMES, clock).ended("link", "signal SIGKILL")
    book = book_of(path, lambda book: book.processes[1].restarts == 2)
    clock.advance(30)
    assert process_figures(book, clock) == {
        "supervisor_starts": 2,
        "processes": [
            {"name": "record main", "restarts": 0, "restarts_last_hour": 0},
            {
                "name": "link",
                "restarts": 2,
                "restarts_last_hour": 2,
                "last_restart_age_s": 30,
                "last_reason": "signal SIGKILL",
            },
        ],
    }


def test_another_boot_begins_at_zero(tmp_path: Path) -> None:
    path = tmp_path / "processes.json"
    ProcessDiary(path, "b" * 32, NAMES, FakeClock()).ended("link", "exit code 1")
    wait_until(lambda: read_process_book(path, "b" * 32), what="the other boot's book")
    assert read_process_book(path, BOOT_ID) is None
    ProcessDiary(path, BOOT_ID, NAMES, FakeClock())
    assert book_of(path, lambda book: book.supervisor_starts == 1).processes[1].restarts == 0


def test_instants_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "processes.json"
    diary = ProcessDiary(path, BOOT_ID, NAMES, FakeClock())
    for _ in range(100):
        diary.ended("link", "x" * 1000)
    record = book_of(path, lambda book: book.processes[1].restarts == 100).processes[1]
    assert (len(record.ends_us), len(record.last_reason)) == (MAX_ENDS, 200)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[" * 60_000,
        b'{"schema":"processes/2"}',
        json.dumps({"schema": "processes/1", "boot_id": BOOT_ID, "supervisor_starts": -1}).encode(),
        json.dumps({"schema": "processes/1", "boot_id": "x", "supervisor_starts": 1}).encode(),
        json.dumps(
            {"schema": "processes/1", "boot_id": BOOT_ID, "supervisor_starts": 1, "processes": [{"name": 7}]}
        ).encode(),
        b"9" * 200_000,
    ],
)
def test_a_book_of_garbage_is_none_and_is_written_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "processes.json"
    path.write_bytes(content)
    assert read_process_book(path, BOOT_ID) is None
    ProcessDiary(path, BOOT_ID, NAMES, FakeClock()).ended("link", "exit code 1")
    assert book_of(path, lambda book: book.processes[1].restarts == 1).supervisor_starts == 1


def test_a_disk_that_refuses_or_hangs_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[bytes] = []

    def refuse(_path: Path, content: bytes) -> None:
        refused.append(content)
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(process_diary, "write_file", refuse)
    path = tmp_path / "processes.json"
    diary = ProcessDiary(path, BOOT_ID, NAMES, FakeClock())
    wait_until(lambda: refused, what="a write")
    diary.ended("link", "exit code 1")
    wait_until(lambda: b"exit code 1" in refused[-1], what="another write")
    monkeypatch.undo()
    diary.ended("link", "exit code 2")
    assert book_of(path, lambda book: book.processes[1].restarts == 2).processes[1].last_reason == "exit code 2"
