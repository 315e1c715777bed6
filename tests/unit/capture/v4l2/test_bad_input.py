import errno
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from linuxpy.video import raw

from edge_agent.errors import CaptureError, SettingsError, SourceFormatError, SourceUnavailableError
from tests.support.v4l2_device import H264, MJPEG, FakeCamera, Structure
from tests.unit.capture.fakes import RecordingSink
from tests.unit.capture.v4l2.cameras import NODE, SMALL, Bench, camera_settings, h264_camera, kind_of


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def run(bench: Bench, source: str = f"v4l2:{NODE}", **changes: object) -> str:
    """The message with which the attempt ends; whatever was opened is closed."""
    with pytest.raises(CaptureError) as caught:
        bench.source(camera_settings(source, **changes)).run(RecordingSink(), threading.Event())
    assert bench.kernel.open_descriptors == 0
    return str(caught.value)


@pytest.mark.parametrize("source", ["v4l2:", "v4l2:video0", "v4l2:by-path/", "v4l2:/dev/", "v4l2:by-name/x"])
def test_an_address_that_names_no_device(bench: Bench, source: str) -> None:
    with pytest.raises(SettingsError, match="by-path"):
        bench.source(camera_settings(source))


def test_no_such_device_names_those_that_are_there(bench: Bench) -> None:
    (bench.folder / "dev/video4").touch()
    (bench.folder / "sys/class/video4linux/video4").mkdir(parents=True)
    (bench.folder / "sys/class/video4linux/video4/name").write_text("Dome camera\n")
    (bench.folder / "dev/v4l/by-path/usb-3").symlink_to("../../video4")
    said = run(bench)
    assert "plug the camera in" in said
    assert f"{bench.folder}/dev/v4l/by-path/usb-3 (Dome camera)" in said


def test_not_allowed(bench: Bench) -> None:
    bench.kernel.plug(NODE, h264_camera())
    bench.kernel.errnos_of_open[NODE] = errno.EACCES
    assert "group video" in run(bench)
    bench.kernel.plug(NODE, h264_camera())  # as after chmod
    assert bench.activity.is_back()


def test_in_use_names_the_holder(bench: Bench) -> None:
    process = bench.folder / "proc/4711"
    (process / "fd").mkdir(parents=True)
    (process / "comm").write_text("cheese\n")
    (process / "fd/7").symlink_to(NODE)
    bench.kernel.plug(NODE, h264_camera(refuses={"REQBUFS": errno.EBUSY}))
    assert "in use by cheese (4711)" in run(bench)
    assert not bench.activity.is_back()


@pytest.mark.parametrize(
    ("caps", "role"),
    [
        (raw.Capability.META_CAPTURE | raw.Capability.STREAMING, "metadata"),
        (raw.Capability.VIDEO_OUTPUT | raw.Capability.STREAMING, "output"),
        (raw.Capability.VIDEO_M2M_MPLANE | raw.Capability.STREAMING, "codec"),
        (raw.Capability.VIDEO_CAPTURE | raw.Capability.READWRITE, "without streaming"),
    ],
)
def test_a_node_that_is_no_camera_says_what_it_is(bench: Bench, caps: int, role: str) -> None:
    bench.kernel.plug(NODE, FakeCamera({}, caps=int(caps)))
    assert role in run(bench)


def test_a_file_that_is_no_device(bench: Bench) -> None:
    bench.kernel.plug(NODE, h264_camera(refuses={"QUERYCAP": errno.ENOTTY}))
    assert "no camera of the kernel's" in run(bench)


def test_a_format_that_it_lacks_names_those_that_it_has(bench: Bench) -> None:
    bench.kernel.plug(NODE, h264_camera())
    said = run(bench, v4l2=kind_of("mjpeg"))
    assert "H264" in said
    assert "auto" in said


def test_formats_that_nobody_can_read(bench: Bench) -> None:
    bench.kernel.plug(NODE, FakeCamera({0x38504750: SMALL}))
    assert "PGP8" in run(bench)


def test_a_size_that_it_lacks_is_told_with_those_that_it_has(bench: Bench) -> None:
    bench.kernel.plug(NODE, h264_camera())
    bench.record(camera_settings(width=1280, height=720))
    assert "320×240" in bench.warnings["size-not-as-asked"]
    assert "1280×720" in bench.warnings["size-not-as-asked"]
    bench.record(camera_settings())
    assert "size-not-as-asked" not in bench.warnings


def test_a_rate_that_it_lacks_is_told_with_those_that_it_has(bench: Bench) -> None:
    bench.kernel.plug(NODE, h264_camera(offers={H264: {(320, 240): (5, 10)}}))
    bench.record(camera_settings())
    assert "5, 10" in bench.warnings["frame-rate-not-as-asked"]


def test_a_bus_without_room_falls_back_to_the_next_format(bench: Bench) -> None:
    camera = h264_camera(offers={MJPEG: SMALL, H264: SMALL})
    tried: list[int] = []

    def no_room(request: str, answer: Structure) -> None:
        if request == "G_FMT":
            tried.append(int(answer.fmt.pix.pixelformat))
        if request == "STREAMON" and tried[-1] == H264:
            raise OSError(errno.ENOSPC, "no room")

    camera.spoil = no_room
    bench.kernel.plug(NODE, camera)
    settings = camera_settings(v4l2=kind_of("h264"))
    with pytest.raises(SourceFormatError, match="no room on its USB bus"):
        bench.source(settings).run(RecordingSink(), threading.Event())
    assert bench.kernel.open_descriptors == 0


def _set(path: str, value: int) -> Callable[[Structure], None]:
    *parents, name = path.split(".")

    def change(answer: Structure) -> None:
        for parent in parents:
            answer = getattr(answer, parent)
        setattr(answer, name, value)

    return change


@pytest.mark.parametrize(
    ("request_name", "change"),
    [
        ("G_FMT", _set("fmt.pix.width", 0)),
        ("G_FMT", _set("fmt.pix.width", 0xFFFFFFFF)),
        ("G_FMT", _set("fmt.pix.pixelformat", 0x41424344)),
        ("G_FMT", _set("fmt.pix.sizeimage", 0)),
        ("G_FMT", _set("fmt.pix.sizeimage", 0xFFFFFFFF)),
        ("REQBUFS", _set("count", 0)),
        ("REQBUFS", _set("count", 100_000)),
        ("QUERYBUF", _set("index", 77)),
        ("QUERYBUF", _set("length", 0)),
        ("QUERYBUF", _set("length", 0xFFFFFFFF)),
        ("QUERYBUF", _set("m.offset", 0xFFFFFFFF)),
        ("DQBUF", _set("index", 77)),
        ("DQBUF", _set("bytesused", 0xFFFFFFFF)),
        ("DQBUF", _set("bytesused", 0)),
    ],
)
def test_a_driver_that_returns_what_cannot_be(
    bench: Bench, request_name: str, change: Callable[[Structure], None]
) -> None:
    def spoil(request: str, answer: Structure) -> None:
        if request == request_name:
            change(answer)

    bench.kernel.plug(NODE, h264_camera(spoil=spoil))
    assert NODE in run(bench)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENODEV, errno.EINVAL, errno.EPROTO, errno.ENOMEM])
@pytest.mark.parametrize("request_name", ["S_FMT", "G_FMT", "REQBUFS", "QUERYBUF", "QBUF", "STREAMON", "DQBUF"])
def test_whatever_is_refused_ends_in_a_message(bench: Bench, request_name: str, number: int) -> None:
    bench.kernel.plug(NODE, h264_camera(refuses={request_name: number}))
    assert NODE in run(bench)


@pytest.mark.parametrize("request_name", ["S_PARM", "G_PARM", "ENUM_FRAMESIZES", "ENUM_FRAMEINTERVALS", "QUERYCTRL"])
def test_what_a_driver_need_not_have_is_done_without(bench: Bench, request_name: str) -> None:
    bench.kernel.plug(NODE, h264_camera(refuses={request_name: errno.ENOTTY}))
    assert len(bench.record(camera_settings()).units) >= 60


def test_a_camera_in_use_is_told_as_unavailable(bench: Bench) -> None:
    bench.kernel.plug(NODE, h264_camera(refuses={"S_FMT": errno.EBUSY}))
    with pytest.raises(SourceUnavailableError, match="another user"):
        bench.source(camera_settings()).run(RecordingSink(), threading.Event())
