"""Records what libav's demuxer hands over as a small JSON trace for the normaliser's tests.

    python -m tests.real.record_trace SOURCE FILE NOTE [LIBAV_OPTION=VALUE ...]

Of each packet the stamps, the arrival and the first bytes are kept (parameter sets and slice headers).
"""

import json
import sys
from pathlib import Path

import av

from edge_agent.capture.libav import config_of, first_video, time_base_of
from edge_agent.capture.nal import framing_of, split_annex_b
from edge_agent.clock import SystemClock

_START_CODE = b"\x00\x00\x00\x01"
_UNITS, _UNIT_BYTES = 12, 64  # parameter sets of cameras are shorter
_PACKETS = 90


def _head(data: bytes, is_annex_b: bool) -> str:
    """The first NAL units, each cut short, framed as they were."""
    units = split_annex_b(data) if is_annex_b else _split_prefixed(data)
    cut = [unit[:_UNIT_BYTES] for unit in units[:_UNITS]]
    return b"".join((_START_CODE if is_annex_b else len(unit).to_bytes(4, "big")) + unit for unit in cut).hex()


def _split_prefixed(data: bytes) -> list[bytes]:
    units, offset = [], 0
    while offset + 4 < len(data):
        end = offset + 4 + int.from_bytes(data[offset : offset + 4], "big")
        units.append(data[offset + 4 : end])
        offset = end
    return units


def record(source: str, note: str, extra: dict[str, str]) -> dict[str, object]:
    """Demux and describe."""
    clock = SystemClock()
    options = {"rtsp_transport": "tcp", "fpsprobesize": "0"} if source.startswith("rtsp") else {}
    options |= extra
    with av.open(source, "r", options=options, timeout=(10.0, 10.0)) as container:
        stream = first_video(container, source, "")
        container.flags &= ~1
        config, base = config_of(stream), time_base_of(stream)
        is_annex_b = not framing_of(config.codec, config.extradata).length_size_bytes
        rows: list[list[object]] = []
        start_us = clock.monotonic_us()
        for packet in container.demux(stream):
            if not packet.size or len(rows) == _PACKETS:
                break
            at_us = clock.monotonic_us() - start_us
            head = _head(bytes(packet), is_annex_b)
            rows.append([packet.pts, packet.dts, packet.duration, packet.is_keyframe, at_us, head])
        return {
            "note": note,
            "codec": config.codec,
            "extradata": config.extradata.hex(),
            "size_px": [config.width_px, config.height_px],
            "fps": config.frame_rate_fps,
            "time_base": [base.numerator, base.denominator],
            "reorder_depth": stream.codec_context.reorder_depth,
            "packets": rows,
        }


def main() -> None:
    """Record one trace."""
    source, target, note = sys.argv[1:4]
    trace = record(source, note, dict(option.split("=", 1) for option in sys.argv[4:]))
    text = json.dumps(trace).replace("], [", "],\n[")
    Path(target).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
