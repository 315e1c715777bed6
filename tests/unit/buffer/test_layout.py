import os
from pathlib import Path

import pytest

from edge_agent.buffer.layout import list_segments, segment_file


def test_segments_are_listed_while_folders_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for sequence in (1, 999_999):
        path = tmp_path / segment_file(sequence)
        path.parent.mkdir(parents=True)
        path.touch()
    kept, removed = (tmp_path / segment_file(sequence) for sequence in (1, 999_999))
    (kept.parent.parent / "stray").touch()
    (kept.parent / "stray.mp4").touch()
    (removed.parent / kept.name).touch()
    assert list_segments(tmp_path).segments == {1, 999_999}
    is_dir, listdir = Path.is_dir, os.listdir

    def remove(path: Path) -> None:
        if path == removed.parent and is_dir(path):
            for name in listdir(path):
                (path / name).unlink()
            path.rmdir()

    def look(path: Path) -> bool:
        answer = is_dir(path)
        remove(path)
        return answer

    def read(path: Path) -> list[str]:
        remove(path)
        return listdir(path)

    monkeypatch.setattr(Path, "is_dir", look)
    monkeypatch.setattr(os, "listdir", read)
    assert list_segments(tmp_path).segments == {1}
