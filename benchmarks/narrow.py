"""A clip through 2 Mbit/s with 40 ms each way and a deep queue: ten cuts, and commands meanwhile.

Unit and centre are two network name spaces (tests/support/road.py): root alone can make them. Real recorder and link,
real mosquitto, the reference ingest. `curl` sends the same bytes the same way with the same cuts, asks the offset
again after each and goes on from there.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import median, percentile
from benchmarks.narrow_rig import CURL_RETRY_S, KBIT_S, NarrowRig, open_rig
from benchmarks.row import Row
from benchmarks.workspace import Workspace
from edge_agent.settings import UploadSettings

_CUTS = 10
_CLIP_S = 30.0
_QUICK_CLIP_S = 12.0
_ASKED = 60
_QUICK_ASKED = 25
_SETTLE_S = 3.0
_BAR_GOODPUT = 0.95
_BAR_ROUND_TRIP = 2.0


def run(workspace: Workspace) -> Iterator[Row]:
    """Goodput over ten cuts, bytes sent twice, and the round trip of commands."""
    if os.geteuid() != 0:
        print("narrow: only root can make network name spaces; not measured", file=sys.stderr)
        return
    with open_rig(workspace, 3) as rig:
        seconds = _QUICK_CLIP_S if workspace.quick else _CLIP_S
        ours, file = _send_ours(rig, seconds)
        curl = _cut_all_along(rig, file, lambda: rig.curl(file))
        yield from _cut_rows(file.stat().st_size, ours, curl)
        yield from _round_trip_rows(rig, file, _QUICK_ASKED if workspace.quick else _ASKED)


@dataclass(frozen=True, slots=True)
class Sent:
    """One upload: how long it took, and how much went to the ingest for it, requests' headers included."""

    seconds: float
    to_server_bytes: int
    cuts: int


def _send_ours(rig: NarrowRig, seconds: float) -> tuple[Sent, Path]:
    """The same clip twice: once to know its size, which the schedule of cuts takes, and once with the cuts."""
    file = _only_part(rig.wait_arrival(rig.ask_clip(seconds)))

    def send() -> float:
        begun_s = time.perf_counter()
        rig.wait_arrival(rig.ask_clip(seconds))
        return time.perf_counter() - begun_s

    return _cut_all_along(rig, file, send), file


def _only_part(folder: Path) -> Path:
    (part,) = folder.glob("*.mp4")
    return part


def _cut_all_along(rig: NarrowRig, file: Path, send: Callable[[], float]) -> Sent:
    """Send while a thread cuts each time that an eleventh of the file has passed."""
    proxy = rig.proxy
    before_bytes, before_cuts = proxy.to_server_bytes, proxy.cuts
    with _cutting(rig, file.stat().st_size // (_CUTS + 1)):
        seconds = send()
    return Sent(seconds, proxy.to_server_bytes - before_bytes, proxy.cuts - before_cuts)


@contextmanager
def _cutting(rig: NarrowRig, every_bytes: int) -> Iterator[None]:
    proxy, over = rig.proxy, threading.Event()

    def cut() -> None:
        for number in range(1, _CUTS + 1):
            proxy.cut_after_bytes = every_bytes
            before = proxy.cuts
            while proxy.cuts == before and not over.wait(0.01):
                continue
            print(f"  cut {number}", file=sys.stderr)

    thread = threading.Thread(target=cut)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        proxy.cut_after_bytes = None


def _cut_rows(size_bytes: int, ours: Sent, curl: Sent) -> Iterator[Row]:
    if ours.cuts != _CUTS or curl.cuts != _CUTS:
        raise RuntimeError(f"cut {ours.cuts} and {curl.cuts} times, wanted {_CUTS}")
    chunk_bytes = UploadSettings(url="http://bench/").chunk_bytes
    again = [(sent.to_server_bytes - size_bytes) / _CUTS / 1e3 for sent in (ours, curl)]
    peer_name = f"curl -X PATCH from the offset that HEAD answers, {CURL_RETRY_S:g} s after each cut"
    yield Row(
        name=f"upload of {size_bytes / 1e6:.0f} MB through 2 Mbit/s, ten cuts",
        ours=size_bytes * 8 / ours.seconds / 1e3,
        unit="kbit/s",
        peer=size_bytes * 8 / curl.seconds / 1e3,
        peer_name=peer_name,
        judge="ratio",
        bar=_BAR_GOODPUT,
        at_least=True,
        note=f"{KBIT_S} kbit/s, 40 ms each way, a queue of 400 ms; ours from the command to"
        " the manifest at the centre",
    )
    yield Row(
        name="sent twice for each of the ten cuts",
        ours=again[0],
        unit="kB",
        peer=again[1],
        peer_name=peer_name,
        judge="ours",
        bar=chunk_bytes / 1e3,
        note="at the ingest; headers of all requests and the manifest are counted as if sent twice; bar: a chunk",
    )


def _round_trip_rows(rig: NarrowRig, file: Path, times: int) -> Iterator[Row]:
    idle = _round_trips(rig, times)
    beside = _beside(rig, lambda: rig.curl(file), times)
    clip_id = rig.ask_clip(120.0)
    time.sleep(_SETTLE_S)
    before_bytes, begun_s = rig.proxy.to_server_bytes, time.perf_counter()
    ours = _round_trips(rig, times)
    kbit_s = (rig.proxy.to_server_bytes - before_bytes) * 8 / (time.perf_counter() - begun_s) / 1e3
    rig.asker.ask_ms("clip.cancel", {"clip_id": clip_id}, "done")
    peer_name = "the same with nothing else on the road"
    for name, value in (("p50", 50), ("p95", 95)):
        yield Row(
            name=f"command round trip while an upload fills 2 Mbit/s, {name}",
            ours=percentile(ours, value),
            unit="ms",
            peer=percentile(idle, value),
            peer_name=peer_name,
            judge="ratio",
            bar=_BAR_ROUND_TRIP,
            note=f"clip.list to `done`, {times} times; the upload went on at {kbit_s:.0f} kbit/s;"
            f" beside curl's upload {percentile(beside, value):.0f} ms; longest {max(ours):.0f} ms,"
            f" median {median(ours):.0f} ms",
        )


def _round_trips(rig: NarrowRig, times: int) -> list[float]:
    found = []
    for _ in range(times):
        found.append(rig.asker.list_clips_ms())
        time.sleep(0.15)
    return found


def _beside(rig: NarrowRig, send: Callable[[], object], times: int) -> list[float]:
    """Round trips while somebody else sends."""
    thread = threading.Thread(target=send)
    with rig.road.centre.entered():
        thread.start()
    time.sleep(_SETTLE_S)
    found = _round_trips(rig, times)
    thread.join()
    return found
