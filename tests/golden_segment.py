"""The segment whose bytes are kept in `tests/golden/segment.mp4`: made by hand, no encoder in it.

`.venv/bin/python -m tests.golden_segment` writes it again. That is right after a deliberate change of the format, or
of PyAV's version (which is pinned) when libav's muxer writes other bytes; `docs/formats.md` then changes too.
"""

import sys
import tempfile
from pathlib import Path

from edge_agent.buffer.segment import SegmentInfo, UtcEstimate
from edge_agent.buffer.segment_writer import SegmentWriter
from edge_agent.contract.access_unit import AccessUnit, CodecConfig
from edge_agent.contract.segment_format import PositionStamp
from tests.builders import CAPTURE_US, WALL_US, make_header

GOLDEN = Path(__file__).parent / "golden" / "segment.mp4"

CONFIG = CodecConfig(
    codec="h264",
    extradata=bytes.fromhex(
        "0164000affe100176764000aacb2041b42000003000200000300641e244c9001000668ebc3cb22c0fdf8f800"
    ),
    width_px=128,
    height_px=96,
    frame_rate_fps=25.0,
)
"""An `avcC` of High profile as x264 makes it."""

_STEP_90K = 3_600
_ORDER = (1, 3, 0, 0)  # presentation minus decode position of I P B B, the reorder delay of one frame included


def units() -> tuple[AccessUnit, ...]:
    """Two groups of I P B B; each sample is one NAL unit of a repeated byte."""
    made = []
    for index in range(8):
        is_key = index % 4 == 0
        size_bytes = 40 if is_key else 10 + index
        data = size_bytes.to_bytes(4, "big") + bytes([0x65 if is_key else 0x41]) + bytes([index]) * (size_bytes - 1)
        dts_90k = 900_000 + index * _STEP_90K
        pts_90k = dts_90k + _ORDER[index % 4] * _STEP_90K
        made.append(AccessUnit(data, pts_90k, dts_90k, _STEP_90K, is_key, CAPTURE_US + index * 40_000))
    return tuple(made)


def write(root: Path) -> SegmentInfo:
    """Write the segment into `root` as `segment.mp4`: one fragment whole, one closed early, its clock unsure."""
    position = PositionStamp(longitude_deg=2.3522, latitude_deg=48.8566, accuracy_m=4.0, source="fixed")
    header = make_header(CONFIG, 7).model_copy(update={"position": position, "warnings": ("resolution-low",)})
    writer = SegmentWriter.create(root, GOLDEN.name, header, CONFIG)
    made = units()
    writer.append(made[:4], UtcEstimate(WALL_US, 5_000, "chrony"))
    writer.append(made[4:], UtcEstimate(WALL_US + 160_000, None, "unknown"), closed_early=True)
    writer.close()
    return writer.info()


def main() -> int:
    """Write the golden file again."""
    GOLDEN.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        GOLDEN.write_bytes((Path(folder) / GOLDEN.name).read_bytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
