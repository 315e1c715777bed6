"""CPU and delay of recording with picamera2, against picamera2's own recording of the same camera.

Runs in the tree of scripts/test-picamera2 (`scripts/test-picamera2 --bench [SECONDS]`), on libcamera's virtual
camera, with the same encoder and the same settings at the same time. Three processes: the recorder; a program of a
few lines with `LibavH264Encoder` and `PyavOutput`; and the camera alone, whose cost is in both of the others.
"""

import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from subprocess import DEVNULL, Popen

from benchmarks.delay import ages_ms, delay_row
from benchmarks.measure import cpu_spent_s
from benchmarks.row import Row, format_table
from edge_agent.clock import SystemClock

WIDTH_PX, HEIGHT_PX, FPS, KBPS = 1920, 1080, 25, 4000
BAR = 1.05
_WINDOW_S = 60.0
_CLOCK = SystemClock()
_SETTLE_S = 8.0
_POLL_S = 0.005
SETTINGS = f"""
[unit]
id = "nomad-07"
data_dir = "data"

[[camera]]
name = "main"
source = "picamera2:0"
width = {WIDTH_PX}
height = {HEIGHT_PX}
fps = {FPS}
bitrate_kbps = {KBPS}
"""


def main(arguments: list[str]) -> int:
    """Measure for so many seconds, or be one of the peers."""
    if arguments[:1] == ["peer"]:
        _record_with_picamera2(Path(arguments[1]))
    if arguments[:1] == ["bare"]:
        _run_the_camera()
    window_s = float(arguments[0]) if arguments else _WINDOW_S
    with tempfile.TemporaryDirectory(dir="/out") as folder:
        rows = list(_measure(Path(folder), window_s))
    print(format_table(rows))
    for row in rows:
        print(f"{row.name}: {row.note}")
    return 0 if all(row.passed is not False for row in rows) else 1


def _measure(folder: Path, window_s: float) -> Iterator[Row]:
    (folder / "unit.toml").write_text(SETTINGS.replace('"data"', f'"{folder}/data"'))
    ours = _start("tests.picamera2.recorder_main", "record", "main", "--config", str(folder / "unit.toml"))
    peer = _start("benchmarks.picamera2", "peer", str(folder / "peer.mp4"))
    bare = _start("benchmarks.picamera2", "bare")
    try:
        ring = folder / "data" / "ring" / "main"
        while not any((ring / "segments").rglob("*.mp4")):
            if ours.poll() is not None:
                raise RuntimeError(f"the recorder ended with {ours.returncode}")
            _CLOCK.sleep(_POLL_S)
        _CLOCK.sleep(_SETTLE_S)
        (ours_s, peer_s, bare_s), ages = cpu_spent_s([ours, peer, bare], lambda: ages_ms(ring, window_s, FPS))
    finally:
        for process in (ours, peer, bare):
            process.kill()
            process.wait()
    yield Row(
        name="record with picamera2, 1080p25 by libx264",
        ours=ours_s * 3600 / window_s,
        unit="CPU s/h",
        peer=peer_s * 3600 / window_s,
        peer_name="picamera2's LibavH264Encoder into its PyavOutput, same time",
        judge="ratio",
        bar=BAR,
        note=f"over {window_s:.0f} s; the camera alone takes {bare_s * 3600 / window_s:.0f} CPU s/h, which is in"
        f" both: {(ours_s - bare_s) / (peer_s - bare_s):.2f}× without it; every fragment synced (PyavOutput syncs"
        " nothing)",
    )
    yield delay_row("picamera2", ages)


def _start(module: str, *words: str) -> "Popen[bytes]":
    return Popen([sys.executable, "-m", module, *words], stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)


def _record_with_picamera2(target: Path) -> None:
    """As its manual has it, until killed."""
    from tests.picamera2.virtual import VirtualPicamera2, picamera2

    camera = VirtualPicamera2(0)
    camera.configure(camera.create_video_configuration(main={"size": (WIDTH_PX, HEIGHT_PX), "format": "YUV420"}))
    encoder = picamera2.encoders.LibavH264Encoder(bitrate=KBPS * 1000, iperiod=FPS, framerate=FPS, profile="high")
    camera.start_recording(encoder, picamera2.outputs.PyavOutput(str(target)))
    threading.Event().wait()


def _run_the_camera() -> None:
    """Nothing is made of its pictures, until killed."""
    from tests.picamera2.virtual import VirtualPicamera2

    camera = VirtualPicamera2(0)
    camera.configure(camera.create_video_configuration(main={"size": (WIDTH_PX, HEIGHT_PX), "format": "YUV420"}))
    camera.start()
    threading.Event().wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
