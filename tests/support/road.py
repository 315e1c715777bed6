"""A unit and its centre on two sides of a mobile network: name spaces, a bottleneck with a deep queue, a delay.

    unit ──veth── road ──tc-tbf(8)──► delay line ──► centre

The unit's packets are forwarded by a router of its own, so that the queue in front of the bottleneck is not the
sender's own (of which TCP knows): it stands for the modem's or the base station's buffer.
"""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from tests.support.processes import Processes

UNIT_ADDRESS = "10.88.0.1"
CENTRE_ADDRESS = "10.88.1.2"
ONE_WAY_MS = 40.0
QUEUE_MS = 400
"""What the bottleneck holds at its rate before it drops."""

_ROOT = Path(__file__).parents[2]
_CLONE_NEWNET = 0x40000000
_BURST_BYTES = 3_100
_numbers = count()


def require_name_spaces() -> None:
    """Skip where nobody may make network name spaces, or the kernel has no tun device: nothing else can tell."""
    if os.geteuid() != 0 or not Path("/dev/net/tun").exists() or shutil.which("tc") is None:
        pytest.skip("network name spaces take root, /dev/net/tun, ip and tc")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, stdin=subprocess.DEVNULL)


@dataclass(frozen=True, slots=True)
class NameSpace:
    """A network name space; see ip-netns(8)."""

    name: str

    def command(self, *command: str | Path) -> list[str | Path]:
        """The command line that runs a program inside, under its own process id."""
        return ["ip", "netns", "exec", self.name, *command]

    def ip(self, *arguments: str) -> None:
        """Call ip(8) inside."""
        _ip("-n", self.name, *arguments)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread's new sockets, and processes and threads that it starts, belong to the name space."""
        with (
            Path("/proc/thread-self/ns/net").open("rb") as before,
            Path(f"/run/netns/{self.name}").open("rb") as ours,
        ):
            _enter(ours.fileno())
            try:
                yield
            finally:
                _enter(before.fileno())


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@dataclass(frozen=True, slots=True)
class Road:
    """The way between them.

    Attributes:
        unit: where the unit's processes run; it is `UNIT_ADDRESS`.
        centre: where the centre's run; it is `CENTRE_ADDRESS`.
        router: between them.
    """

    unit: NameSpace
    centre: NameSpace
    router: NameSpace

    def set_rate(self, kbit_s: int, queue_ms: int = QUEUE_MS) -> None:
        """Let the unit's side send at most so much; beyond the queue packets are dropped."""
        limit_bytes = max(kbit_s * queue_ms // 8, 2 * _BURST_BYTES)
        shaper = ["tbf", "rate", f"{kbit_s}kbit", "burst", str(_BURST_BYTES), "limit", str(limit_bytes)]
        command = ["tc", "-n", self.router.name, "qdisc", "replace", "dev", "far", "root", *shaper]
        subprocess.run(command, check=True)


@contextmanager
def open_road(
    processes: Processes, kbit_s: int, *, one_way_ms: float = ONE_WAY_MS, queue_ms: int = QUEUE_MS
) -> Iterator[Road]:
    """Three name spaces and what joins them, gone afterwards."""
    prefix = f"road{os.getpid()}x{next(_numbers)}"
    road = Road(*(NameSpace(f"{prefix}{side}") for side in ("unit", "centre", "router")))
    made: list[NameSpace] = []
    try:
        for space in (road.unit, road.centre, road.router):
            _ip("netns", "add", space.name)
            made.append(space)
            space.ip("link", "set", "lo", "up")
        _join(road, processes, one_way_ms)
        road.set_rate(kbit_s, queue_ms)
        yield road
    finally:
        for space in made:
            _ip("netns", "delete", space.name)


def _join(road: Road, processes: Processes, one_way_ms: float) -> None:
    _ip("link", "add", "wire", "netns", road.unit.name, "type", "veth", "peer", "near", "netns", road.router.name)
    line = [sys.executable, "-m", "tests.support.delay_line", "far", "centre", str(one_way_ms)]
    process = processes.start(road.router.command(*line), cwd=_ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline(), "the delay line did not start"
    road.router.ip("link", "set", "centre", "netns", road.centre.name)
    for space, device, address in (
        (road.unit, "wire", f"{UNIT_ADDRESS}/30"),
        (road.router, "near", "10.88.0.2/30"),
        (road.router, "far", "10.88.1.1/30"),
        (road.centre, "centre", f"{CENTRE_ADDRESS}/30"),
    ):
        space.ip("address", "add", address, "dev", device)
        space.ip("link", "set", device, "up")
    road.unit.ip("route", "add", "default", "via", "10.88.0.2")
    road.centre.ip("route", "add", "default", "via", "10.88.1.1")
    forward = ["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"]
    subprocess.run(list(map(str, road.router.command(*forward))), check=True)
