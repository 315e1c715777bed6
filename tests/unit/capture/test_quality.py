import pytest

from edge_agent.capture.quality import QualityMeter
from edge_agent.contract.access_unit import AccessUnit, CodecConfig


def config(width_px: int, height_px: int) -> CodecConfig:
    return CodecConfig("h264", b"", width_px, height_px, 25.0)


@pytest.mark.parametrize("size", [(704, 576), (1280, 720), (576, 704), (720, 1280), (0, 0)])
def test_enough_pixels(size: tuple[int, int]) -> None:
    meter = QualityMeter()
    meter.start(config(*size))
    assert meter.warnings == ()


@pytest.mark.parametrize("size", [(702, 576), (704, 574), (640, 480), (1280, 360), (480, 640)])
def test_too_few_pixels(size: tuple[int, int]) -> None:
    meter = QualityMeter()
    meter.start(config(*size))
    assert meter.warnings == ("resolution-below-legal-minimum",)


@pytest.mark.parametrize(("fps", "falls_short"), [(25.0, False), (12.0, False), (11.5, True), (5.0, True)])
def test_the_frame_rate_is_measured_not_believed(fps: float, falls_short: bool) -> None:
    meter = QualityMeter()
    meter.start(config(1280, 720))  # claims 25
    for index in range(int(fps * 8)):
        at_us = int(index * 1e6 / fps)
        meter.add(AccessUnit(b"", 0, 0, 3600, False, at_us))
    assert meter.fps == pytest.approx(fps, rel=0.01)
    assert (meter.warnings == ("frame-rate-below-legal-minimum",)) is falls_short


def test_a_gap_does_not_count_as_a_low_rate() -> None:
    meter = QualityMeter()
    at_us = 0
    for _ in range(3):
        meter.start(config(1280, 720))
        for _ in range(200):
            meter.add(AccessUnit(b"", 0, 0, 3600, False, at_us))
            at_us += 40_000
        at_us += 60_000_000
    assert meter.warnings == ()
