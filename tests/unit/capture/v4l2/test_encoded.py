"""Cameras whose pictures are encoded here, in real time."""

from pathlib import Path

import av
import pytest

from edge_agent.clock import SystemClock
from tests.support.v4l2_device import H264, MJPEG, YUYV
from tests.unit.capture.fakes import RecordingSink
from tests.unit.capture.v4l2.cameras import (
    NODE,
    SMALL,
    Bench,
    camera_settings,
    h264_camera,
    jpeg_of,
    mjpeg_camera,
    without_huffman_tables,
    yuyv_camera,
)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, SystemClock())


def luma(sink: RecordingSink) -> list[int]:
    """Of the middle of every picture."""
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.extradata = sink.starts[0][0].extradata
    frames = [frame for unit in sink.units for frame in decoder.decode(av.Packet(unit.data))]
    planes = [frame.planes[0] for frame in (*frames, *decoder.decode(None))]
    return [memoryview(plane)[120 * plane.line_size + 160] for plane in planes]


def test_pixels_are_encoded_in_their_order_with_the_instants_of_the_sensor(bench: Bench) -> None:
    bench.kernel.plug(NODE, yuyv_camera())
    sink = bench.encode(camera_settings(), pictures=30)
    first_us = sink.units[0].capture_us
    numbers = [round((unit.capture_us - first_us) / 40_000) for unit in sink.units]
    assert all(
        abs(unit.capture_us - first_us - 40_000 * n) < 100 for unit, n in zip(sink.units, numbers, strict=True)
    )
    seen = luma(sink)
    assert all(abs(value - (seen[0] + n)) <= 2 for value, n in zip(seen, numbers, strict=True))


def test_jpegs_are_decoded_and_encoded_and_broken_ones_left_out(bench: Bench) -> None:
    jpeg = without_huffman_tables(jpeg_of(50))
    camera = mjpeg_camera(torn=lambda number: number % 5 == 4)
    camera.picture = lambda fourcc, number: jpeg
    bench.kernel.plug(NODE, camera)
    sink = bench.encode(camera_settings(), pictures=20)
    told = bench.report.state.configured
    assert told is not None
    assert told.format == "MJPG"
    first_us = sink.units[0].capture_us
    numbers = [round((unit.capture_us - first_us) / 40_000) for unit in sink.units]
    assert not [n for n in numbers if n % 5 == 4]
    assert len(set(luma(sink))) <= 3


def test_with_masks_pixels_are_taken_rather_than_h264(bench: Bench) -> None:
    camera = h264_camera(offers={H264: SMALL, YUYV: SMALL, MJPEG: SMALL}, picture=lambda fourcc, number: None)
    bench.kernel.plug(NODE, camera)
    settings = camera_settings(
        masks=[[(0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8)]], v4l2={"format": "yuyv"}, bitrate_kbps=2000
    )
    sink = bench.encode(settings, pictures=5)
    assert len(set(luma(sink))) == 1
    assert "YUYV" in str(bench.report.state.configured)
