"""Key pictures of coded streams: which are kept, what a decoder gets, and whether anything is to be seen on them."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import av
import pytest

from edge_agent.capture import key_watch
from edge_agent.capture.encoding.encoder import EncodeOrder
from edge_agent.capture.encoding.libav_encoder import LibavEncoder
from edge_agent.capture.frames.hook import FrameHook
from edge_agent.capture.frames.sampling import DECODED_FROZEN_AFTER_US, ImageSampler
from edge_agent.capture.key_pictures import MAX_KEPT_BYTES, KeyKeeper, KeyPicture, decoded
from edge_agent.capture.key_watch import EVERY_US, KeyWatch
from edge_agent.clock import FakeClock
from edge_agent.contract.access_unit import NEVER_EXACT, AccessUnit, CodecConfig
from edge_agent.errors import SourceFormatError
from tests.support.gradual import gradual_units
from tests.support.polling import wait_until
from tests.unit.capture.frames.pictures import grey_frame

CONFIG = CodecConfig("h264", b"", 320, 240, 25.0)


def coded(luma: int, count: int = 1, at_us: int = 0) -> list[AccessUnit]:
    """Pictures of one brightness, the first a key picture."""
    encoder = LibavEncoder("libx264", EncodeOrder("h264", 320, 240, Fraction(25), 500, 25, effort="least"))
    pictures = []
    for number in range(count):
        frame = grey_frame(luma=luma)
        frame.pts = number * 3600
        pictures += encoder.encode(frame, is_key=False)
    pictures += encoder.finish()
    return [
        AccessUnit(picture.data, picture.pts, picture.dts, 3600, picture.is_key, at_us + picture.pts * 100 // 9)
        for picture in pictures
    ]


def key_of(luma: int, at_us: int = 0) -> KeyPicture:
    return KeyPicture(CONFIG, coded(luma, at_us=at_us))


def test_of_an_ordinary_stream_the_newest_key_picture_is_kept_alone() -> None:
    keeper = KeyKeeper()
    keeper.start(CONFIG)
    units = coded(150, 30)
    kept = [key for unit in units if (key := keeper.add(unit)) is not None]
    assert [len(key.units) for key in kept] == [1, 1]
    assert kept[-1].capture_us == units[25].capture_us
    assert memoryview(decoded(kept[-1]).planes[0])[1000] == pytest.approx(150, abs=3)


def test_of_gradual_refresh_what_makes_it_exact_is_kept_too() -> None:
    stream = gradual_units(8)
    keeper = KeyKeeper()
    keeper.start(stream.config)
    whole = av.CodecContext.create(stream.config.codec, "r")
    whole.extradata = stream.config.extradata
    shown: dict[int, bytes] = {}
    for unit in stream.units:
        packet = av.Packet(unit.data)
        packet.pts, packet.dts = unit.pts_90k, unit.dts_90k
        shown |= {frame.pts or 0: bytes(frame.planes[0]) for frame in whole.decode(packet)}
    shown |= {frame.pts or 0: bytes(frame.planes[0]) for frame in whole.decode(None)}
    keys = [key for unit in stream.units if (key := keeper.add(unit)) is not None]
    gradual = [key for key in keys if len(key.units) > 1]
    assert len(gradual) >= 3
    for key in gradual:
        assert bytes(decoded(key).planes[0]) == shown[key.units[-1].pts_90k]


def test_a_key_picture_that_never_becomes_exact_or_whose_past_is_too_large_is_none() -> None:
    unit = coded(100)[0]
    keeper = KeyKeeper()
    assert keeper.add(unit) is None, "no stream was begun"
    keeper.start(CONFIG)
    assert keeper.add(replace(unit, keys_back=NEVER_EXACT)) is None
    large = replace(unit, data=bytes(MAX_KEPT_BYTES // 4), keys_back=1)
    for _ in range(20):
        keeper.add(large)
        for _ in range(5):
            keeper.add(replace(large, is_key=False))
        assert keeper._size_bytes <= 2 * MAX_KEPT_BYTES
    assert keeper.add(large) is None
    assert keeper.add(unit) == KeyPicture(CONFIG, (unit,)), "an ordinary one again"


@pytest.mark.parametrize("data", [b"", b"\x00\x00\x00\x01\x65", b"\xff" * 500], ids=["empty", "cut", "garbage"])
def test_what_cannot_be_decoded_says_so(data: bytes) -> None:
    with pytest.raises(SourceFormatError, match="cannot be decoded"):
        decoded(KeyPicture(CONFIG, (AccessUnit(data, 0, 0, 3600, True, 0),)))


@pytest.fixture
def hook() -> FrameHook:
    return FrameHook((), FakeClock(), sampler=ImageSampler())


@pytest.fixture
def watch(hook: FrameHook) -> Iterator[KeyWatch]:
    watch = KeyWatch(hook)
    yield watch
    watch.close()
    if watch._thread is not None:
        watch._thread.join(10)
        assert not watch._thread.is_alive()


def seen(hook: FrameHook, watch: KeyWatch, key: KeyPicture) -> None:
    """A key picture is shown, and looked at before this returns."""
    before = hook.health
    watch.show(key)
    wait_until(lambda: hook.health is not before, what="the look at a key picture", timeout_s=10)


def test_a_camera_that_is_black_from_the_start_is_noticed(hook: FrameHook, watch: KeyWatch) -> None:
    for number in range(3):
        seen(hook, watch, key_of(16, at_us=number * EVERY_US))
    assert hook.health is not None
    assert hook.health.is_black
    seen(hook, watch, key_of(120, at_us=3 * EVERY_US))
    assert not hook.health.is_black


def test_most_key_pictures_are_not_decoded(hook: FrameHook, watch: KeyWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    def look(key: KeyPicture) -> av.VideoFrame:
        looked.append(key.capture_us)
        return decoded(key)

    monkeypatch.setattr(key_watch, "decoded", look)
    for number in range(41):
        watch.show(key_of(120, at_us=number * 1_000_000))
        wait_until(watch._waiting.empty, what="its turn", timeout_s=10)
    wait_until(lambda: len(looked) == 5, what="one look in ten seconds", timeout_s=10)
    assert looked == [0, EVERY_US, 2 * EVERY_US, 3 * EVERY_US, 4 * EVERY_US]


def test_a_decoded_scene_may_stand_still_longer_than_a_sensors(hook: FrameHook, watch: KeyWatch) -> None:
    hook.expect_decoded()
    key = key_of(120)
    ages_us = range(0, DECODED_FROZEN_AFTER_US + 2 * EVERY_US, EVERY_US)
    judged: list[bool] = []
    for age_us in ages_us:
        seen(hook, watch, KeyPicture(CONFIG, [replace(key.units[0], capture_us=age_us)]))
        assert hook.health is not None
        judged.append(hook.health.is_frozen)
    assert judged.index(True) * EVERY_US > DECODED_FROZEN_AFTER_US


def test_damage_is_counted_and_mended_by_the_next_one(hook: FrameHook, watch: KeyWatch) -> None:
    watch.show(KeyPicture(CONFIG, (AccessUnit(b"\xff" * 500, 0, 0, 3600, True, 0),)))
    wait_until(lambda: hook.figures.samples_skipped == 1, what="the count", timeout_s=10)
    assert "cannot be decoded" in hook.figures.fault
    seen(hook, watch, key_of(120, at_us=EVERY_US))
    assert hook.figures.fault == ""


def test_a_decoder_that_hangs_costs_samples_alone(
    hook: FrameHook, watch: KeyWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, released = threading.Event(), threading.Event()

    def hang(key: KeyPicture) -> av.VideoFrame:
        entered.set()
        released.wait(30)
        return decoded(key)

    monkeypatch.setattr(key_watch, "decoded", hang)
    watch.show(key_of(120))
    assert entered.wait(10)
    for number in range(1, 5):
        watch.show(key_of(120, at_us=number * EVERY_US))
    assert hook.figures.samples_skipped == 3, "one waits, three are left out"
    watch.close()
    released.set()
    assert watch._thread is not None
    watch._thread.join(10)
    assert hook.health is None, "nothing is said of an attempt that is over"
