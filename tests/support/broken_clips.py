"""A recording that breaks off and changes, as cameras and recorders do, and the clip of several parts out of it."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from edge_agent.contract.access_unit import AccessUnit, Codec
from tests.builders import FIRST_DTS_90K, Stream
from tests.support.numbered import HEIGHT_PX, numbered_units
from tests.support.recording import record
from tests.support.saved_clips import SavedClip, asked_s, saved_clip

FPS = 25
SECONDS = 17
FROM_S, TO_S = 2.3, 16.5
NEXT_RUN_ID = "c2" * 16


@dataclass(frozen=True)
class Shown:
    """What a part shows: the pictures of these ranges; a hole between two lengthens the picture before it."""

    runs: tuple[range, ...]

    @property
    def pictures(self) -> list[tuple[int, int]]:
        """Number and time in ms of each."""
        first = self.runs[0].start
        return [(number, (number - first) * 1000 // FPS) for run in self.runs for number in run]

    @property
    def duration_ms(self) -> int:
        """Up to the end of the last one."""
        return (self.runs[-1].stop - self.runs[0].start) * 1000 // FPS


PARTS = (
    Shown((range(58, 100),)),  # the picture at 2.3 s, or the next one; the gap of 3 s follows
    Shown((range(175, 200), range(225, 250))),  # a hole of 1 s in it; then the resolution changes
    Shown((range(250, 300),)),  # then other parameters of the same resolution
    Shown((range(300, 350),)),  # then the recorder is started again
    Shown((range(350, 413),)),  # the last picture before 16.5 s
)


@cache
def _stream(codec: Codec, b_frames: int, options: str, height_px: int) -> Stream:
    return numbered_units(SECONDS, codec=codec, b_frames=b_frames, options=options, height_px=height_px)


def broken_clip(ring: Path, codec: Codec, b_frames: int, options: str) -> SavedClip:
    """Recorded in segments of up to 2 s, and saved; `PARTS` says what each part shows."""
    usual = _stream(codec, b_frames, options, HEIGHT_PX)
    taller = _stream(codec, b_frames, options, HEIGHT_PX + 48)
    other = _stream(codec, b_frames, ":".join(filter(None, (options, "ref=1:qpmin=12"))), HEIGHT_PX)
    assert len({usual.config, taller.config, other.config}) == 3
    infos = [
        record(ring, _cut(usual, 0, 50), 1),
        record(ring, _cut(usual, 50, 100), 2, opened_cause="rotation"),
        record(ring, _cut(usual, 175, 200), 3, opened_cause="camera-lost"),
        record(ring, _cut(usual, 225, 250), 4, opened_cause="camera-lost"),
        record(ring, _cut(taller, 250, 300), 5, opened_cause="parameters-changed"),
        record(ring, _cut(other, 300, 350), 6, opened_cause="parameters-changed"),
        record(ring, _begun_anew(_cut(other, 350, 425)), 7, opened_cause="restart", run_id=NEXT_RUN_ID),
    ]
    return saved_clip(ring, infos, asked_s(FROM_S, TO_S), ring / "out")


def _cut(stream: Stream, first: int, end: int) -> Stream:
    """From one key picture to before another, in decode order; both are whole seconds."""
    return Stream(stream.config, stream.units[first:end])


def _begun_anew(stream: Stream) -> Stream:
    """The same on the media time line of another life of the recorder."""
    shift_90k = stream.units[0].dts_90k - FIRST_DTS_90K
    return Stream(stream.config, tuple(_shifted(unit, shift_90k) for unit in stream.units))


def _shifted(unit: AccessUnit, shift_90k: int) -> AccessUnit:
    return replace(unit, pts_90k=unit.pts_90k - shift_90k, dts_90k=unit.dts_90k - shift_90k)
