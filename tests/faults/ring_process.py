"""A recorder's ring in a process of its own, to be killed or stopped: `python -m tests.faults.ring_process DIR [N]`.

It records without end and prints what is synced. With N it kills itself in the midst of its N-th write or sync.
"""

import asyncio
import itertools
import os
import signal
import sys
from pathlib import Path

from edge_agent.buffer.ring import Ring
from edge_agent.buffer.segment_writer import StorageCalls
from edge_agent.buffer.server import RingServer
from edge_agent.clock import SystemClock
from edge_agent.paths import ring_socket
from tests.builders import CAMERA, Stream, make_units, shifted
from tests.support.rings import RingBench

FPS = 50
_LOOP_S = 1


class Mortal:
    """Kills its process in the midst of a storage call."""

    def __init__(self, at: int) -> None:
        self._calls = itertools.count(1)
        self._at = at

    def write(self, descriptor: int, data: bytes, offset: int) -> int:
        if next(self._calls) == self._at:
            os.pwrite(descriptor, data[: len(data) // 2], offset)
            os.kill(os.getpid(), signal.SIGKILL)
        return os.pwrite(descriptor, data, offset)

    def sync(self, descriptor: int) -> None:
        if next(self._calls) == self._at:
            os.kill(os.getpid(), signal.SIGKILL)
        os.fdatasync(descriptor)


def open_ring(data_dir: Path) -> Ring:
    bench = RingBench(data_dir, {"segment_s": 2})
    bench.runs = os.getpid()
    return Ring.open(data_dir, bench.camera, bench.context(), SystemClock())


async def record(data_dir: Path, kill_at: int | None) -> None:
    ring = await asyncio.to_thread(open_ring, data_dir)
    if kill_at is not None:
        mortal = Mortal(kill_at)
        ring.storage = StorageCalls(write=mortal.write, sync=mortal.sync)
    server = RingServer(ring, ring_socket(data_dir, CAMERA), request_timeout_s=2.0, idle_timeout_s=60.0)
    await server.start()
    loop = make_units(_LOOP_S, fps=FPS, gop=FPS // 2)
    say("ready")
    ring.start_stream(loop.config, "start")
    await asyncio.gather(play(ring, loop), tell(ring))


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def play(ring: Ring, loop: Stream) -> None:
    begin_us = SystemClock().monotonic_us()
    first_us = loop.units[0].capture_us
    for turn in itertools.count():
        late = shifted(loop, media_90k=turn * _LOOP_S * 90_000, capture_us=begin_us - first_us + turn * 1_000_000)
        for unit in late.units:
            ring.write(unit)
            await asyncio.sleep(1 / FPS)


async def tell(ring: Ring) -> None:
    """Say what a cut must not take any more."""
    while True:
        info = ring._holdings.open_info()
        if info is not None:
            last = info.fragments[-1]
            say(f"synced {info.sequence} {last.record.number} {last.digest.hex()}")
        await asyncio.sleep(0.02)


if __name__ == "__main__":
    asyncio.run(record(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None))
