"""The clip format, byte for byte: what is planned today is what was planned before, and that can still be read."""

from csu.verify import verify_clip
from csu.verify.tables import read_tables
from edge_agent.contract.boxes import find
from tests.golden_clip import GOLDEN, plan, whole
from tests.golden_segment import units


def test_a_clip_has_the_golden_bytes() -> None:
    assert whole(plan()) == GOLDEN.read_bytes()


def test_the_golden_clips_tables_say_what_its_units_said() -> None:
    data = GOLDEN.read_bytes()
    moov = find(data, (b"moov",))
    tables = read_tables(data[moov.offset : moov.end])
    made = units()
    start_90k = made[0].dts_90k
    assert tables.dts_90k == [unit.dts_90k - start_90k for unit in made]
    assert tables.pts_90k == [unit.pts_90k - start_90k for unit in made]
    assert tables.keys == {0, 4}
    assert (tables.media_time_90k, tables.shown_90k) == (made[2].pts_90k + 3_600 - start_90k, 6 * 3_600)
    for chunk in tables.chunks:
        offset = chunk.offset
        for unit in made[chunk.first : chunk.first + chunk.samples]:
            assert data[offset : offset + len(unit.data)] == unit.data
            offset += len(unit.data)


def test_the_golden_clip_verifies() -> None:
    verdict = verify_clip(GOLDEN, decode=False)
    assert verdict.ok
    assert verdict.parts[0].shown == 6
