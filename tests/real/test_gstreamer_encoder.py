"""Pictures to a pipeline's encoder and back."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest

from edge_agent.capture.encoding.encoder import EncodedPicture, EncodeOrder
from edge_agent.capture.encoding.probe import probe
from edge_agent.capture.gstreamer.chains import Chain, Wish, nvenc, software
from edge_agent.capture.gstreamer.encoder import PipelineEncoder, open_board_encoder
from edge_agent.capture.gstreamer.trial import why_not
from edge_agent.clock import SystemClock
from edge_agent.contract.access_unit import Codec
from edge_agent.errors import CaptureError
from tests.real.test_gstreamer import children
from tests.support.polling import wait_until
from tests.unit.capture.fakes import make_context

pytestmark = pytest.mark.real

WISH = Wish("h264", 300, 1000, "high")
PICTURE_90K = 3600


def order_for(codec: Codec = "h264", width: int = 176, height: int = 144) -> EncodeOrder:
    return EncodeOrder(codec, width, height, Fraction(25), 300, 1000)


def picture(number: int, width: int = 176, height: int = 144) -> av.VideoFrame:
    """Grey, brighter from picture to picture."""
    frame = av.VideoFrame(width, height, "yuv420p")
    for index, plane in enumerate(frame.planes):
        plane.update(bytes([128 if index else 40 + number * 2]) * plane.buffer_size)
    frame.pts = number * PICTURE_90K
    return frame


@pytest.fixture
def encoders() -> Iterator[list[PipelineEncoder]]:
    started: list[PipelineEncoder] = []
    yield started
    for encoder in started:
        encoder.kill()


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_what_goes_in_comes_out_with_its_stamps(encoders: list[PipelineEncoder], codec: Codec) -> None:
    encoder = PipelineEncoder(order_for(codec), software(Wish(codec, 300, 1000, "high")))
    encoders.append(encoder)
    came: list[EncodedPicture] = []
    for number in range(40):
        came += encoder.encode(picture(number), is_key=number == 20)
    came += encoder.finish()
    assert [coded.pts for coded in came] == [number * PICTURE_90K for number in range(40)]
    assert all(after.dts > before.dts for before, after in pairwise(came))
    assert came[0].is_key
    assert [number for number, coded in enumerate(came) if coded.is_key] == [0, 20], "where it was asked for"
    decoder = av.CodecContext.create(codec, "r")
    assert isinstance(decoder, av.VideoCodecContext)
    frames = [frame for coded in came for frame in decoder.decode(av.Packet(coded.data))] + decoder.decode(None)
    shades = [memoryview(frame.planes[0])[0] for frame in frames]
    assert len(frames) == 40
    assert shades == pytest.approx([40 + number * 2 for number in range(40)], abs=4)


def test_a_width_whose_rows_have_to_be_packed(encoders: list[PipelineEncoder]) -> None:
    encoder = PipelineEncoder(order_for("h264", 178, 146), software(WISH))
    encoders.append(encoder)
    for number in range(10):
        encoder.encode(picture(number, 178, 146), is_key=False)
    assert encoder.finish()


@pytest.mark.parametrize(
    ("chain", "said"),
    [(nvenc(WISH), "nvidia-l4t-gstreamer"), (Chain("x264enc", "x264enc nonsense=1"), "not understood")],
)
def test_an_encoder_that_is_not_there_says_so(encoders: list[PipelineEncoder], chain: Chain, said: str) -> None:
    encoder = PipelineEncoder(order_for(), chain)
    encoders.append(encoder)

    def give() -> str:
        try:
            encoder.encode(picture(0), is_key=False)
        except CaptureError as error:
            return str(error)
        return ""

    assert said in wait_until(give, what="its words")


def test_an_encoder_that_hangs_is_told_and_ended(encoders: list[PipelineEncoder]) -> None:
    encoder = PipelineEncoder(order_for(), Chain("identity", "identity sleep-time=60000000 ! x264enc"))
    encoders.append(encoder)
    failures: list[str] = []
    for number in range(60):
        try:
            encoder.encode(picture(number), is_key=False)
        except CaptureError as error:
            failures.append(str(error))
            break
    assert failures
    encoder.kill()
    wait_until(lambda: not children(), what="its end")


def test_a_trial_shows_which_encoder_works_on_this_board() -> None:
    context = make_context(SystemClock())
    assert why_not(software(WISH), 176, 144, context) is None
    assert "nvvidconv" in (why_not(nvenc(WISH), 176, 144, context) or "")
    broken = Chain("x264enc", "x264enc ! identity error-after=5")
    assert why_not(broken, 176, 144, context)


def test_the_probe_of_all_encoders_takes_it() -> None:
    """As the ladder tries it: a second of pictures, decoded; and one that is not on this machine."""
    clock = SystemClock()
    works = probe(lambda order: PipelineEncoder(order, software(WISH)), order_for(), clock)
    assert works.fault == ""
    assert works.speed > 0
    assert "nvidia-l4t-gstreamer" in probe(PipelineEncoder, order_for(), clock).fault
    wait_until(lambda: not children(), what="their end")


def test_a_board_that_is_no_jetson_is_not_asked(tmp_path: Path) -> None:
    """Its encoders are tried at each start of a recorder: that ought to cost nothing."""
    clock, tree = SystemClock(), tmp_path / "compatible"
    assert "no Jetson" in probe(lambda order: open_board_encoder(order, tree), order_for(), clock).fault
    tree.write_bytes(b"raspberrypi,4-model-b\0brcm,bcm2711\0")
    assert "no Jetson" in probe(lambda order: open_board_encoder(order, tree), order_for(), clock).fault
    tree.write_bytes(b"nvidia,p3768-0000+p3767-0000\0nvidia,p3767-0000\0nvidia,tegra234\0")
    fault = probe(lambda order: open_board_encoder(order, tree), order_for(), clock).fault
    assert "nvidia-l4t-gstreamer" in fault, "it is asked, and its packages are missing here"
