"""Streams that a camera encoded: they pass, are masked, or feed a proxy; looked at after decoding."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Self

import av
import pytest

from edge_agent.camera_settings import CameraSettings, EncoderName, Polygon, ProxySettings
from edge_agent.capture.encoding.encoder import EncodeOrder, Encoder
from edge_agent.capture.encoding.kinds import KINDS
from edge_agent.capture.encoding.ladder import EncoderLadder
from edge_agent.capture.outputs import make_outputs
from edge_agent.capture.report import CaptureReport
from edge_agent.capture.source import SourceContext
from edge_agent.capture.supervisor import CaptureSupervisor
from edge_agent.capture.timeline import MediaTimeline
from edge_agent.clock import SystemClock
from edge_agent.contract.access_unit import AccessUnit
from edge_agent.errors import SourceUnavailableError
from tests.support.polling import wait_until
from tests.unit.capture.fakes import RecordingSink
from tests.unit.capture.frames.pictures import grey_frame

SQUARE: Polygon = ((0.5, 0.5), (1.0, 0.5), (1.0, 1.0), (0.5, 1.0))
PROXY = ProxySettings(width=160, height=120, fps=12.5, gop_s=1.0)


@pytest.fixture
def grey_file(tmp_path: Path) -> Path:
    """Two seconds of grey at 25/s, with B-frames as a camera's file may have them."""
    path = tmp_path / "grey.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "g": "25", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(50):
            frame = grey_frame(luma=110 + number % 2)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


class Rig:
    """A supervisor between a camera and two sinks that remember."""

    def __init__(self, camera: CameraSettings) -> None:
        clock = SystemClock()
        self.main, self.proxy = RecordingSink(), RecordingSink()
        self.report = CaptureReport(camera.name)
        proxy = None if camera.proxy is None else self.proxy
        outputs = replace(
            make_outputs(camera, clock, self.main, proxy),
            encoders=EncoderLadder(camera.encoder, {"libx264": KINDS["libx264"]}, clock),
        )
        context = SourceContext(
            "nomad-07", clock, MediaTimeline(clock.monotonic_us()), report=self.report, frames=outputs
        )
        self.hook = outputs.hook
        self._supervisor = CaptureSupervisor(camera, context, self.main, clock)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._supervisor.run, args=(self._stop,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()


def decoded(sink: RecordingSink) -> list[av.VideoFrame]:
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.extradata = sink.starts[0][0].extradata
    frames = [frame for unit in sink.streams[0] for frame in decoder.decode(av.Packet(unit.data))]
    return frames + decoder.decode(None)


def luma(frame: av.VideoFrame, x: int, y: int) -> int:
    plane = frame.planes[0]
    return memoryview(plane)[y * plane.line_size + x]


def camera(source: str, **more: object) -> CameraSettings:
    values = {"name": "main", "source": source, "bitrate_kbps": 500, "width": 320, "height": 240}
    return CameraSettings.model_validate(values | more)


def spread_us(units: list[AccessUnit]) -> list[int]:
    return [unit.capture_us - unit.pts_90k * 100 // 9 for unit in units]


@pytest.mark.parametrize("kind", ["file", "test"])
def test_masks_are_in_every_picture_of_both_streams(kind: str, grey_file: Path) -> None:
    source = f"file:{grey_file}" if kind == "file" else "test:"
    with Rig(camera(source, masks=[SQUARE], proxy=PROXY)) as rig:
        wait_until(
            lambda: len(rig.main.units) >= 40 and len(rig.proxy.units) >= 15, what="both streams", timeout_s=30
        )
    for sink, width, height in ((rig.main, 320, 240), (rig.proxy, 160, 120)):
        frames = decoded(sink)
        assert len(frames) >= 15
        assert {(frame.width, frame.height) for frame in frames} == {(width, height)}
        for frame in frames:
            assert luma(frame, width * 3 // 4, height * 3 // 4) <= 20
            assert luma(frame, width - 4, height - 4) <= 24
    assert any(luma(frame, 40, 200) > 40 for frame in decoded(rig.main))
    assert rig.hook.figures.unmasked == 0


def test_a_stream_without_masks_passes_untouched_beside_its_proxy(grey_file: Path) -> None:
    with Rig(camera(f"file:{grey_file}", proxy=PROXY)) as rig:
        wait_until(
            lambda: len(rig.main.units) >= 60 and len(rig.proxy.units) >= 20, what="both streams", timeout_s=30
        )
    with av.open(str(grey_file)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    assert [unit.data for unit in rig.main.units[:50]] == packets
    frames = decoded(rig.proxy)
    assert {(frame.width, frame.height) for frame in frames} == {(160, 120)}
    assert 105 <= luma(frames[5], 80, 60) <= 116
    assert rig.hook.health is not None, "the proxy's pictures are looked at"


def test_the_proxy_of_a_stream_that_passes_stands_as_the_main_stream_does(grey_file: Path) -> None:
    """The camera alone turns what passes, or does not; its proxy would be turned twice, or alone."""
    with Rig(camera(f"file:{grey_file}", proxy=PROXY, rotation_deg=90)) as rig:
        wait_until(lambda: len(rig.proxy.units) >= 5, what="a proxy", timeout_s=30)
    assert {(frame.width, frame.height) for frame in decoded(rig.main)} == {(320, 240)}
    assert {(frame.width, frame.height) for frame in decoded(rig.proxy)} == {(160, 120)}


def test_main_and_proxy_show_the_same_instant_at_the_same_time(grey_file: Path) -> None:
    with Rig(camera("test:", proxy=PROXY)) as rig:
        wait_until(
            lambda: len(rig.main.units) >= 50 and len(rig.proxy.units) >= 20, what="both streams", timeout_s=30
        )
    taken_us = {unit.capture_us for unit in rig.main.units}
    assert all(unit.capture_us in taken_us for unit in rig.proxy.units[:15])
    for units in (rig.main.units, rig.proxy.units):
        spread = spread_us(units)
        assert max(spread) - min(spread) < 1000


def test_a_main_stream_goes_on_without_a_proxy_that_nothing_encodes(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = camera("test:", proxy=PROXY)
    rig = Rig(settings)
    outputs = rig._supervisor._context.frames
    assert outputs is not None
    open_real = outputs.encoders.open

    def refuse_small(order: EncodeOrder) -> tuple[EncoderName, Encoder]:
        if order.width_px == 160:
            raise SourceUnavailableError("no room for a second encoder")
        return open_real(order)

    monkeypatch.setattr(outputs.encoders, "open", refuse_small)
    with rig:
        wait_until(lambda: len(rig.main.units) >= 30, what="the main stream", timeout_s=30)
    assert not rig.proxy.units
    assert "no room for a second encoder" in rig.report.state.warnings["proxy-not-made"]
