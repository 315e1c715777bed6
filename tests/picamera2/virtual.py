"""The real picamera2 on libcamera's virtual camera, with what stands in its way here replaced.

Replaced, and nothing else: the memory of pictures (there is no /dev/dma_heap), the list of raw modes (the virtual
camera has none), pace (it sends over a thousand pictures a second unless it is given its buffers one by one), and two
imports for screens and raw files that are not in Debian.
"""

import mmap
import os
import sys
import threading
import types
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

from edge_agent.capture.picamera.library import Library, Platform, add_system_packages, load_library
from edge_agent.clock import SystemClock

FPS = 25.0
_CLOCK = SystemClock()


class _AnyName(type):
    def __getattr__(cls, name: str) -> str:
        return name


def _stand_in(name: str, **members: object) -> None:
    module = types.ModuleType(name)
    vars(module).update(members)
    sys.modules.setdefault(name, module)


def _import_picamera2() -> tuple[Any, Any, Any, Any]:
    add_system_packages()
    _stand_in("pykms", PixelFormat=_AnyName("PixelFormat", (), {}))
    _stand_in("pidng")
    _stand_in("pidng.camdefs", Picamera2Camera=object)
    _stand_in("pidng.core", PICAM2DNG=object)
    import libcamera
    import picamera2
    import picamera2.picamera2 as inner
    from picamera2.allocators.allocator import Allocator

    return libcamera, picamera2, inner, Allocator


libcamera, picamera2, inner, Allocator = _import_picamera2()


class _Held:
    """What a picture's memory is asked for with: nothing has to be synchronised."""

    def __init__(self, allocator: "MemoryAllocator", buffer: object, write: bool) -> None:
        self._memory = allocator.mapped_buffers[buffer]

    def __enter__(self) -> mmap.mmap:
        return self._memory

    def __exit__(self, *_: object) -> None:
        pass


class MemoryAllocator(Allocator):  # type: ignore[misc,valid-type]  # -- picamera2 has no types
    """Pictures in ordinary memory, in the two planes of NV12 that the virtual camera asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.sync = _Held
        self.mapped_buffers: dict[object, mmap.mmap] = {}
        self._buffers: dict[object, list[object]] = {}
        self._descriptors: list[int] = []

    def allocate(self, configuration: Any, _: object) -> None:  # noqa: ANN401 -- picamera2 has no types
        self.close()
        for stream in configuration:
            self._buffers[stream.stream] = [self._make(stream) for _ in range(stream.buffer_count)]

    def _make(self, stream: Any) -> object:  # noqa: ANN401 -- libcamera has no types
        descriptor = os.memfd_create("picture")
        os.ftruncate(descriptor, stream.frame_size)
        self._descriptors.append(descriptor)
        luma_bytes = stream.stride * stream.size.height
        planes = []
        for offset, length in ((0, luma_bytes), (luma_bytes, stream.frame_size - luma_bytes)):
            plane = libcamera.FrameBuffer.Plane()
            plane.fd, plane.offset, plane.length = descriptor, offset, length
            planes.append(plane)
        buffer = libcamera.FrameBuffer(planes)
        self.mapped_buffers[buffer] = mmap.mmap(descriptor, stream.frame_size)
        return buffer

    def buffers(self, stream: object) -> list[object]:
        return self._buffers[stream]

    def close(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = []
        self._buffers, self.mapped_buffers = {}, {}

    def __del__(self) -> None:
        self.close()


class Pacer:
    """Gives the virtual camera its buffers one by one; the switch of every test."""

    def __init__(self, fps: float = FPS) -> None:
        self.fps = fps
        self.is_silent = False
        """No picture comes any more."""
        self.is_stuck = False
        """The camera's thread does not come back from the next picture."""

    def run(self, camera: "PacedCamera") -> None:
        due_us = _CLOCK.monotonic_us()
        while not camera.closed.is_set():
            due_us += round(1e6 / self.fps)
            now_us = _CLOCK.monotonic_us()
            if due_us > now_us:
                camera.closed.wait((due_us - now_us) / 1e6)
            else:
                due_us = now_us
            if not self.is_silent:
                camera.queue_one()


class PacedCamera:
    """libcamera's camera, whose requests wait for their turn."""

    def __init__(self, camera: Any, pacer: Pacer) -> None:  # noqa: ANN401 -- libcamera has no types
        self._camera = camera
        self._waiting: deque[Any] = deque()
        self._lock = threading.Lock()  # protects _waiting, and the camera's running
        self._running = False
        self._pacer = pacer
        self.closed = threading.Event()
        self.missed = 0
        """Pictures of the sensor for which no buffer was free."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- libcamera has no types
        return getattr(self._camera, name)

    def queue_request(self, request: object) -> None:
        with self._lock:
            self._waiting.append(request)

    def queue_one(self) -> None:
        with self._lock:
            if self._running and self._waiting:
                self._camera.queue_request(self._waiting.popleft())
            elif self._running:
                self.missed += 1

    def start(self, controls: object) -> None:
        self._camera.start(controls)
        with self._lock:
            self._running = True
        threading.Thread(target=self._pacer.run, args=(self,), name="pacer", daemon=True).start()

    def stop(self) -> None:
        with self._lock:
            self._running = False
            self._waiting.clear()
        self._camera.stop()

    def release(self) -> None:
        self.closed.set()
        self._camera.release()


class VirtualPicamera2(inner.Picamera2):  # type: ignore[misc,name-defined]  # -- picamera2 has no types
    """picamera2's own class, on the virtual camera."""

    pacer: ClassVar[Pacer] = Pacer()
    alive: ClassVar[list["VirtualPicamera2"]] = []
    """Those that were opened, last at the end."""

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **named)
        self.alive.append(self)

    def _grab_camera(self, index: object) -> PacedCamera:
        return PacedCamera(super()._grab_camera(index), self.pacer)

    def process_requests(self, display: object) -> None:
        if self.pacer.is_stuck:
            threading.Event().wait()
        super().process_requests(display)

    def _get_raw_modes(self) -> list[dict[str, object]]:
        active = self.camera_properties["PixelArrayActiveAreas"][0]
        return [{"format": "SRGGB10", "size": (active[2], active[3])}]


inner.DmaAllocator = MemoryAllocator


def virtual_library(platform: Platform = "pisp") -> Library:
    """picamera2, as the source uses it, with the virtual camera's class in the place of picamera2's own."""
    return replace(load_library(), camera_class=VirtualPicamera2, platform=platform, reason="the test says so")


def fresh_pacer(fps: float = FPS) -> Iterator[Pacer]:
    """A pacer for one test."""
    VirtualPicamera2.pacer = Pacer(fps)
    VirtualPicamera2.alive = []
    yield VirtualPicamera2.pacer
