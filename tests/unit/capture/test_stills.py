"""Stills: who gives them, how old they may be, what they say of themselves."""

import io
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import ExifTags, Image

from edge_agent.capture import jpeg
from edge_agent.capture.jpeg import jpeg_of
from edge_agent.capture.stills import MAX_AGE_S, StillDesk, TakenPicture
from edge_agent.clock import FakeClock, SystemClock
from edge_agent.errors import SourceFormatError, SourceUnavailableError
from tests.support.polling import wait_until
from tests.unit.capture.frames.pictures import grey_frame
from tests.unit.capture.test_key_pictures import key_of

TAKEN_US = 1_790_000_000_123_456


def test_the_first_picture_after_the_question_is_given() -> None:
    desk = StillDesk(SystemClock())
    desk.offer(grey_frame(luma=10), 1)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(desk.take, 10.0)
        wait_until(lambda: desk._ask is not None, what="the question", timeout_s=10)
        frame = grey_frame(luma=200)
        desk.offer(frame, 2)
        desk.offer(grey_frame(luma=30), 3)
        assert asked.result(10) == TakenPicture(frame, 2)


def test_a_camera_that_can_be_asked_gives_a_new_key_picture() -> None:
    clock = SystemClock()
    desk = StillDesk(clock)
    old, new = (key_of(luma, at_us=clock.monotonic_us()) for luma in (40, 200))
    desk.offer_key(old)
    desk.request_key_frame = lambda: desk.offer_key(new)
    taken = desk.take(10.0)
    assert taken.capture_us == new.capture_us
    assert memoryview(taken.frame.planes[0])[0] == pytest.approx(200, abs=3)


def test_of_a_camera_that_cannot_the_newest_key_picture_will_do_while_it_is_young() -> None:
    clock = FakeClock()
    desk = StillDesk(clock)
    desk.offer_key(key_of(40, at_us=clock.monotonic_us()))
    clock.advance(MAX_AGE_S - 4)
    assert desk.take(3.0).capture_us == 60_000_000
    clock.advance(5)
    with pytest.raises(SourceUnavailableError, match="no picture within 3 s"):
        desk.take(3.0)


def test_a_stream_that_ended_leaves_no_still_behind() -> None:
    clock = FakeClock()
    desk = StillDesk(clock)
    desk.offer_key(key_of(40, at_us=clock.monotonic_us()))
    desk.forget()
    with pytest.raises(SourceUnavailableError):
        desk.take(1.0)


def test_a_camera_with_a_way_of_its_own_is_asked_alone() -> None:
    desk = StillDesk(FakeClock())
    own = TakenPicture(grey_frame(), 7)
    waits: list[float] = []

    def take(wait_s: float) -> TakenPicture:
        waits.append(wait_s)
        return own

    desk.taker = take
    assert desk.take(2.0) is own
    assert waits == [2.0]


def test_one_still_at_a_time() -> None:
    desk = StillDesk(SystemClock())
    entered, released = threading.Event(), threading.Event()

    def take(wait_s: float) -> TakenPicture:
        entered.set()
        released.wait(30)
        return TakenPicture(grey_frame(), 7)

    desk.taker = take
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(desk.take, 1.0)
        assert entered.wait(10)
        with pytest.raises(SourceUnavailableError, match="another still"):
            desk.take(0.05)
        released.set()
        assert first.result(10).capture_us == 7


def test_a_jpeg_says_who_took_it_and_when() -> None:
    written = jpeg_of(grey_frame(1920, 1080, luma=180), TAKEN_US, "nomad-07 main", "edge-agent 0.1.0")
    with Image.open(io.BytesIO(written)) as image:
        exif = image.getexif()
        details = exif.get_ifd(ExifTags.IFD.Exif)
        assert image.size == (1920, 1080)
        assert exif[ExifTags.Base.ImageDescription] == "nomad-07 main"
        assert exif[ExifTags.Base.Software] == "edge-agent 0.1.0"
        assert details[ExifTags.Base.DateTimeOriginal] == "2026:09:21 14:13:20"
        assert details[ExifTags.Base.SubsecTimeOriginal] == "123"
        assert details[ExifTags.Base.OffsetTimeOriginal] == "+00:00"


def test_black_and_white_of_a_camera_are_black_and_white_of_a_jpeg() -> None:
    """Limited range (16 to 235) becomes 0 to 255."""
    for luma, expected in ((16, 0), (235, 255)):
        frame = grey_frame(luma=luma)
        for plane in frame.planes[1:]:
            plane.update(bytes([128]) * plane.buffer_size)
        with Image.open(io.BytesIO(jpeg_of(frame, TAKEN_US, "", ""))) as image:
            assert image.convert("L").getpixel((100, 100)) == pytest.approx(expected, abs=2)


def decoded_size(written: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(written)) as image:
        image.load()
        return image.size


@pytest.mark.parametrize("size", [(1921, 1081), (4056, 3040), (176, 144)])
def test_every_size_becomes_a_jpeg(size: tuple[int, int]) -> None:
    assert decoded_size(jpeg_of(grey_frame(*size), TAKEN_US, "", "")) == size


def test_a_jpeg_that_is_too_large_is_made_coarser_and_at_last_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = grey_frame()
    busy.planes[0].update(random.Random(1).randbytes(busy.planes[0].buffer_size))
    finest = jpeg_of(busy, TAKEN_US, "", "")
    monkeypatch.setattr(jpeg, "MAX_STILL_BYTES", len(finest) - 1)
    coarser = jpeg_of(busy, TAKEN_US, "", "")
    assert len(coarser) < len(finest)
    assert decoded_size(coarser) == (320, 240)
    monkeypatch.setattr(jpeg, "MAX_STILL_BYTES", 100)
    with pytest.raises(SourceFormatError, match="over 100 bytes"):
        jpeg_of(grey_frame(), TAKEN_US, "", "")
