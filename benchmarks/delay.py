"""How old pictures are when their fragment is written: the files of a ring are watched as they grow."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.measure import percentile
from benchmarks.row import Row
from edge_agent.buffer.segment_scan import scan_segment
from edge_agent.clock import SystemClock

_CLOCK = SystemClock()
_POLL_S = 0.005


def ages_ms(ring: Path, seconds: float, fps: float) -> list[float]:
    """How old each picture is when the fragment that it is in has been written; spends so many seconds.

    Args:
        ring: of a camera that is recorded.
        seconds: for so long.
        fps: nominal pictures a second; pictures of a fragment are taken to be as far apart as that says.
    """
    grown: dict[Path, list[tuple[int, int]]] = {}
    end_us = _CLOCK.monotonic_us() + round(seconds * 1e6)
    while (now_us := _CLOCK.monotonic_us()) < end_us:
        path = max((ring / "segments").rglob("*.mp4"))
        size_bytes = path.stat().st_size
        sizes = grown.setdefault(path, [(size_bytes, now_us)])
        if size_bytes > sizes[-1][0]:
            sizes.append((size_bytes, now_us))
        _CLOCK.sleep(_POLL_S)
    return [age_ms for path, sizes in grown.items() for age_ms in _ages_in(ring, path, sizes[1:], 1000 / fps)]


def _ages_in(ring: Path, path: Path, sizes: list[tuple[int, int]], picture_ms: float) -> Iterator[float]:
    info = scan_segment(path, ring).info
    fragments = list(info.fragments) if info is not None else []
    for size_bytes, now_us in sizes:
        record = [fragment for fragment in fragments if fragment.payload_offset < size_bytes][-1].record
        yield from ((now_us - record.monotonic_us) / 1000 - number * picture_ms for number in range(record.samples))


def delay_row(camera: str, ages: Sequence[float]) -> Row:
    """The row of a camera's pictures."""
    return Row(
        name=f"{camera}: from a picture's stamp to its fragment on the disk, p50",
        ours=percentile(ages, 50),
        unit="ms",
        note=f"{len(ages)} pictures in fragments of a second, at the write that the sync follows at once; p99"
        f" {percentile(ages, 99):.0f} ms",
    )
