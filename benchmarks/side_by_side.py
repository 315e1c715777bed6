"""Two programs that record the same pictures at the same time: the CPU of each, and what came of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from subprocess import Popen

from benchmarks.measure import cpu_spent_s
from benchmarks.row import Row
from benchmarks.unit import Unit, size_of_segments
from benchmarks.workspace import Workspace, end, wait_for
from edge_agent.clock import SystemClock

_CLOCK = SystemClock()
_WINDOW_S = 180.0
_QUICK_WINDOW_S = 30.0
_ROUNDS = 3
_SETTLE_S = 5.0

StartPeer = Callable[[Path], Popen[bytes]]
"""Starts the peer, which writes MP4 files into the directory it is given."""


@dataclass(frozen=True, slots=True)
class Round:
    """What was measured at one time.

    Attributes:
        seconds: how long it was.
        ours_s: CPU time of the recorder and its children.
        peer_s: CPU time of the peer.
        footage_bytes: what the recorder wrote.
    """

    seconds: float
    ours_s: float
    peer_s: float
    footage_bytes: int

    @property
    def ratio(self) -> float:
        """Ours over the peer's."""
        return self.ours_s / self.peer_s

    @property
    def footage_mbps(self) -> float:
        """What was recorded, in Mbit/s."""
        return self.footage_bytes * 8 / self.seconds / 1e6


def rounds(workspace: Workspace, name: str, unit: Unit, recorder: Popen[bytes], start_peer: StartPeer) -> list[Round]:
    """Measure a few times, each with a new peer.

    Who of two is woken first, twenty-five times a second, stays as it is for as long as they run, and whoever comes
    second finds the processor's caches full: one round says who was lucky.

    Args:
        workspace: where it is done.
        name: of the benchmark; the peer's files lie below it.
        unit: that records.
        recorder: its process.
        start_peer: starts a peer.
    """
    window_s = (_QUICK_WINDOW_S if workspace.quick else _WINDOW_S) / _ROUNDS
    done = []
    for number in range(_ROUNDS):
        directory = workspace.directory(f"{name}/peer-{number}")
        peer = start_peer(directory)
        wait_for(partial(_first_file, directory), "the peer's first file")
        _CLOCK.sleep(_SETTLE_S)
        done.append(measure(unit, recorder, peer, window_s))
        end(peer)
    return done


def _first_file(directory: Path) -> Path | None:
    return next(directory.glob("*.mp4"), None)


def measure(unit: Unit, recorder: Popen[bytes], peer: Popen[bytes], seconds: float) -> Round:
    """One round, of two that have settled."""
    size_bytes = size_of_segments(unit)
    (ours_s, peer_s), _ = cpu_spent_s([recorder, peer], lambda: _CLOCK.sleep(seconds))
    return Round(seconds, ours_s, peer_s, size_of_segments(unit) - size_bytes)


def cpu_row(name: str, done: Sequence[Round], peer_name: str, bar: float, recorded_by: str) -> Row:
    """The row of the middle round, and how far apart the rounds were.

    Args:
        name: what was recorded.
        done: the rounds.
        peer_name: which program, and what it did.
        bar: for ours over the peer's.
        recorded_by: whose CPU is ours, and what that peer does not do.
    """
    ordered = sorted(done, key=lambda one: one.ratio)
    middle = ordered[len(ordered) // 2]
    spread = f", the middle of {len(ordered)} rounds ({ordered[0].ratio:.2f}× to {ordered[-1].ratio:.2f}×)"
    return Row(
        name=name,
        ours=middle.ours_s * 3600 / middle.seconds,
        unit="CPU s/h",
        peer=middle.peer_s * 3600 / middle.seconds,
        peer_name=peer_name,
        judge="ratio",
        bar=bar,
        note=f"{recorded_by}; over {middle.seconds:.0f} s{spread if len(ordered) > 1 else ''},"
        f" {middle.footage_mbps:.1f} Mbit/s recorded",
    )
