import errno
import os
from pathlib import Path

import pytest

from edge_agent import durable


def test_a_file_is_created_with_its_mode_and_nothing_beside_it(tmp_path: Path) -> None:
    durable.create_file(tmp_path / "a", [b"one ", b"two"], 0o600)
    assert (tmp_path / "a").read_bytes() == b"one two"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_taken_name_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        durable.create_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_name_taken_while_writing_is_left_alone(tmp_path: Path) -> None:
    def pieces() -> list[bytes]:
        (tmp_path / "a").write_bytes(b"other process")
        return [b"new"]

    with pytest.raises(FileExistsError):
        durable.create_file(tmp_path / "a", (piece for _ in range(1) for piece in pieces()))
    assert (tmp_path / "a").read_bytes() == b"other process"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_failing_producer_leaves_nothing(tmp_path: Path) -> None:
    def pieces() -> list[bytes]:
        raise OSError(errno.EIO, "input")

    with pytest.raises(OSError, match="input"):
        durable.create_file(tmp_path / "a", (piece for _ in range(1) for piece in pieces()))
    assert list(tmp_path.iterdir()) == []


def test_file_systems_without_hard_links_are_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    durable.create_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    with pytest.raises(FileExistsError):
        durable.create_file(tmp_path / "a", b"newer")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_moved_file_has_its_new_name_alone(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"bytes")
    durable.move_file(tmp_path / "a", tmp_path / "b")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"b": b"bytes"}


def test_no_file_is_moved_over_another(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"new")
    (tmp_path / "b").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        durable.move_file(tmp_path / "a", tmp_path / "b")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"new", "b": b"old"}


def test_a_file_is_moved_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_more: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "a").write_bytes(b"bytes")
    durable.move_file(tmp_path / "a", tmp_path / "b")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"b": b"bytes"}
