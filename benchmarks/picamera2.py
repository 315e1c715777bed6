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

import psutil

from benchmarks.measure import cpu_s, percentile
from benchmarks.row import Row, format_table
from edge_agent.buffer.segment_scan import scan_segment
from edge_agent.clock import SystemClock

WIDTH_PX, HEIGHT_PX, FPS, KBPS = 1920, 1080, 25, 4000
BAR = 1.05
_WINDOW_S = 60.0
_CLOCK = SystemClock()
_SETTLE_S = 8.0
_POLL_S = 0.005
_PICTURE_MS = 1000 / FPS
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
        started = [cpu_s(psutil.Process(process.pid)) for process in (ours, peer, bare)]
        ages_ms = _ages_ms(ring, window_s)
        ended = [cpu_s(psutil.Process(process.pid)) for process in (ours, peer, bare)]
        if any(process.poll() is not None for process in (ours, peer, bare)):
            raise RuntimeError("a process ended before its time")
    finally:
        for process in (ours, peer, bare):
            process.kill()
            process.wait()
    ours_s, peer_s, bare_s = (after - before for before, after in zip(started, ended, strict=True))
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
    yield Row(
        name="picamera2: from the sensor's stamp to the fragment on the disk, p50",
        ours=percentile(ages_ms, 50),
        unit="ms",
        note=f"{len(ages_ms)} pictures in fragments of a second, at the write that the sync follows at once; p99"
        f" {percentile(ages_ms, 99):.0f} ms",
    )


def _start(module: str, *words: str) -> "Popen[bytes]":
    return Popen([sys.executable, "-m", module, *words], stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)


def _ages_ms(ring: Path, seconds: float) -> list[float]:
    """How old each picture is when its fragment is written; spends so many seconds."""
    clock, grown = SystemClock(), dict[Path, list[tuple[int, int]]]()
    end_us = clock.monotonic_us() + round(seconds * 1e6)
    while (now_us := clock.monotonic_us()) < end_us:
        path = max((ring / "segments").rglob("*.mp4"))
        size_bytes = path.stat().st_size
        sizes = grown.setdefault(path, [(size_bytes, now_us)])
        if size_bytes > sizes[-1][0]:
            sizes.append((size_bytes, now_us))
        _CLOCK.sleep(_POLL_S)
    return [age_ms for path, sizes in grown.items() for age_ms in _ages_in(ring, path, sizes[1:])]


def _ages_in(ring: Path, path: Path, sizes: list[tuple[int, int]]) -> Iterator[float]:
    info = scan_segment(path, ring).info
    fragments = list(info.fragments) if info is not None else []
    for size_bytes, now_us in sizes:
        record = [fragment for fragment in fragments if fragment.payload_offset < size_bytes][-1].record
        yield from ((now_us - record.monotonic_us) / 1000 - number * _PICTURE_MS for number in range(record.samples))


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
