"""Groups of pictures longer than a segment: the entry point lies in the segment before."""

from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.contract.access_unit import TIMESCALE_HZ
from tests.builders import Stream, make_units
from tests.support.rings import FPS, RingBench


class LongGroups(RingBench):
    """A camera with a key frame every ten seconds; segments end after four."""

    def stream(self, seconds: float) -> Stream:
        now_us = self.clock.monotonic_us()
        media_90k = now_us * TIMESCALE_HZ // 1_000_000
        return make_units(seconds, fps=FPS, gop=10 * FPS, first_dts_90k=media_90k, first_capture_us=now_us)


@pytest.mark.parametrize("offset_s", [1, 5, 8.4])
def test_the_key_frame_may_lie_segments_before(tmp_path: Path, offset_s: float) -> None:
    bench = LongGroups(tmp_path)
    ring = bench.open()
    start_us = bench.clock.wall_us()
    bench.record(ring, 9.8)
    result = bench.ask(ring, start_us + round(offset_s * 1e6), start_us + round((offset_s + 1) * 1e6))
    ring.close()
    assert result.delivered is not None
    assert result.delivered.start_us == start_us + round(offset_s * 1e6)


class GradualGroups(RingBench):
    """A camera that refreshes gradually: pictures are exact when decoding began five key pictures before."""

    def stream(self, seconds: float) -> Stream:
        now_us = self.clock.monotonic_us()
        media_90k = now_us * TIMESCALE_HZ // 1_000_000
        stream = make_units(seconds, fps=FPS, gop=FPS, first_dts_90k=media_90k, first_capture_us=now_us)
        first, *others = stream.units
        units = (first, *(replace(unit, keys_back=5) if unit.is_key else unit for unit in others))
        return replace(stream, units=units)


def test_the_keys_that_a_gradual_one_needs_may_lie_in_the_segment_before(tmp_path: Path) -> None:
    bench = GradualGroups(tmp_path)
    ring = bench.open()
    start_us = bench.clock.wall_us()
    bench.record(ring, 9.8)
    result = bench.ask(ring, start_us + 8_200_000, start_us + 9_200_000)
    ring.close()
    assert result.delivered is not None
    assert result.delivered.start_us == start_us + 8_200_000
