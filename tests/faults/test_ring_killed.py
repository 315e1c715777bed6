"""A recorder's ring killed at any moment, or stopped, or faced with clients that are."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.buffer.client import RingClient
from edge_agent.buffer.ring import Ring
from edge_agent.buffer.segment_scan import scan_segment
from edge_agent.clock import SystemClock
from edge_agent.contract.ring_protocol import RecorderState
from edge_agent.errors import RingRequestError, RingUnavailableError
from edge_agent.paths import ring_socket
from tests.builders import CAMERA
from tests.support.polling import until
from tests.support.processes import Processes
from tests.support.rings import RingBench, held_segments

pytestmark = [pytest.mark.faults, pytest.mark.slow]

ROOT = Path(__file__).parents[2]

Synced = tuple[int, int, str]


class Recorder:
    """A ring in a process, and what it said of itself."""

    def __init__(self, processes: Processes, data_dir: Path, *arguments: str) -> None:
        command: list[str | Path] = [sys.executable, "-m", "tests.faults.ring_process", data_dir, *arguments]
        self.process = processes.start(command, cwd=ROOT, stdout=subprocess.PIPE)
        self.synced: list[Synced] = []
        self.is_ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            words = line.split()
            if words == [b"ready"]:
                self.is_ready.set()
            elif len(words) == 4 and line.endswith(b"\n"):
                self.synced.append((int(words[1]), int(words[2]), words[3].decode()))

    def wait_dead(self) -> list[Synced]:
        assert self.process.wait(60) == -signal.SIGKILL
        self._reader.join(30)
        return self.synced


def check_ring(data_dir: Path, synced: list[Synced]) -> None:
    """Everything that was said to be synced is in the ring, and every file is whole."""
    bench = RingBench(data_dir, {"segment_s": 2})
    ring = Ring.open(data_dir, bench.camera, bench.context(), SystemClock(), record=False)
    try:
        segments = held_segments(ring)
        held = {
            (info.sequence, entry.record.number): entry.digest.hex() for info in segments for entry in info.fragments
        }
        missing = [said for said in synced if held.get(said[:2]) != said[2]]
        assert missing == []
        for info in segments:
            result = scan_segment(ring._holdings.directory / info.file, ring._holdings.directory)
            assert result.problem is None
            assert result.info == info
    finally:
        ring.close()


def test_killed_in_the_midst_of_any_write_or_sync(processes: Processes, tmp_path: Path) -> None:
    synced: list[Synced] = []
    for kill_at in (1, 2, 3, 4, 5, 8, 11, 12):
        synced += Recorder(processes, tmp_path, str(kill_at)).wait_dead()
        check_ring(tmp_path, synced)
    assert synced


def test_killed_at_random_moments(processes: Processes, tmp_path: Path) -> None:
    moments = random.Random(20260322)
    synced: list[Synced] = []
    for _ in range(5):
        recorder = Recorder(processes, tmp_path)
        assert recorder.is_ready.wait(60)
        threading.Event().wait(moments.uniform(0.2, 3.0))
        recorder.process.kill()
        synced += recorder.wait_dead()
        check_ring(tmp_path, synced)
    assert synced


async def started(processes: Processes, data_dir: Path) -> tuple[Recorder, RingClient]:
    recorder = Recorder(processes, data_dir)
    client = RingClient(ring_socket(data_dir, CAMERA), answer_timeout_s=2.0)
    await until(recorder.is_ready.is_set, what="the recorder ready", timeout_s=60)
    return recorder, client


def grows(recorder: Recorder) -> Callable[[], bool]:
    """Whether more was synced since now."""
    last = recorder.synced[-1:]
    return lambda: recorder.synced[-1:] != last


async def test_a_stopped_recorder_does_not_hang_who_asks(processes: Processes, tmp_path: Path) -> None:
    recorder, client = await started(processes, tmp_path)
    assert (await client.state()).camera == CAMERA
    os.kill(recorder.process.pid, signal.SIGSTOP)
    with pytest.raises(RingUnavailableError):
        async with asyncio.timeout(30):
            await client.state()
    os.kill(recorder.process.pid, signal.SIGCONT)
    assert (await client.state()).camera == CAMERA


async def first_answer(client: RingClient) -> RecorderState:
    """The state, as soon as the recorder has a moment between the requests of who does not read."""
    while True:
        try:
            return await client.state()
        except (RingUnavailableError, RingRequestError):
            await asyncio.sleep(0.2)


STOPPED_CLIENT = """
import os, signal, socket, sys
connections = [socket.socket(socket.AF_UNIX) for _ in range(8)]
for connection in connections:
    connection.connect(sys.argv[1])
    connection.sendall(b'{"op":"coverage","max_intervals":2000}\\n' * 500)
print("stopping", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


async def test_a_stopped_client_costs_the_recorder_nothing(processes: Processes, tmp_path: Path) -> None:
    recorder, client = await started(processes, tmp_path)
    path = ring_socket(tmp_path, CAMERA)
    clients = [
        processes.start([sys.executable, "-c", STOPPED_CLIENT, path], stdout=subprocess.PIPE) for _ in range(2)
    ]
    for one in clients:
        assert one.stdout is not None
        await asyncio.to_thread(one.stdout.readline)
    more_is_synced = grows(recorder)
    await until(more_is_synced, what="footage synced while clients are stopped")

    async with asyncio.timeout(60):
        assert (await first_answer(client)).recording
    assert recorder.process.poll() is None
