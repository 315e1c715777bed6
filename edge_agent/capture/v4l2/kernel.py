"""The edge to the kernel: what is called on a device's file descriptor. The tests' fake device stands here."""

import ctypes
import fcntl
import mmap
import os
import select
from pathlib import Path
from typing import Protocol

Argument = ctypes.Structure | ctypes.c_uint
"""What an ioctl reads and writes, laid out as in `linux/videodev2.h`."""


class Mapping(Protocol):
    """Memory of a device in this process."""

    @property
    def view(self) -> memoryview:
        """Its bytes, read only."""
        ...

    def close(self) -> None:
        """Give it back; nobody may look at it any more."""
        ...


class Kernel(Protocol):
    """System calls on V4L2 device nodes; all raise OSError as the kernel does."""

    def open(self, path: str) -> int:
        """Open for reading and writing without ever blocking; the descriptor."""
        ...

    def close(self, descriptor: int) -> None:
        """Close a descriptor."""
        ...

    def ioctl(self, descriptor: int, request: int, argument: Argument) -> None:
        """Ask the driver; its answer is written into `argument`."""
        ...

    def map(self, descriptor: int, length_bytes: int, offset: int) -> Mapping:
        """mmap(2), shared."""
        ...

    def poll(self, descriptor: int, timeout_s: float) -> int:
        """Wait until there is a picture to take; the events of the system call, 0 when the time is over."""
        ...

    def resolve(self, path: str) -> str:
        """The node behind a link of udev's."""
        ...

    def present(self, path: str) -> tuple[int, ...] | None:
        """What tells a node from one that comes later or has other rights; None when there is none."""
        ...


class _DeviceMemory:
    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self.view = memoryview(memory)

    def close(self) -> None:
        self.view.release()
        self._memory.close()


class LinuxKernel:
    """This machine's."""

    def open(self, path: str) -> int:
        """As `Kernel`."""
        return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def close(self, descriptor: int) -> None:
        """As `Kernel`."""
        os.close(descriptor)

    def ioctl(self, descriptor: int, request: int, argument: Argument) -> None:
        """As `Kernel`."""
        while True:
            try:
                fcntl.ioctl(descriptor, request, argument)
            except InterruptedError:  # by a signal, whose handler has run
                continue
            return

    def map(self, descriptor: int, length_bytes: int, offset: int) -> Mapping:
        """As `Kernel`."""
        return _DeviceMemory(mmap.mmap(descriptor, length_bytes, mmap.MAP_SHARED, mmap.PROT_READ, offset=offset))

    def poll(self, descriptor: int, timeout_s: float) -> int:
        """As `Kernel`."""
        waiter = select.poll()
        waiter.register(descriptor, select.POLLIN)
        found = waiter.poll(timeout_s * 1000)
        return found[0][1] if found else 0

    def resolve(self, path: str) -> str:
        """As `Kernel`."""
        return str(Path(path).resolve())

    def present(self, path: str) -> tuple[int, ...] | None:
        """As `Kernel`."""
        try:
            found = Path(path).stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_rdev, found.st_ctime_ns
