"""A writer that is killed at any instant leaves every fragment that it called durable."""

import random
import sys
from pathlib import Path

import pytest

from edge_agent.buffer.segment_scan import cut_tail, scan_segment
from tests.support.polling import wait_until
from tests.support.processes import Processes

pytestmark = pytest.mark.faults

_ROOT = Path(__file__).parents[2]
_WRITER = """
import sys
from pathlib import Path
from edge_agent.buffer.segment_writer import SegmentWriter
from tests.builders import CAPTURE_US, make_header, make_units
from tests.support.segments import utc_of

root = Path(sys.argv[1])
stream = make_units(60, gop=5)
writer = SegmentWriter.create(root, "1.mp4", make_header(stream.config), stream.config)
for start in range(0, len(stream.units), 5):
    units = stream.units[start:start + 5]
    writer.append(units, utc_of(units[0].capture_us))
    writer.sync()
    print(start // 5 + 1, flush=True)
"""


@pytest.mark.parametrize("seed", range(4))
def test_synced_fragments_survive_sigkill(tmp_path: Path, processes: Processes, seed: int) -> None:
    told = tmp_path / "told"
    wanted = random.Random(seed).randrange(1, 250)
    with told.open("wb") as output:
        writer = processes.start([sys.executable, "-c", _WRITER, tmp_path], cwd=_ROOT, stdout=output)
    wait_until(lambda: len(told.read_bytes().split()) >= wanted, what="fragments")
    writer.kill()
    writer.wait()
    path = tmp_path / "1.mp4"
    acknowledged = len(told.read_bytes().split())
    result = scan_segment(path, tmp_path)
    assert result.info is not None
    assert acknowledged <= len(result.info.fragments) <= acknowledged + 1
    cut_tail(path, result.good_bytes)
    again = scan_segment(path, tmp_path)
    assert (again.problem, again.info) == (None, result.info)
