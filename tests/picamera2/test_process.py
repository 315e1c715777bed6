"""The whole recorder: two rings, clips of both, and what its supervisor sees of a camera that hangs."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import psutil
import pytest

from edge_agent.clock import SystemClock
from tests.support.polling import wait_until

SETTINGS = """
[unit]
id = "nomad-07"
data_dir = "{data}"

[[camera]]
name = "main"
source = "picamera2:0"
width = 1280
height = 720
bitrate_kbps = 1500
stall_timeout_s = 2.0
segment_s = 5

[camera.proxy]
sync = "fragment"
"""
REASON = ("--reference", "test", "--purpose", "test")


class Recorder:
    def __init__(self, folder: Path) -> None:
        self.config = folder / "unit.toml"
        self.config.write_text(SETTINGS.format(data=folder / "data"))
        self.process = self.spawn("record", "main")

    def spawn(self, *words: object) -> "subprocess.Popen[str]":
        command = [
            sys.executable,
            "-m",
            "tests.picamera2.recorder_main",
            *map(str, words),
            "--config",
            str(self.config),
        ]
        return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def cli(self, *words: object) -> str:
        process = self.spawn(*words)
        said, _ = process.communicate(timeout=60)
        return said if process.returncode == 0 else ""

    def clip(self, camera: str, target: Path) -> list[av.VideoFrame]:
        """The two seconds before the last one, as pictures."""

        def is_there() -> bool:
            target.unlink(missing_ok=True)
            return bool(self.cli("clip", camera, "--from", "-3s", "--to", "-1s", *REASON, "-o", target))

        wait_until(is_there, what=f"a clip of {camera}", timeout_s=60)
        with av.open(str(target)) as container:
            return list(container.decode(video=0))

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=20)


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    recorder = Recorder(tmp_path)
    yield recorder
    recorder.end()


def test_clips_of_both_rings_can_be_played(recorder: Recorder, tmp_path: Path) -> None:
    main = recorder.clip("main", tmp_path / "main.mp4")
    proxy = recorder.clip("main-proxy", tmp_path / "proxy.mp4")
    assert (main[0].width, main[0].height) == (1280, 720)
    assert (proxy[0].width, proxy[0].height) == (640, 360)
    assert 20 <= len(main) <= 110  # from the key frame before to the end of a fragment
    assert 10 <= len(proxy) <= 80
    memory = psutil.Process(recorder.process.pid).memory_info().rss
    assert memory < 400_000_000
    begin_us = SystemClock().monotonic_us()
    recorder.process.send_signal(signal.SIGTERM)
    assert recorder.process.wait(10) == 0
    assert SystemClock().monotonic_us() - begin_us < 5_000_000


def test_a_camera_that_hangs_for_good_ends_the_process_for_its_supervisor(recorder: Recorder, tmp_path: Path) -> None:
    recorder.clip("main", tmp_path / "main.mp4")
    recorder.process.send_signal(signal.SIGUSR2)
    assert recorder.process.wait(30) == 75
    recorder.process.communicate()
    recorder.process = recorder.spawn("record", "main")
    assert len(recorder.clip("main", tmp_path / "after.mp4")) >= 10


def test_a_silent_camera_does_not_end_the_process(recorder: Recorder, tmp_path: Path) -> None:
    recorder.clip("main", tmp_path / "main.mp4")
    recorder.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: "no picture" in recorder.cli("status"), what="the camera is lost")
    assert "camera-lost" in recorder.cli("status")
    assert recorder.process.poll() is None
