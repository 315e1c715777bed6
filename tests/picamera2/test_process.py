"""The whole recorder: two rings, clips of both, and what its supervisor sees of a camera that hangs."""

import itertools
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import av
import psutil
import pytest
from PIL import ExifTags, Image

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
"""
PROXY = """
[camera.proxy]
sync = "fragment"
"""
FULL_SIZE = """
[camera.sensor]
full_size_stills = true
"""
REASON = ("--reference", "test", "--purpose", "test")


class Recorder:
    def __init__(self, folder: Path, tables: str = PROXY) -> None:
        self.config = folder / "unit.toml"
        self.config.write_text(SETTINGS.format(data=folder / "data") + tables)
        self.process = self.start()

    def start(self) -> "subprocess.Popen[str]":
        """Record; whoever asks for a clip before the recorder has its ring would take the ring from it."""
        process = self.spawn("record", "main")
        wait_until(lambda: "main: recording" in self.cli("status"), what="it records", timeout_s=60)
        return process

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
        code, said = self.outcome(*words)
        return said if code == 0 else ""

    def outcome(self, *words: object) -> tuple[int, str]:
        """Its exit code, and what it said."""
        process = self.spawn(*words)
        said, _ = process.communicate(timeout=60)
        return process.returncode, said

    def still(self, target: Path) -> Image.Image:
        """Once the camera runs."""
        wait_until(lambda: self.cli("still", "main", "-o", target), what="a still", timeout_s=60)
        image = Image.open(target)
        image.load()
        return image

    def clip(self, camera: str, at_least: int = 10) -> list[av.VideoFrame]:
        """The two seconds before the last one, as pictures, once they were recorded."""
        targets = (self.config.with_name(f"{camera}-{number}.mp4") for number in itertools.count())

        def frames() -> list[av.VideoFrame] | None:
            target = next(target for target in targets if not target.exists())
            if not self.cli("clip", camera, "--from", "-3s", "--to", "-1s", *REASON, "-o", target):
                return None
            with av.open(str(target)) as container:
                found = list(container.decode(video=0))
            return found if len(found) >= at_least else None

        return wait_until(frames, what=f"a clip of {camera}", timeout_s=60)

    def stamps(self) -> list[int]:
        """Of every picture of the main ring, in units of 1/90,000 s."""
        stamps: list[int] = []
        for file in sorted(self.config.parent.glob("data/ring/main/segments/**/*.mp4"), key=lambda path: path.stem):
            with av.open(str(file)) as container:
                stamps += [packet.pts for packet in container.demux(video=0) if packet.pts is not None]
        return stamps

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        said, _ = self.process.communicate(timeout=20)
        sys.stdout.write(said)  # for whoever looks at a test that failed


@pytest.fixture
def recorder(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Recorder]:
    recorder = Recorder(tmp_path, getattr(request, "param", PROXY))
    yield recorder
    recorder.end()


def test_clips_of_both_rings_can_be_played(recorder: Recorder) -> None:
    main = recorder.clip("main", at_least=20)
    proxy = recorder.clip("main-proxy")
    assert (main[0].width, main[0].height) == (1280, 720)
    assert (proxy[0].width, proxy[0].height) == (640, 360)
    assert len(main) <= 110  # from the key frame before to the end of a fragment
    assert len(proxy) <= 80
    memory = psutil.Process(recorder.process.pid).memory_info().rss
    assert memory < 400_000_000
    begin_us = SystemClock().monotonic_us()
    recorder.process.send_signal(signal.SIGTERM)
    assert recorder.process.wait(10) == 0
    assert SystemClock().monotonic_us() - begin_us < 5_000_000


def test_a_camera_that_hangs_for_good_ends_the_process_for_its_supervisor(recorder: Recorder) -> None:
    recorder.clip("main")
    recorder.process.send_signal(signal.SIGUSR2)
    assert recorder.process.wait(30) == 75
    recorder.process.communicate()
    recorder.process = recorder.start()
    recorder.clip("main")


def test_a_silent_camera_does_not_end_the_process(recorder: Recorder) -> None:
    recorder.clip("main")
    recorder.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: "no picture" in recorder.cli("status"), what="the camera is lost")
    assert "camera-lost" in recorder.cli("status")
    assert recorder.process.poll() is None
    code, said = recorder.outcome("still", "main", "--wait", "1", "-o", recorder.config.with_name("silent.jpg"))
    assert (code, "gave no picture" in said) == (1, True)


@pytest.mark.parametrize(
    ("recorder", "size"),
    [(PROXY, (1280, 720)), (FULL_SIZE, (1920, 1080)), (PROXY + FULL_SIZE, (1920, 1080))],
    indirect=["recorder"],
    ids=["ordinary", "full size", "full size and a proxy"],
)
def test_stills_of_a_whole_recorder_leave_no_hole(recorder: Recorder, size: tuple[int, int]) -> None:
    before_us = SystemClock().wall_us()
    recorder.clip("main")
    stills = [recorder.still(recorder.config.with_name(f"{number}.jpg")) for number in range(3)]
    for still in stills:
        assert still.size == size
        assert still.getexif()[ExifTags.Base.ImageDescription] == "nomad-07 main"
        details = still.getexif().get_ifd(ExifTags.IFD.Exif)
        assert details[ExifTags.Base.OffsetTimeOriginal] == "+00:00"
        taken = datetime.strptime(f"{details[ExifTags.Base.DateTimeOriginal]} +0000", "%Y:%m:%d %H:%M:%S %z")
        assert before_us // 1_000_000 <= taken.timestamp() <= SystemClock().wall_us() / 1e6
    frames = recorder.clip("main")
    assert (frames[0].width, frames[0].height) == (1280, 720)
    recorder.process.send_signal(signal.SIGTERM)
    assert recorder.process.wait(10) == 0
    stamps = recorder.stamps()
    assert len(stamps) > 100
    # The virtual sensor's pace is a thread's of this machine; a switch of modes would take about a second.
    assert max(after - before for before, after in itertools.pairwise(stamps)) < 90_000 / 2
