"""The segment format, byte for byte: what is written today is what was written before, and that can still be read."""

from pathlib import Path

from edge_agent.buffer.segment_scan import scan_segment
from tests.golden_segment import CONFIG, GOLDEN, units, write
from tests.support.segments import samples_of


def test_a_segment_has_the_golden_bytes(tmp_path: Path) -> None:
    info = write(tmp_path)
    assert (tmp_path / info.file).read_bytes() == GOLDEN.read_bytes()


def test_the_golden_segment_reads_as_it_was_written(tmp_path: Path) -> None:
    written = write(tmp_path)
    result = scan_segment(GOLDEN, GOLDEN.parent)
    assert (result.info, result.problem) == (written, None)


def test_the_golden_segment_says_what_its_units_said() -> None:
    info = scan_segment(GOLDEN, GOLDEN.parent).info
    assert info is not None
    assert samples_of(GOLDEN.parent, info) == [unit.data for unit in units()]
    assert list(info.samples.dts_90k) == [unit.dts_90k for unit in units()]
    assert list(info.samples.pts_90k) == [unit.pts_90k for unit in units()]
    assert list(info.samples.key_indices) == [0, 4]
    assert info.config == CONFIG
    first, second = (entry.record for entry in info.fragments)
    assert (first.clock_source, first.bound_us, first.closed_early) == ("chrony", 5_000, False)
    assert (second.clock_source, second.bound_us, second.closed_early) == ("unknown", None, True)
    assert info.header.position is not None
    assert info.header.position.latitude_deg == 48.8566
