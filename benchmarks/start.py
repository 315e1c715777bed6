"""From `edge-agent run` to the first synced fragment of a camera over RTSP."""

import time
from collections.abc import Iterator

from benchmarks.camera import start_camera
from benchmarks.measure import median
from benchmarks.row import Row
from benchmarks.unit import write_unit
from benchmarks.workspace import Workspace, end, python
from edge_agent.clock import SystemClock

_BAR_S = 4.0
_TIMES = 7
_QUICK_TIMES = 2


def run(workspace: Workspace) -> Iterator[Row]:
    """Each start on an empty data directory; the worst one is judged."""
    directory = workspace.directory("start")
    times = _QUICK_TIMES if workspace.quick else _TIMES
    url = start_camera(workspace, directory, times * _BAR_S * 2 / 60)
    elapsed_s = [_start_once(workspace, url, number) for number in range(times)]
    yield Row(
        name="start to the first synced fragment",
        ours=max(elapsed_s),
        unit="s",
        judge="ours",
        bar=_BAR_S,
        note=f"longest of {len(elapsed_s)}, median {median(elapsed_s):.2f} s, shortest {min(elapsed_s):.2f} s;"
        " waiting for the camera's next key frame (one a second) and a fragment of 1 s included",
    )


def _start_once(workspace: Workspace, url: str, number: int) -> float:
    unit = write_unit(workspace.directory(f"start/{number}"), url)
    name = f"start-{number}"
    begun_s = time.perf_counter()
    synced = unit.footage_since(SystemClock().wall_us())
    process = workspace.start(python("-m", "edge_agent", "run", "--config", unit.config), name)
    unit.wait(workspace, process, name, synced)
    elapsed_s = time.perf_counter() - begun_s
    end(process)
    return elapsed_s
