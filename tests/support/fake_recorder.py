"""A recorder's socket over a ring that is made up as it is asked."""

import asyncio
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_agent.buffer.server import RingServer
from edge_agent.contract.messages import CameraCoverage, CoverageInterval
from edge_agent.contract.ring_protocol import (
    ClockOffer,
    ClockState,
    CoveragePage,
    CoveragePageRequest,
    PlanRequest,
    PlanResult,
    PositionNotice,
    RecorderState,
)
from edge_agent.errors import RingRequestError
from edge_agent.paths import ring_socket
from tests.support.operator import now_us
from tests.support.uploads import Clip, make_clip


@dataclass
class FakeRing:
    """Plans random bytes; remembers what is pinned (`server.RingApi`)."""

    data_dir: Path
    sizes: list[int] = field(default_factory=lambda: [200_000])
    clips: dict[str, Clip] = field(default_factory=dict)
    released: list[str] = field(default_factory=list)
    plan_calls: list[str] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)
    reserved_answers: int = 0
    recording: bool = True
    storage_ok: bool = True
    warnings: tuple[str, ...] = ()
    since_us: int = 0
    page_intervals: int = 3
    places: list[PositionNotice] = field(default_factory=list)
    offers: list[ClockOffer] = field(default_factory=list)

    def state_figures(self) -> RecorderState:
        return make_state(
            recording=self.recording,
            storage_ok=self.storage_ok,
            warnings=self.warnings,
            since_us=self.since_us or now_us() - 3_600_000_000,
            cause=None if self.recording else "camera-lost",
        )

    def plan(self, request: PlanRequest) -> PlanResult:
        self.plan_calls.append(request.clip_id)
        if self.errors:
            raise RingRequestError(*self.errors.pop(0))
        if self.reserved_answers:
            self.reserved_answers -= 1
            return PlanResult(
                state="reserved", plan_file="x", length_bytes=0, parts=0, ready_at_us=now_us() + 300_000
            )
        if request.clip_id not in self.clips:
            self.clips[request.clip_id] = make_clip(self.data_dir, self.sizes, request.clip_id)
        clip = self.clips[request.clip_id]
        return PlanResult(
            state="planned",
            plan_file=str(clip.plan_file.relative_to(self.data_dir)),
            length_bytes=sum(map(len, clip.files.values())),
            parts=len(clip.files),
            delivered=request.interval,
            overwrite_at_us=now_us() + 3_600_000_000,
        )

    def release(self, clip_id: str) -> bool:
        self.released.append(clip_id)
        return self.clips.pop(clip_id, None) is not None

    def plans(self) -> list[str]:
        return sorted(self.clips)

    def coverage(self, max_intervals: int) -> CameraCoverage:
        return CameraCoverage(camera="main", size_bytes=1, last_24h=make_intervals(min(max_intervals, 4)))

    def coverage_page(self, request: CoveragePageRequest) -> CoveragePage:
        done = int(request.cursor or 0)
        count = min(request.max_intervals, self.page_intervals - done)
        more = done + count < self.page_intervals
        return CoveragePage(intervals=make_intervals(count, done), cursor=str(done + count) if more else None)

    def place(self, notice: PositionNotice) -> None:
        self.places.append(notice)

    def offer_clock(self, offer: ClockOffer) -> None:
        self.offers.append(offer)


def make_intervals(count: int, first: int = 0) -> tuple[CoverageInterval, ...]:
    start_us = 1_790_000_000_000_000
    return tuple(
        CoverageInterval(
            start_us=start_us + number * 1_000_000,
            end_us=start_us + (number + 1) * 1_000_000,
            held=number % 2 == 0,
            cause=None if number % 2 == 0 else "camera-lost",
        )
        for number in range(first, first + count)
    )


def make_state(**changes: object) -> RecorderState:
    figures: dict[str, Any] = {
        "camera": "main",
        "recording": True,
        "since_us": now_us() - 3_600_000_000,
        "frames_per_second": 25.0,
        "bitrate_kbps": 4000.0,
        "width_px": 1280,
        "height_px": 720,
        "codec": "h264",
        "dropped_units": 0,
        "stream_restarts": 0,
        "size_bytes": 10_000_000_000,
        "pinned_bytes": 0,
        "write_errors": 0,
        "storage_ok": True,
        "clock": ClockState(source="unknown", utc_us=now_us()),
        "boot_id": "a" * 32,
        "run_id": "b" * 32,
    }
    return RecorderState.model_validate(figures | changes)


class FakeRecorder:
    """The socket of one camera, served from a thread of its own."""

    def __init__(self, ring: FakeRing, camera: str = "main") -> None:
        self.ring = ring
        self._path = ring_socket(ring.data_dir, camera)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake recorder", daemon=True)
        self._thread.start()
        self._server: RingServer | None = None

    def start(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._server = RingServer(self.ring, self._path)
        self._await(self._server.start())

    def stop(self) -> None:
        if self._server is not None:
            self._await(self._server.close())
            self._server = None

    def end(self) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _await(self, work: Coroutine[object, object, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(20)
