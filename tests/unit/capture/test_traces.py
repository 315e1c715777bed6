"""What real demuxers handed over, replayed; `traces/*.json` say how they were recorded."""

import json
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from edge_agent.capture.normaliser import Normaliser
from edge_agent.capture.packet import RawPacket
from edge_agent.contract.access_unit import CodecConfig
from tests.unit.capture.fakes import RecordingSink, make_context

FOLDER = Path(__file__).with_name("traces")
TRACES = sorted(path.stem for path in FOLDER.glob("*.json"))


def replay(name: str) -> tuple[RecordingSink, dict[str, Any]]:
    trace = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    width_px, height_px = trace["size_px"]
    config = CodecConfig(trace["codec"], bytes.fromhex(trace["extradata"]), width_px, height_px, trace["fps"])
    sink, context = RecordingSink(), make_context()
    base = Fraction(*trace["time_base"])
    normaliser = Normaliser(sink, context, config, base, reorder_depth=trace["reorder_depth"])
    start_us = context.clock.monotonic_us()
    for index, (pts, dts, duration, key, at_us, head) in enumerate(trace["packets"]):
        # A file was demuxed as fast as it goes; a camera would have sent a picture every 40 ms.
        arrival_us = start_us + (at_us if name.startswith("rtsp") else index * 40_000)
        normaliser.push(RawPacket(bytes.fromhex(head), pts, dts, duration, key, arrival_us))
    normaliser.finish()
    return sink, trace


@pytest.mark.parametrize("name", TRACES)
def test_every_byte_is_kept_in_order(name: str) -> None:
    sink, trace = replay(name)
    assert b"".join(unit.data for unit in sink.units).hex() == "".join(packet[5] for packet in trace["packets"])


@pytest.mark.parametrize("name", TRACES)
def test_pictures_are_evenly_dated(name: str) -> None:
    sink, trace = replay(name)
    steps = [later.dts_90k - earlier.dts_90k for earlier, later in pairwise(sink.units)]
    assert {step for step in steps if abs(step - 3600) > 100} == set()
    if name == "rtsp-h264-change":  # key pictures came in two packets each
        assert len(sink.units) == len(trace["packets"]) - 8
    else:
        assert len(sink.units) == len(trace["packets"])


@pytest.mark.parametrize("name", TRACES)
def test_one_stream_unless_the_parameters_change(name: str) -> None:
    sink, _ = replay(name)
    expected = ["start", "parameters-changed"] if name == "rtsp-h264-change" else ["start"]
    assert sink.causes == expected


@pytest.mark.parametrize("name", [name for name in TRACES if name not in {"raw-h264", "rtsp-h264-change"}])
def test_presentation_is_the_recorded_one(name: str) -> None:
    sink, trace = replay(name)
    scale = Fraction(*trace["time_base"]) * 90_000
    pairs = [(unit.pts_90k, packet[0]) for unit, packet in zip(sink.units, trace["packets"], strict=True)]
    shifts = {round(pts - stamp * scale) % (1 << 33) for pts, stamp in pairs if stamp is not None}
    assert max(shifts) - min(shifts) <= 1, shifts


@pytest.mark.parametrize("name", TRACES)
def test_capture_time_rises_with_presentation(name: str) -> None:
    sink, _ = replay(name)
    order = sorted(sink.units, key=lambda unit: unit.pts_90k)
    assert all(earlier.capture_us <= later.capture_us for earlier, later in pairwise(order))
