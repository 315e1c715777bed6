"""CPU that the hook between sensor and encoder takes, picture by picture, against ffmpeg's overlay of a mask picture.

Pictures come in real time and are encoded by x264 afterwards, as in a recorder: in a loop that does nothing else all
would be in the processor's caches, and cost nothing. What is measured is one thread's CPU time, `picture_of` included
as `FramePipeline` calls it.
"""

import math
import resource
import subprocess
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
from PIL import Image, ImageDraw

from benchmarks.measure import percentile
from benchmarks.row import Row
from benchmarks.workspace import Workspace
from edge_agent.camera_settings import Polygon
from edge_agent.capture.encoding.encoder import EncodeOrder
from edge_agent.capture.encoding.libav_encoder import LibavEncoder
from edge_agent.capture.frames.hook import FrameHook
from edge_agent.capture.frames.picture import picture_of
from edge_agent.capture.frames.sampling import ImageSampler
from edge_agent.clock import SystemClock
from edge_agent.contract.access_unit import TIMESCALE_HZ

_WIDTH_PX, _HEIGHT_PX, _FPS = 1920, 1080, 25
_PICTURES, _QUICK_PICTURES = 750, 125
_FRAMES = 8
_MASKS, _POINTS, _RADIUS = 8, 20, 0.1
_ORDER = EncodeOrder("h264", _WIDTH_PX, _HEIGHT_PX, Fraction(_FPS), 4000, _FPS)
_CLOCK = SystemClock()
_NOTHING_BAR_MS = 0.1
_MASKS_BAR_PERCENT = 3.0
_PEER_SHARES = 5  # times as many pictures; the peer needs more for its difference, and is fast


def run(workspace: Workspace) -> Iterator[Row]:
    """CPU a picture, and in percent of a core."""
    directory = workspace.directory("hook")
    count = _QUICK_PICTURES if workspace.quick else _PICTURES
    masks = circles()
    frames = _draw(directory / "frames.yuv")
    nothing_ms = _spent_ms(FrameHook((), _CLOCK), frames, count)
    yield Row(
        name="frame hook with nothing in it, 1080p",
        ours=_mean(nothing_ms),
        unit="ms",
        judge="ours",
        bar=_NOTHING_BAR_MS,
        note=f"mean of {count} pictures, each encoded afterwards; p99 {percentile(nothing_ms, 99):.3f} ms",
    )
    sampled_ms = _spent_ms(FrameHook((), _CLOCK, sampler=ImageSampler()), frames, count)
    yield Row(
        name="frame hook with image health, 1080p",
        ours=_mean(sampled_ms),
        unit="ms",
        note=f"mean of {count} pictures; the one in a second that is looked at {_mean(sampled_ms[::_FPS]):.2f} ms",
    )
    masked_ms = _spent_ms(FrameHook(masks, _CLOCK), frames, count)
    yield Row(
        name="eight masks of 20 points, 1080p25",
        ours=_percent(_mean(masked_ms)),
        unit="% of a core",
        peer=_percent(_overlay_ms(directory, masks, count * _PEER_SHARES)),
        peer_name="ffmpeg -filter_complex overlay of one picture with all masks, less ffmpeg without it",
        judge="ours",
        bar=_MASKS_BAR_PERCENT,
        note=f"a quarter of the picture; {_mean(masked_ms):.2f} ms a picture, p99 {percentile(masked_ms, 99):.2f} ms",
    )


def circles() -> tuple[Polygon, ...]:
    """Masks in two rows, nearly round, each as wide as a fifth of the picture and as high as a fifth of it."""
    corners = [(math.cos(angle), math.sin(angle)) for angle in (math.tau * at / _POINTS for at in range(_POINTS))]
    centres = [(0.125 + 0.25 * (number % 4), 0.25 + 0.5 * (number // 4)) for number in range(_MASKS)]
    return tuple(tuple((x + _RADIUS * dx, y + _RADIUS * dy) for dx, dy in corners) for x, y in centres)


def _draw(path: Path) -> list[av.VideoFrame]:
    """Pictures with noise, in a file and in memory."""
    scene = f"testsrc2=size={_WIDTH_PX}x{_HEIGHT_PX}:rate={_FPS},noise=alls=8:allf=t"
    words = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", scene, "-frames:v", str(_FRAMES), "-pix_fmt", "yuv420p"]
    subprocess.run([*words, "-f", "rawvideo", path], check=True, stdin=subprocess.DEVNULL)
    data = path.read_bytes()
    frames = []
    for _ in range(_FRAMES):
        frame = av.VideoFrame(_WIDTH_PX, _HEIGHT_PX, "yuv420p")
        for plane in frame.planes:
            plane.update(data[: plane.buffer_size])
            data = data[plane.buffer_size :]
        frames.append(frame)
    return frames


def _spent_ms(hook: FrameHook, frames: Sequence[av.VideoFrame], count: int) -> list[float]:
    """CPU that each picture takes; the first, in which masks are worked out, is not among them."""
    encoder, spent = LibavEncoder("libx264", _ORDER), []
    due_us = _CLOCK.monotonic_us()
    for number in range(count + 1):
        due_us += 1_000_000 // _FPS
        _CLOCK.sleep(max(due_us - _CLOCK.monotonic_us(), 0) / 1e6)
        frame = frames[number % len(frames)]
        time.thread_time_ns()  # what measures is not to be cold, too
        begin_ns = time.thread_time_ns()
        hook.apply(picture_of(frame), (number - 1) * 1_000_000 // _FPS)
        spent.append((time.thread_time_ns() - begin_ns) / 1e6)
        frame.pts = number * TIMESCALE_HZ // _FPS
        encoder.encode(frame, is_key=False)
    encoder.finish()
    if hook.figures.unmasked or hook.figures.samples_skipped:
        raise RuntimeError(f"not every picture was drawn on and looked at: {hook.figures}")
    return spent[1:]


def _overlay_ms(directory: Path, masks: Sequence[Polygon], count: int) -> float:
    picture = Image.new("RGBA", (_WIDTH_PX, _HEIGHT_PX), (0, 0, 0, 0))
    pen = ImageDraw.Draw(picture)
    for mask in masks:
        pen.polygon([(x * _WIDTH_PX, y * _HEIGHT_PX) for x, y in mask], fill=(0, 0, 0, 255))
    picture.save(directory / "masks.png")
    drawn = ["-i", str(directory / "masks.png"), "-filter_complex", "[0:v][1:v]overlay=format=yuv420"]
    frames = directory / "frames.yuv"
    return (_ffmpeg_s(frames, count, drawn) - _ffmpeg_s(frames, count, [])) * 1000 / count


def _ffmpeg_s(frames: Path, count: int, filters: list[str]) -> float:
    """CPU of so many pictures through ffmpeg, to nowhere."""
    source = ["-stream_loop", "-1", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{_WIDTH_PX}x{_HEIGHT_PX}"]
    words = ["ffmpeg", "-v", "error", "-filter_complex_threads", "1", *source, "-i", str(frames), *filters]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*words, "-frames:v", str(count), "-f", "null", "-"], check=True, stdin=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _percent(picture_ms: float) -> float:
    return picture_ms * _FPS / 10
