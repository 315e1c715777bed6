"""The streets that the demonstration draws: a whole file, another one for another place."""

from pathlib import Path

import av
import pytest

from csu.demo import scene


def test_a_street_is_a_whole_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene, "DURATION_S", 1)
    pictures = []
    for number in (0, 1):
        path = tmp_path / f"{number}.mp4"
        scene.draw(path, number, "Place Bellecour")
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            frames = [frame.to_ndarray(format="gray") for frame in container.decode(stream)]
            assert (stream.width, stream.height) == (scene.WIDTH_PX, scene.HEIGHT_PX)
            assert float(stream.average_rate or 0) == scene.FPS
            assert not stream.codec_context.has_b_frames
        assert len(frames) == scene.FPS
        assert any((frame != frames[0]).any() for frame in frames)
        pictures.append(frames[0])
    assert (pictures[0] != pictures[1]).any()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.mp4", "1.mp4"]
