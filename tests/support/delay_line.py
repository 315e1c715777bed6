"""A line that takes time, as a process: two tun(4) devices, and what goes into one leaves the other later.

`python -m tests.support.delay_line DEVICE DEVICE DELAY_MS`; writes a line when both devices are there, and takes them
along when it ends. Kernels without `netem` (tc-netem(8)) have no other way to be slow to answer.
"""

import errno
import fcntl
import os
import select
import struct
import sys
import time
from collections import deque
from dataclasses import dataclass, field

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_MAX_PACKET_BYTES = 65_536
_MAX_PACKETS = 20_000


def open_device(name: str) -> int:
    """A tun device of this name (linux/if_tun.h); its descriptor."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode("ascii"), _IFF_TUN | _IFF_NO_PI))
    return descriptor


@dataclass(slots=True)
class Way:
    """One direction: packets and when each is due."""

    source: int
    target: int
    delay_s: float
    waiting: deque[tuple[float, bytes]] = field(default_factory=deque)

    def take(self) -> None:
        """Read what is there; a line holds only so much."""
        try:
            while True:
                packet = os.read(self.source, _MAX_PACKET_BYTES)
                if len(self.waiting) < _MAX_PACKETS:
                    self.waiting.append((time.monotonic() + self.delay_s, packet))
        except OSError as error:  # nothing more, or the device is down at the moment
            if error.errno == errno.EBADFD:  # it went with its namespace: there is no line any more
                sys.exit(f"the device of {self.source} is gone")

    def give(self) -> float | None:
        """Deliver what is due; seconds until the next packet is."""
        while self.waiting:
            left_s = self.waiting[0][0] - time.monotonic()
            if left_s > 0:
                return left_s
            try:
                os.write(self.target, self.waiting.popleft()[1])
            except OSError:  # down: the packet is lost, as on any line
                continue
        return None


def run(first: str, second: str, delay_s: float) -> None:
    """Carry packets until killed, or until a device is gone."""
    left, right = open_device(first), open_device(second)
    ways = {left: Way(left, right, delay_s), right: Way(right, left, delay_s)}
    poll = select.epoll()
    for descriptor in ways:
        poll.register(descriptor, select.EPOLLIN)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        due_s = [left_s for way in ways.values() if (left_s := way.give()) is not None]
        for descriptor, _ in poll.poll(min(due_s, default=-1)):
            ways[descriptor].take()


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], float(sys.argv[3]) / 1000)
