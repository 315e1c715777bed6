"""Memory of a running unit: one 1080p camera over RTSP, recorder and link, under `edge-agent run`."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import psutil

from benchmarks.camera import start_camera
from benchmarks.measure import pss_bytes
from benchmarks.row import Row
from benchmarks.unit import CAMERA, child_running, prepare_link, write_unit
from benchmarks.workspace import Workspace, end, python, wait_for
from csu.broker import Broker
from edge_agent.clock import SystemClock
from edge_agent.contract.jws import SigningKey

_BAR_MB = 200.0
_GROWTH_BAR_MB = 5.0
_MINUTES = 10.0
_QUICK_MINUTES = 1.0
_FIRST_LOOK = 0.3
"""Share of the time after which the first instant of the growth is taken: start and first segments are over."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Proportional set sizes of the unit's processes, bytes."""

    recorder: int
    link: int
    supervisor: int

    @property
    def counted(self) -> int:
        """What the bar is about."""
        return self.recorder + self.link


def run(workspace: Workspace) -> Iterator[Row]:
    """Size after the time, and growth since a third of it."""
    directory = workspace.directory("memory")
    minutes = _QUICK_MINUTES if workspace.quick else _MINUTES
    with Broker(directory / "broker") as broker:
        process = _start_unit(workspace, directory, broker, minutes)
        time.sleep(minutes * 60 * _FIRST_LOOK)
        early = _sample(process)
        time.sleep(minutes * 60 * (1 - _FIRST_LOOK))
        late = _sample(process)
        end(process)
    yield Row(
        name="memory of recorder and link (PSS)",
        ours=late.counted / 1e6,
        unit="MB",
        judge="ours",
        bar=_BAR_MB,
        note=f"after {minutes:g} min; recorder {late.recorder / 1e6:.0f} MB, link {late.link / 1e6:.0f} MB;"
        f" the supervisor, not counted, {late.supervisor / 1e6:.0f} MB",
    )
    yield Row(
        name="memory growth",
        ours=(late.counted - early.counted) / 1e6,
        unit="MB",
        judge="ours",
        bar=_GROWTH_BAR_MB,
        note=f"from minute {minutes * _FIRST_LOOK:g} to minute {minutes:g}",
    )


def _start_unit(workspace: Workspace, directory: Path, broker: Broker, minutes: float) -> Popen[bytes]:
    from benchmarks.upload import start_ingest

    _, upload_url = start_ingest(workspace, directory, SigningKey.generate())
    side = prepare_link(directory, broker, upload_url)
    unit = write_unit(directory, start_camera(workspace, directory, minutes), link=side.tables)
    synced = unit.footage_since(SystemClock().wall_us())
    process = workspace.start(python("-m", "edge_agent", "run", "--config", unit.config), "memory-unit")
    unit.wait(workspace, process, "memory-unit", synced)
    return process


def _sample(process: Popen[bytes]) -> Sample:
    unit = psutil.Process(process.pid)
    recorder = wait_for(lambda: child_running(unit, ("record", CAMERA)), "the recorder's process")
    link = wait_for(lambda: child_running(unit, ("edge_agent", "link")), "the link's process")
    return Sample(pss_bytes(recorder.pid), pss_bytes(link.pid), pss_bytes(process.pid))
