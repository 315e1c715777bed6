"""A node's buffers: mapped, filled by the driver, taken out and given back."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

from linuxpy.video import raw

from edge_agent.capture.v4l2.kernel import Argument, Mapping
from edge_agent.capture.v4l2.negotiation import Negotiated
from edge_agent.capture.v4l2.node import MULTI_PLANE, Node
from edge_agent.errors import SourceFormatError

_WANTED = 8
_LEAST = 2
_MOST = 32
_MAX_PLANES = 8
"""VIDEO_MAX_PLANES"""
_MMAP = int(raw.Memory.MMAP)
_FLAGS = raw.BufferFlag
_ERROR, _KEY = int(_FLAGS.ERROR), int(_FLAGS.KEYFRAME)
_STAMP_MASK, _MONOTONIC = int(_FLAGS.TIMESTAMP_MASK), int(_FLAGS.TIMESTAMP_MONOTONIC)
_SOURCE_MASK, _EXPOSURE = int(_FLAGS.TSTAMP_SRC_MASK), int(_FLAGS.TSTAMP_SRC_SOE)


@dataclass(frozen=True, slots=True)
class Filled:
    """A buffer with a picture in it; its memory is the driver's again once it was given back.

    Attributes:
        index: of the buffer.
        planes: what was written into each plane.
        stamp_us: the driver's time stamp.
        is_monotonic: the stamp is of CLOCK_MONOTONIC; else nobody knows of which clock.
        at_exposure: the stamp is of the start of the exposure; else of the end of the frame.
        sequence: counts the frames, those that were lost too; modulo 2^32.
        is_damaged: the driver says so, or says what cannot be.
        is_key: the driver says that decoding can begin here.
    """

    index: int
    planes: tuple[memoryview, ...]
    stamp_us: int
    is_monotonic: bool
    at_exposure: bool
    sequence: int
    is_damaged: bool
    is_key: bool


class Buffers:
    """The buffers of one stream, from `start` to `stop`."""

    def __init__(self, node: Node, negotiated: Negotiated) -> None:
        self._node = node
        self._type = negotiated.buffer_type
        self._planes = len(negotiated.planes)
        self._memory: list[tuple[Mapping, ...]] = []
        self._queued: set[int] = set()
        self._shown: dict[int, tuple[memoryview, ...]] = {}
        self._is_requested = False
        self._is_on = False

    def start(self) -> None:
        """Have the driver fill buffers.

        Raises:
            OSError: as the kernel raised it.
            SourceFormatError: the driver tells of buffers that cannot be.
        """
        for index in range(self._request(_WANTED)):
            self._memory.append(self._map(index))
        for index in range(len(self._memory)):
            self.give_back(index)
        self._node.call(raw.IOC.STREAMON, _type_argument(self._type))
        self._is_on = True

    def stop(self) -> tuple[str, ...]:
        """End the stream and free everything; what the driver refused of that, it has freed by itself or will."""
        refused = []
        if self._is_on:
            self._is_on = False
            refused.append(self._attempt(raw.IOC.STREAMOFF, _type_argument(self._type)))
        for index in tuple(self._shown):
            self._hide(index)
        memory, self._memory = self._memory, []
        for planes in memory:
            for mapping in planes:
                mapping.close()
        if self._is_requested:
            self._is_requested = False
            freed = raw.v4l2_requestbuffers(count=0, type=self._type, memory=_MMAP)
            refused.append(self._attempt(raw.IOC.REQBUFS, freed))
        return tuple(words for words in refused if words)

    def _attempt(self, request: raw.IOC, argument: Argument) -> str:
        try:
            self._node.call(request, argument)
        except OSError as error:  # of a camera that is gone
            return str(error)
        return ""

    def _request(self, count: int) -> int:
        asked = raw.v4l2_requestbuffers(count=count, type=self._type, memory=_MMAP)
        self._node.call(raw.IOC.REQBUFS, asked)
        self._is_requested = True
        given = int(asked.count)
        if not _LEAST <= given <= _MOST:
            raise SourceFormatError(f"{self._node.path}: its driver gives {given} buffers, too few")
        return given

    def _map(self, index: int) -> tuple[Mapping, ...]:
        told, planes = self._buffer(index)
        self._node.call(raw.IOC.QUERYBUF, told)
        if self._type == MULTI_PLANE:
            places = [(int(plane.length), int(plane.m.mem_offset)) for plane in planes[: self._planes]]
        else:
            places = [(int(told.length), int(told.m.offset))]
        if told.index != index or any(not 0 < length < 1 << 30 for length, _ in places):
            raise SourceFormatError(f"{self._node.path}: its driver tells of buffer {told.index} with {places}")
        kernel, descriptor = self._node.kernel, self._node.descriptor
        return tuple(kernel.map(descriptor, length, offset) for length, offset in places)

    def _buffer(self, index: int) -> tuple[raw.v4l2_buffer, ctypes.Array[raw.v4l2_plane]]:
        buffer = raw.v4l2_buffer(type=self._type, memory=_MMAP, index=index)
        planes = (raw.v4l2_plane * _MAX_PLANES)()
        if self._type == MULTI_PLANE:
            buffer.m.planes = planes
            buffer.length = _MAX_PLANES
        return buffer, planes

    def give_back(self, index: int) -> None:
        """Let the driver fill a buffer again.

        Raises:
            OSError: as the kernel raised it.
        """
        self._hide(index)
        buffer, _ = self._buffer(index)
        if self._type == MULTI_PLANE:
            buffer.length = self._planes
        self._node.call(raw.IOC.QBUF, buffer)
        self._queued.add(index)

    def _hide(self, index: int) -> None:
        for view in self._shown.pop(index, ()):
            view.release()

    def take(self) -> Filled | None:
        """The next filled buffer; None when there is none.

        Raises:
            OSError: as the kernel raised it.
            SourceFormatError: the driver hands over a buffer that it does not have.
        """
        told, planes = self._buffer(0)
        try:
            self._node.call(raw.IOC.DQBUF, told)
        except BlockingIOError:
            return None
        index = int(told.index)
        if index not in self._queued:
            raise SourceFormatError(f"{self._node.path}: its driver hands over buffer {index}, not its own")
        self._queued.discard(index)
        used = [(int(p.data_offset), int(p.bytesused)) for p in planes[: self._planes]] if (
            self._type == MULTI_PLANE
        ) else [(0, int(told.bytesused))]  # fmt: skip
        views, is_whole = _views(self._memory[index], used)
        self._shown[index] = views
        flags = int(told.flags)
        return Filled(
            index=index,
            planes=views,
            stamp_us=int(told.timestamp.secs) * 1_000_000 + int(told.timestamp.usecs),
            is_monotonic=flags & _STAMP_MASK == _MONOTONIC,
            at_exposure=flags & _SOURCE_MASK == _EXPOSURE,
            sequence=int(told.sequence),
            is_damaged=bool(flags & _ERROR) or not is_whole,
            is_key=bool(flags & _KEY),
        )


def _views(memory: Sequence[Mapping], used: Sequence[tuple[int, int]]) -> tuple[tuple[memoryview, ...], bool]:
    """What was written, and whether that can be."""
    views = []
    is_whole = True
    for mapping, (offset, end) in zip(memory, used, strict=True):
        is_whole = is_whole and 0 <= offset < end <= len(mapping.view)
        views.append(mapping.view[offset:end])
    return tuple(views), is_whole


def _type_argument(buffer_type: int) -> Argument:
    return ctypes.c_uint(buffer_type)
