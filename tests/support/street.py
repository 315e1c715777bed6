"""The drawn street of a `test:` camera, recorded by a real recorder, cut by the command line, read by time code."""

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from edge_agent.capture import timecode
from edge_agent.contract.clip import Manifest
from edge_agent.contract.jws import TrustedKeys
from edge_agent.contract.manifest import MANIFEST_FILE_NAME, read_manifest
from edge_agent.contract.times import format_utc
from edge_agent.evidence.keys import load_or_create_unit_key
from tests.support.polling import wait_until
from tests.support.processes import Processes
from tests.support.unit import START_TIMEOUT_S, Camera, Unit, running

FPS = 25
SEGMENTS = 4
SEGMENT_S = 2.9
"""Two groups of pictures of a second each a segment; also when a busy machine's first group lasts up to 0.4 s longer,
as a segment's length is judged by the longest of the recent groups."""


class RecordedPicture(NamedTuple):
    """What a picture of the ring says of itself, and where it lies."""

    utc_ms: int
    frame: int
    is_key: bool
    segment: int
    """Which of the ring's segments, from 0."""

    @property
    def code(self) -> timecode.TimeCode:
        return timecode.TimeCode(self.utc_ms, self.frame)


@dataclass(frozen=True)
class StreetClip:
    """A clip of one part as the command line saved it."""

    path: Path
    manifest: Manifest

    @property
    def start_ms(self) -> int:
        """Of the delivered interval."""
        return self.manifest.delivered.start_us // 1000

    @cached_property
    def codes(self) -> list[timecode.TimeCode]:
        """Of every picture that ffmpeg shows."""
        (part,) = self.manifest.parts
        return codes_in_ffmpeg(self.path, part.width_px, part.height_px)


class Street:
    """A unit that has recorded some segments of its street and stopped."""

    def __init__(self, unit: Unit) -> None:
        self.pictures = [
            RecordedPicture(*_code(luma), is_key, segment)
            for segment, path in enumerate(unit.segment_files())
            for luma, is_key in _decoded(path)
        ]
        self._unit = unit
        self._clips = 0
        self.start_ms = cache(self._start_ms)

    def key(self, segment: int, number: int) -> int:
        """Index of one of a segment's key pictures, counted from 0."""
        keys = [index for index, shown in enumerate(self.pictures) if shown.is_key and shown.segment == segment]
        return keys[number]

    def halfway_before(self, index: int) -> int:
        """UTC in ms between a picture and the one before."""
        return (self.pictures[index - 1].utc_ms + self.pictures[index].utc_ms) // 2

    def _start_ms(self, index: int) -> int:
        """The start that a picture is delivered with when it is the first at or after the asked one."""
        before_ms = self.halfway_before(index)
        return self.clip(before_ms, before_ms + 500).start_ms

    def after(self, index: int, seconds: float) -> int:
        """Index of the first picture so long after another."""
        wanted_ms = self.pictures[index].utc_ms + seconds * 1000
        return next(later for later, shown in enumerate(self.pictures) if shown.utc_ms >= wanted_ms)

    def clip(self, from_ms: int, to_ms: int) -> StreetClip:
        """`edge-agent clip` of this interval."""
        self._clips += 1
        folder = self._unit.directory / f"clip-{self._clips}"
        interval = ("--from", format_utc(from_ms * 1000), "--to", format_utc(to_ms * 1000))
        why = ("--reference", "PV 2026/118", "--purpose", "requisition")
        done = self._unit.cli("clip", "main", *interval, *why, "-o", folder)
        assert done.returncode == 0, done.stderr
        keys = TrustedKeys.from_jwks(load_or_create_unit_key(self._unit.data_dir).public_jwk())
        manifest = read_manifest((folder / MANIFEST_FILE_NAME).read_text(), keys)
        (part,) = manifest.parts
        return StreetClip(folder / part.file_name, manifest)


def recorded_street(directory: Path, camera: Camera, processes: Processes) -> Iterator[Street]:
    """For fixtures: a recorder draws and records its street until `SEGMENTS` segments are whole."""
    settings = {"name": "main", "source": "test:", "fps": FPS, "segment_s": SEGMENT_S, "min_free_bytes": 1_000_000}
    unit = Unit(directory, processes, [settings | camera])
    for _ in running(unit):
        recorder = unit.spawn("record", "main")
        wait_until(lambda: len(unit.segment_files()) > SEGMENTS, what="segments", timeout_s=START_TIMEOUT_S)
        recorder.terminate()
        assert recorder.wait(30) == 0
        yield Street(unit)


def codes_in_ffmpeg(clip: Path, width_px: int, height_px: int) -> list[timecode.TimeCode]:
    """Time codes of every picture that ffmpeg, which honours edit lists, shows of a file."""
    command = ["ffmpeg", "-v", "error", "-i", str(clip), "-fps_mode", "passthrough"]
    raw = [*command, "-f", "rawvideo", "-pix_fmt", "gray", "-"]
    done = subprocess.run(raw, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=120)
    assert done.stderr == b""
    shown = np.frombuffer(done.stdout, dtype=np.uint8).reshape(-1, height_px, width_px)
    return [code_in(luma) for luma in shown]


def code_in(luma: NDArray[np.uint8]) -> timecode.TimeCode:
    """The time code of a picture, as the project's own reader reads it."""
    code = timecode.read(luma)
    assert code is not None, "no time code can be read"
    return code


def _code(luma: NDArray[np.uint8]) -> tuple[int, int]:
    code = code_in(luma)
    return code.utc_ms, code.frame


def _decoded(path: Path) -> Iterator[tuple[NDArray[np.uint8], bool]]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield np.asarray(frame.reformat(format="gray").to_ndarray(), dtype=np.uint8), bool(frame.key_frame)


def codes(pictures: Sequence[RecordedPicture]) -> list[timecode.TimeCode]:
    return [shown.code for shown in pictures]
