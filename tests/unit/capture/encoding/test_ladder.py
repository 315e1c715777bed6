"""Which encoder is used: tried out, in order, and replaced when it fails again and again."""

import threading
from fractions import Fraction

import av
import pytest

from edge_agent.camera_settings import EncoderName, EncoderSettings
from edge_agent.capture.encoding.encoder import EncodedPicture, EncodeOrder
from edge_agent.capture.encoding.kinds import KINDS
from edge_agent.capture.encoding.ladder import EncoderLadder
from edge_agent.capture.encoding.libav_encoder import LibavEncoder
from edge_agent.capture.encoding.probe import Probed, probe
from edge_agent.clock import Clock, FakeClock, SystemClock
from edge_agent.errors import CaptureError, EncodersHangError, SourceUnavailableError

ORDER = EncodeOrder("h264", 320, 240, Fraction(25), 500, 25)


class Named:
    """An encoder that only has a name."""

    detail = ""

    def __init__(self, order: EncodeOrder) -> None:
        self.order = order

    def encode(self, frame: av.VideoFrame, *, is_key: bool) -> list[EncodedPicture]:
        return []

    def finish(self) -> list[EncodedPicture]:
        return []

    def kill(self) -> None:
        pass


class Mute(Named):
    """Takes everything and gives nothing: it opens like any other."""


class Broken(Named):
    def encode(self, frame: av.VideoFrame, *, is_key: bool) -> list[EncodedPicture]:
        return [EncodedPicture(b"\x00\x00\x00\x01\x65garbage", frame.pts or 0, frame.pts or 0, is_key=True)]


def ladder(clock: Clock, outcomes: dict[EncoderName, Probed]) -> tuple[EncoderLadder, list[EncoderName]]:
    tried: list[EncoderName] = []
    kinds = {name: type(name, (Named,), {}) for name in outcomes}
    names: dict[object, EncoderName] = {kind: name for name, kind in kinds.items()}

    def try_out(kind: object, order: EncodeOrder, clock: Clock) -> Probed:
        name = names[kind]
        tried.append(name)
        return outcomes[name]

    return EncoderLadder(EncoderSettings(order=tuple(outcomes)), kinds, clock, try_out), tried


def test_the_first_that_works_is_taken_and_the_others_are_not_tried() -> None:
    found, tried = ladder(
        FakeClock(), {"v4l2m2m": Probed("no such device"), "libx264": Probed("", 4.0), "libx265": Probed("", 2.0)}
    )
    assert found.open(ORDER)[0] == "libx264"
    assert found.open(ORDER)[0] == "libx264"
    assert tried == ["v4l2m2m", "libx264"]


def test_one_that_fails_is_begun_anew_once_and_then_the_next_has_its_turn() -> None:
    clock = FakeClock()
    found, _ = ladder(clock, {"v4l2m2m": Probed("", 3.0), "libx264": Probed("", 2.0)})
    assert found.open(ORDER)[0] == "v4l2m2m"
    found.failed("v4l2m2m", ORDER)
    assert found.open(ORDER)[0] == "v4l2m2m"
    found.failed("v4l2m2m", ORDER)
    assert found.open(ORDER)[0] == "libx264"
    clock.advance(3601)
    assert found.open(ORDER)[0] == "v4l2m2m", "after an hour it is given another chance"


def test_when_all_failed_the_first_is_better_than_nothing() -> None:
    found, _ = ladder(FakeClock(), {"v4l2m2m": Probed("", 3.0), "libx264": Probed("", 2.0)})
    for name in ("v4l2m2m", "libx264"):
        found.failed(name, ORDER)
        found.failed(name, ORDER)
    assert found.open(ORDER)[0] == "v4l2m2m"


def test_of_encoders_that_do_not_keep_up_the_fastest_is_taken() -> None:
    found, _ = ladder(FakeClock(), {"libx265": Probed("", 0.3), "libx264": Probed("", 0.8)})
    assert found.open(ORDER)[0] == "libx264"


def test_when_none_works_each_says_why() -> None:
    found, _ = ladder(FakeClock(), {"v4l2m2m": Probed("no such device"), "libx264": Probed("no memory")})
    with pytest.raises(SourceUnavailableError, match=r"v4l2m2m: no such device; libx264: no memory.*camera\.encoder"):
        found.open(ORDER)


def test_when_none_works_all_are_tried_anew_the_next_time() -> None:
    outcomes: dict[EncoderName, Probed] = {"v4l2m2m": Probed("device or resource busy")}
    found, tried = ladder(FakeClock(), outcomes)
    with pytest.raises(SourceUnavailableError, match="busy"):
        found.open(ORDER)
    outcomes["v4l2m2m"] = Probed("", 3.0)
    assert found.open(ORDER)[0] == "v4l2m2m"
    assert tried == ["v4l2m2m", "v4l2m2m"]


def test_a_trial_that_hangs_is_not_made_once_more_before_it_came_back() -> None:
    ended = threading.Event()
    outcomes: dict[EncoderName, Probed] = {"v4l2m2m": Probed("it hangs", ended=ended)}
    found, tried = ladder(FakeClock(), outcomes)
    for _ in range(3):
        with pytest.raises(SourceUnavailableError, match="it hangs"):
            found.open(ORDER)
    assert len(tried) == 1
    ended.set()
    with pytest.raises(SourceUnavailableError):
        found.open(ORDER)
    outcomes["v4l2m2m"] = Probed("", 3.0)
    assert found.open(ORDER)[0] == "v4l2m2m"


def test_encoders_that_hang_do_not_pile_up_over_the_days() -> None:
    clock = FakeClock()
    found, _ = ladder(clock, {"v4l2m2m": Probed("", 3.0), "libx264": Probed("", 2.0)})
    hanging = [threading.Event(), threading.Event()]
    for ended in hanging:
        assert found.open(ORDER)[0] == "v4l2m2m"
        found.failed("v4l2m2m", ORDER, ended)
    for _ in range(48):
        clock.advance(3601)
        assert found.open(ORDER)[0] == "libx264", "two of the board's encoder still hang"
    hanging[0].set()
    assert found.open(ORDER)[0] == "v4l2m2m"


def test_when_all_hang_the_process_has_to_start_anew() -> None:
    found, _ = ladder(FakeClock(), {"libx264": Probed("", 2.0)})
    for _ in range(2):
        found.failed("libx264", ORDER, threading.Event())
    with pytest.raises(EncodersHangError, match="libx264: 2 of it do not come back"):
        found.open(ORDER)


@pytest.mark.parametrize(("name", "codec"), [("libx264", "h264"), ("libx265", "hevc")])
def test_a_real_encoder_passes_the_trial(name: EncoderName, codec: str) -> None:
    order = EncodeOrder("hevc" if codec == "hevc" else "h264", 320, 240, Fraction(25), 500, 25, quality=28)
    tried = probe(KINDS[name], order, SystemClock())
    assert not tried.fault
    assert tried.speed > 0


@pytest.mark.parametrize(
    ("kind", "words"),
    [(Mute, "of 25 pictures it gave 0 back"), (Broken, "decoded")],
)
def test_a_trial_is_no_question_of_names(kind: type[Named], words: str) -> None:
    assert words in probe(kind, ORDER, SystemClock()).fault


def test_an_encoder_of_another_codec_is_no_choice() -> None:
    with pytest.raises(CaptureError, match="hevc is asked for"):
        LibavEncoder("libx264", EncodeOrder("hevc", 320, 240, Fraction(25), 500, 25))


def test_a_board_without_an_encoder_says_so() -> None:
    with pytest.raises(SourceUnavailableError, match="h264_v4l2m2m"):
        LibavEncoder("h264_v4l2m2m", ORDER)
