"""`edge-agent check`: what a technician or an image build wants to know before the unit is trusted.

Each check says `ok`, `warning` or `failed` and what to do; the exit code is 1 when one failed.
"""

import asyncio
import json
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from edge_agent.buffer.client import call_sync
from edge_agent.buffer.layout import size_on_disk
from edge_agent.capture.outputs import make_outputs
from edge_agent.capture.source import SourceContext
from edge_agent.capture.table import open_source
from edge_agent.capture.timeline import MediaTimeline
from edge_agent.clock import Clock
from edge_agent.clock_source import SystemClockProbe
from edge_agent.contract.access_unit import AccessUnit, CodecConfig, GapCause
from edge_agent.contract.ring_protocol import RecorderState
from edge_agent.durable import make_directory, remove_file, write_file
from edge_agent.errors import CaptureError, EdgeAgentError, RingUnavailableError
from edge_agent.evidence.keys import load_or_create_unit_key
from edge_agent.health.storage import RingLoad, days_of, hours_that_fit, load_of
from edge_agent.link import read_trusted_keys
from edge_agent.paths import ring_directory, ring_socket
from edge_agent.position.look import look
from edge_agent.settings import CameraSettings, PositionSettings, Settings
from edge_agent.settings_file import check_camera_files, check_link_files
from edge_agent.storage_fault import storage_fault

Verdict = Literal["ok", "warning", "failed"]
MIN_FREE_BYTES = 1_000_000_000
RECEIVER_S = 8.0
"""Receivers report every second, and their satellites every few."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the check."""

    what: str
    verdict: Verdict
    text: str


def run_check(settings: Settings, clock: Clock, *, as_json: bool) -> int:
    """Run every check and print the findings; 1 when one failed."""
    findings = list(_findings(settings, clock))
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            print(f"{finding.verdict:8}{finding.what}: {finding.text}")
    return 1 if any(finding.verdict == "failed" for finding in findings) else 0


def _findings(settings: Settings, clock: Clock) -> Iterator[Finding]:
    yield Finding("settings", "ok", f"unit {settings.unit.id}, {len(settings.camera)} camera(s)")
    yield _guarded("storage", lambda: _check_storage(settings, clock))
    yield _guarded("unit key", lambda: _check_key(settings))
    if settings.trust is not None:
        trust = settings.trust
        yield _guarded("trust", lambda: _check_trust(trust.command_keys_file))
    yield _guarded("link", lambda: _check_link(settings))
    yield _check_clock(clock)
    if settings.position is not None and settings.position.gpsd is not None:
        receiver = settings.position
        yield _guarded("position", lambda: _check_position(receiver, clock))
    for camera in settings.recorders:
        yield _guarded(f"camera {camera.name}", partial(_check_camera, settings, camera, clock))


def _guarded(what: str, check: Callable[[], tuple[Verdict, str]]) -> Finding:
    try:
        verdict, text = check()
    except (EdgeAgentError, OSError) as error:
        return Finding(what, "failed", str(error))
    return Finding(what, verdict, text)


def _check_storage(settings: Settings, clock: Clock) -> tuple[Verdict, str]:
    data_dir = settings.unit.data_dir
    try:
        make_directory(data_dir)
        probe = data_dir / f"check-{uuid.uuid4().hex}"
        write_file(probe, b"edge-agent check")
        remove_file(probe)
    except OSError as error:
        return "failed", storage_fault(data_dir, error)
    free_bytes = shutil.disk_usage(data_dir).free
    loads = {camera.name: _load_of(data_dir, camera, clock) for camera in settings.rings}
    hours = hours_that_fit(free_bytes, settings.rings, loads)
    kbps = sum(load.rate_kbps for load in loads.values())
    fitting = f"{days_of(hours)} days of footage fit at {kbps:.0f} kbit/s"
    text = f"{data_dir} is writable, {free_bytes / 1e9:.1f} GB free: {fitting}"
    if len(hours) > 1:
        text += f", {min(hours, key=lambda name: hours[name])} has the fewest"
    return ("ok" if free_bytes >= MIN_FREE_BYTES else "warning"), text


def _load_of(data_dir: Path, camera: CameraSettings, clock: Clock) -> RingLoad:
    """As its recorder measures it; as the settings expect it, and the files lie, when none runs."""
    try:
        answer = call_sync(ring_socket(data_dir, camera.name), {"op": "state"}, clock, timeout_s=5.0)
    except RingUnavailableError:
        return RingLoad(camera.bitrate_kbps, size_on_disk(ring_directory(data_dir, camera.name)))
    state = RecorderState.from_object(answer)
    return load_of(state) or RingLoad(camera.bitrate_kbps, state.size_bytes)


def _check_key(settings: Settings) -> tuple[Verdict, str]:
    return "ok", f"its id is {load_or_create_unit_key(settings.unit.data_dir).key_id}"


def _check_trust(path: Path) -> tuple[Verdict, str]:
    keys = read_trusted_keys(path)
    return "ok", f"{len(keys.keys.keys)} key(s) of the supervision centre in {path}"


def _check_link(settings: Settings) -> tuple[Verdict, str]:
    """Whether it has what it needs; one that was begun with `[mqtt]` and lacks the rest is no unit to be sent out."""
    if settings.link_lacks is not None:
        return ("warning" if settings.mqtt is None else "failed"), settings.link_lacks
    check_link_files(settings)
    return "ok", "the files that it needs are there"


def _check_clock(clock: Clock) -> Finding:
    reading = SystemClockProbe(clock).read()
    if reading.source == "unknown" or reading.bound_us is None:
        text = "nobody vouches for it: times of footage will carry no bound; run chrony, or wait for its first answer"
        return Finding("clock", "warning", text)
    return Finding("clock", "ok", f"{reading.source}, ±{reading.bound_us / 1000:.0f} ms")


def _check_position(receiver: PositionSettings, clock: Clock) -> tuple[Verdict, str]:
    """Whether there is a fix; a receiver under a roof has none, one that says nothing is to be seen to."""
    sight, speaks = asyncio.run(look(receiver, clock, RECEIVER_S))
    if not speaks:
        return "failed", f"{sight.trouble}; look at gpsd (`gpspipe -w` shows what it says) and at [position] gpsd"
    counts = (
        ""
        if sight.satellites_seen is None
        else f", {sight.satellites_used} of {sight.satellites_seen} satellites used"
    )
    if sight.trouble or sight.place is None:
        return "warning", f"{sight.trouble}{counts}; has its antenna the open sky?"
    error = "unknown error" if sight.place.accuracy_m is None else f"±{sight.place.accuracy_m:.0f} m"
    longitude_deg, latitude_deg = sight.place.point
    return "ok", f"{sight.fix} fix at {latitude_deg:.5f}, {longitude_deg:.5f}, {error}{counts}"


def _check_camera(settings: Settings, camera: CameraSettings, clock: Clock) -> tuple[Verdict, str]:
    check_camera_files(camera)
    try:
        answer = call_sync(ring_socket(settings.unit.data_dir, camera.name), {"op": "state"}, clock, timeout_s=5.0)
    except RingUnavailableError:
        return _try_source(settings, camera, clock)
    state = RecorderState.from_object(answer)
    if not state.recording:
        return "failed", f"its recorder runs and does not record: {state.cause or 'unknown'} {state.detail}".rstrip()
    text = f"its recorder runs: {state.codec} {state.width_px}x{state.height_px} at {state.frames_per_second:.1f} fps"
    return ("warning" if state.warnings else "ok"), " ".join([text, *state.warnings])


class _FirstPicture:
    """A sink that waits for one access unit and keeps nothing."""

    def __init__(self) -> None:
        self.came = threading.Event()
        self.config: CodecConfig | None = None

    def start_stream(self, config: CodecConfig, cause: GapCause) -> None:
        """Remember what comes."""
        del cause
        self.config = config

    def write(self, unit: AccessUnit) -> None:
        """One is enough."""
        del unit
        self.came.set()

    def end_stream(self, cause: GapCause, detail: str) -> None:
        """Nothing was kept, nothing is to be written."""


def _try_source(settings: Settings, camera: CameraSettings, clock: Clock) -> tuple[Verdict, str]:
    """Open the camera and wait for its first picture; a library that hangs is left behind when the process ends."""
    sink, stop, ended = _FirstPicture(), threading.Event(), threading.Event()
    outputs = make_outputs(camera, clock, sink)
    context = SourceContext(settings.unit.id, clock, MediaTimeline(clock.monotonic_us()), frames=outputs)
    source = open_source(camera, context)
    problems: list[CaptureError] = []

    def attempt() -> None:
        try:
            source.run(sink, stop)
        except CaptureError as error:
            problems.append(error)
        finally:
            ended.set()
            sink.came.set()

    threading.Thread(target=attempt, name="check", daemon=True).start()
    limit_s = 2 * camera.connect_timeout_s + camera.stall_timeout_s
    clock.wait(sink.came, limit_s)
    stop.set()
    clock.wait(ended, 2.0)
    if problems:
        raise problems[0]
    if sink.config is None:
        return "failed", f"no picture came within {limit_s:.0f} s"
    return "ok", f"{sink.config.codec} {sink.config.width_px}x{sink.config.height_px}"
