"""A fake V4L2 device at the edge to the kernel: it speaks the kernel's structures, in real or in fake time.

Nothing in it knows the source that it is for: what is asked of it are the requests of `linux/videodev2.h`. It can be
unplugged and plugged in under another number, stall, damage its buffers, lose frames, stamp them wrongly, be slow, be
in use, refuse, and return what no driver should.
"""

import ctypes
import errno
import select
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal, TypeAlias, TypeVar

from linuxpy.video import raw

from edge_agent.clock import Clock

Entry = TypeVar("Entry")
Structure: TypeAlias = Any
"""One of the kernel's, which linuxpy makes at run time."""
Stamps = Literal["monotonic", "still", "unknown", "old"]
Sizes = dict[tuple[int, int], tuple[int, ...]]
"""Size in pixels → pictures a second."""

YUYV, MJPEG, H264 = int(raw.PixelFormat.YUYV), int(raw.PixelFormat.MJPEG), int(raw.PixelFormat.H264)
NV12, YUV420 = int(raw.PixelFormat.NV12), int(raw.PixelFormat.YUV420)
CAPTURE = int(raw.Capability.VIDEO_CAPTURE) | int(raw.Capability.STREAMING)
_DEVICE_CAPS = int(raw.Capability.DEVICE_CAPS)
_SINGLE = int(raw.BufType.VIDEO_CAPTURE)
_MONOTONIC = int(raw.BufferFlag.TIMESTAMP_MONOTONIC) | int(raw.BufferFlag.TSTAMP_SRC_SOE)
_LATE_US = 3_000
"""From the exposure to the filled buffer."""


@dataclass
class Control:
    """One setting that the device keeps."""

    minimum: int
    maximum: int
    value: int


@dataclass
class FakeCamera:
    """What a device is and what is wrong with it; all of it may be changed while it streams."""

    offers: dict[int, Sizes]
    picture: Callable[[int, int], bytes | memoryview | None] = lambda fourcc, number: None
    """Bytes of a frame by pixel format and number; None: grey pixels that get brighter from frame to frame."""
    card: str = "Fake camera"
    caps: int = CAPTURE
    controls: dict[int, Control] = field(default_factory=dict)
    stamps: Stamps = "monotonic"
    rate_share: Fraction = Fraction(1)
    """So much of the rate that it promises does it give."""
    is_stalled: bool = False
    damaged: Callable[[int], bool] = lambda number: False
    """Which frames carry the error flag."""
    torn: Callable[[int], bool] = lambda number: False
    """Which frames end in their middle."""
    lost: Callable[[int], bool] = lambda number: False
    """Which frames never come, and leave a hole in the count."""
    refuses: dict[str, int] = field(default_factory=dict)
    """Request, such as `S_FMT`, → errno."""
    spoil: Callable[[str, Any], None] = lambda request, answer: None
    """Changes an answer before it is returned."""


class _Memory:
    def __init__(self, data: bytearray) -> None:
        self.view = memoryview(data).toreadonly()

    def close(self) -> None:
        self.view.release()


@dataclass
class _Stream:
    """An open descriptor, and what was set on it."""

    camera: FakeCamera
    fourcc: int
    size: tuple[int, int]
    fps: Fraction
    memory: list[bytearray] = field(default_factory=list)
    queued: list[int] = field(default_factory=list)
    filled: list[raw.v4l2_buffer] = field(default_factory=list)
    next_due_us: int | None = None
    number: int = 0
    is_gone: bool = False
    _interval_us: int = 0
    _interval_of: tuple[Fraction, Fraction] | None = None

    @property
    def interval_us(self) -> int:
        """From frame to frame. Kept: fractions are slow, and benchmarks ask for this at every frame."""
        rates = self.fps, self.camera.rate_share
        if rates != self._interval_of:
            self._interval_us, self._interval_of = round(1_000_000 / (rates[0] * rates[1])), rates
        return self._interval_us

    @property
    def stride(self) -> int:
        return self.size[0] * 2 if self.fourcc == YUYV else self.size[0] if self.fourcc in {NV12, YUV420} else 0

    @property
    def image_bytes(self) -> int:
        width, height = self.size
        return width * height * 3 // 2 if self.fourcc in {NV12, YUV420} else width * height * 2


class FakeKernel:
    """Device nodes by path, and links to them; implements `edge_agent.capture.v4l2.kernel.Kernel`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_us = clock.boottime_of_monotonic_us(0)
        self._nodes: dict[str, FakeCamera] = {}
        self._plugged: dict[str, int] = {}
        self._links: dict[str, str] = {}
        self._streams: dict[int, _Stream] = {}
        self._next = 100
        self.errnos_of_open: dict[str, int] = {}
        self.calls: list[str] = []
        """Requests, in the order in which they came."""

    @property
    def open_descriptors(self) -> int:
        return len(self._streams)

    def plug(self, path: str, camera: FakeCamera, *links: str) -> None:
        """A device appears, and links of udev's to it."""
        self._nodes[path] = camera
        self._next += 1
        self._plugged[path] = self._next
        for link in links:
            self._links[link] = path

    def unplug(self, path: str, *, silently: bool = False) -> None:
        """It disappears; `silently`: whoever has it open is not told."""
        camera = self._nodes.pop(path)
        self._links = {link: node for link, node in self._links.items() if node != path}
        for stream in self._streams.values():
            if stream.camera is camera:
                stream.is_gone = not silently
                camera.is_stalled = camera.is_stalled or silently

    def resolve(self, path: str) -> str:
        return self._links.get(path, path)

    def present(self, path: str) -> tuple[int, ...] | None:
        node = self.resolve(path)
        return (self._plugged[node],) if node in self._nodes else None

    def open(self, path: str) -> int:
        if path in self.errnos_of_open:
            raise OSError(self.errnos_of_open[path], "refused")
        if path not in self._nodes:
            raise OSError(errno.ENOENT, "no such file")
        camera = self._nodes[path]
        fourcc = next(iter(camera.offers), YUYV)
        size = next(iter(camera.offers.get(fourcc, {})), (640, 480))
        self._next += 1
        self._streams[self._next] = _Stream(camera, fourcc, size, Fraction(30))
        return self._next

    def close(self, descriptor: int) -> None:
        del self._streams[descriptor]

    def map(self, descriptor: int, length_bytes: int, offset: int) -> _Memory:
        stream = self._streams[descriptor]
        index, rest = divmod(offset, 4096)
        if rest or index >= len(stream.memory) or length_bytes != len(stream.memory[index]):
            raise OSError(errno.EINVAL, "nothing to map there")
        return _Memory(stream.memory[index])

    def poll(self, descriptor: int, timeout_s: float) -> int:
        stream = self._streams[descriptor]
        end_us = self._clock.monotonic_us() + round(timeout_s * 1e6)
        while True:
            if stream.is_gone:
                return select.POLLERR | select.POLLHUP
            self._fill(stream)
            if stream.filled:
                return select.POLLIN
            now_us = self._clock.monotonic_us()
            if now_us >= end_us:
                return 0
            due_us = stream.next_due_us
            if due_us is None:
                return select.POLLERR
            self._clock.sleep(max(1, min(end_us, due_us + _LATE_US) - now_us) / 1e6)

    def _fill(self, stream: _Stream) -> None:
        """Frames that are due go into buffers, or are lost when there is none."""
        camera, now_us = stream.camera, self._clock.monotonic_us()
        while stream.next_due_us is not None and stream.next_due_us + _LATE_US <= now_us:
            due_us, number = stream.next_due_us, stream.number
            stream.next_due_us += stream.interval_us
            if camera.is_stalled:
                continue
            stream.number += 1
            if stream.queued and not camera.lost(number):
                stream.filled.append(self._filled(stream, stream.queued.pop(0), number, due_us))

    def _filled(self, stream: _Stream, index: int, number: int, due_us: int) -> raw.v4l2_buffer:
        camera, memory = stream.camera, stream.memory[index]
        data = camera.picture(stream.fourcc, number)
        if data is None:
            data = bytes([16 + number % 200]) * stream.image_bytes
        if camera.torn(number):
            data = data[: len(data) // 2]
        memoryview(memory)[: len(data)] = data  # copied once: a bytearray would make a bytearray of it before
        stamp_us = {"monotonic": due_us - self._offset_us, "unknown": due_us, "still": 7, "old": number + 1}
        taken_us = stamp_us[camera.stamps]
        buffer = raw.v4l2_buffer(type=_SINGLE, index=index, bytesused=len(data), sequence=number)
        buffer.timestamp.secs, buffer.timestamp.usecs = divmod(taken_us, 1_000_000)
        buffer.flags = 0 if camera.stamps == "unknown" else _MONOTONIC
        if camera.damaged(number):
            buffer.flags |= int(raw.BufferFlag.ERROR)
        return buffer

    def ioctl(self, descriptor: int, request: int, argument: Structure) -> None:
        stream = self._streams[descriptor]
        name = _NAMES[request]
        self.calls.append(name)
        if stream.is_gone:
            raise OSError(errno.ENODEV, "gone")
        if name in stream.camera.refuses:
            raise OSError(stream.camera.refuses[name], "refused")
        handler = getattr(self, f"_{name.lower()}", None)
        if handler is None:
            raise OSError(errno.ENOTTY, name)
        handler(stream, argument)
        stream.camera.spoil(name, argument)

    def _querycap(self, stream: _Stream, told: Structure) -> None:
        told.driver, told.card, told.bus_info = b"fake", stream.camera.card.encode(), b"usb-fake-1"
        told.capabilities, told.device_caps = stream.camera.caps | _DEVICE_CAPS, stream.camera.caps

    def _enum_fmt(self, stream: _Stream, told: Structure) -> None:
        told.pixelformat = _entry(list(stream.camera.offers), told.index)

    def _enum_framesizes(self, stream: _Stream, told: Structure) -> None:
        size = _entry(list(stream.camera.offers.get(told.pixel_format, {})), told.index)
        told.type = int(raw.Frmsizetypes.DISCRETE)
        told.m1.discrete.width, told.m1.discrete.height = size

    def _enum_frameintervals(self, stream: _Stream, told: Structure) -> None:
        rates = stream.camera.offers.get(told.pixel_format, {}).get((told.width, told.height), ())
        told.m1.discrete.numerator, told.m1.discrete.denominator = 1, _entry(list(rates), told.index)
        told.type = int(raw.Frmivaltypes.DISCRETE)

    def _s_fmt(self, stream: _Stream, asked: Structure) -> None:
        pix, offers = asked.fmt.pix, stream.camera.offers
        stream.fourcc = pix.pixelformat if pix.pixelformat in offers else next(iter(offers))
        sizes = offers[stream.fourcc]
        stream.size = min(sizes, key=lambda size: abs(size[0] - pix.width) + abs(size[1] - pix.height))
        self._g_fmt(stream, asked)

    def _g_fmt(self, stream: _Stream, told: Structure) -> None:
        pix = told.fmt.pix
        pix.width, pix.height = stream.size
        pix.pixelformat, pix.field = stream.fourcc, int(raw.Field.NONE)
        pix.bytesperline, pix.sizeimage = stream.stride, stream.image_bytes

    def _s_parm(self, stream: _Stream, asked: Structure) -> None:
        interval = asked.parm.capture.timeperframe
        fps = Fraction(interval.denominator, interval.numerator)
        rates = stream.camera.offers[stream.fourcc][stream.size] or (30,)
        stream.fps = Fraction(min(rates, key=lambda rate: abs(rate - fps)))

    def _g_parm(self, stream: _Stream, told: Structure) -> None:
        interval = told.parm.capture.timeperframe
        interval.numerator, interval.denominator = stream.fps.denominator, stream.fps.numerator

    def _reqbufs(self, stream: _Stream, asked: Structure) -> None:
        asked.count = min(asked.count, 6)
        stream.memory = [bytearray(stream.image_bytes) for _ in range(asked.count)]

    def _querybuf(self, stream: _Stream, told: Structure) -> None:
        told.length, told.m.offset = stream.image_bytes, told.index * 4096

    def _qbuf(self, stream: _Stream, told: Structure) -> None:
        if told.index >= len(stream.memory) or told.index in stream.queued:
            raise OSError(errno.EINVAL, "no such buffer")
        stream.queued.append(told.index)

    def _dqbuf(self, stream: _Stream, told: Structure) -> None:
        self._fill(stream)
        if not stream.filled:
            raise BlockingIOError(errno.EAGAIN, "none")
        buffer = stream.filled.pop(0)
        ctypes.memmove(ctypes.addressof(told), ctypes.addressof(buffer), ctypes.sizeof(told))

    def _streamon(self, stream: _Stream, _type: Structure) -> None:
        stream.next_due_us, stream.number = self._clock.monotonic_us(), 0

    def _streamoff(self, stream: _Stream, _type: Structure) -> None:
        stream.next_due_us = None
        stream.queued, stream.filled = [], []

    def _queryctrl(self, stream: _Stream, told: Structure) -> None:
        control = _control(stream, told.id)
        told.minimum, told.maximum = control.minimum, control.maximum

    def _s_ctrl(self, stream: _Stream, asked: Structure) -> None:
        _control(stream, asked.id).value = asked.value

    def _g_ctrl(self, stream: _Stream, told: Structure) -> None:
        told.value = _control(stream, told.id).value


_NAMES = {int(request.value) & 0xFFFFFFFF: request.name for request in raw.IOC}


def _entry(entries: Sequence[Entry], index: int) -> Entry:
    if index >= len(entries):
        raise OSError(errno.EINVAL, "the end of the list")
    return entries[index]


def _control(stream: _Stream, identity: int) -> Control:
    if identity not in stream.camera.controls:
        raise OSError(errno.EINVAL, "no such control")
    return stream.camera.controls[identity]
