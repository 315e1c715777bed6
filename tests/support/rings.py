"""A ring with a clock moved by hand and a camera that is a loop of a few real pictures."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_agent.buffer.hooks import RingHooks
from edge_agent.buffer.layout import list_segments, segment_file
from edge_agent.buffer.ring import Ring, RingContext
from edge_agent.buffer.segment import SegmentInfo
from edge_agent.clock import FakeClock
from edge_agent.clock_source import ClockReading
from edge_agent.contract.access_unit import TIMESCALE_HZ, GapCause
from edge_agent.contract.clip import Interval, Requester
from edge_agent.contract.ring_protocol import PlanRequest, PlanResult
from edge_agent.contract.segment_format import ClockSource
from edge_agent.paths import ring_directory
from edge_agent.settings import CameraSettings
from tests.builders import CAMERA, UNIT_ID, Stream, make_units
from tests.support.polling import wait_until

BOOT_IDS = tuple(f"{number:032x}" for number in range(0xB0, 0xC0))
REQUESTER = Requester(operator="a. moreau", role="investigator", reference="PV 2026/118", purpose="requisition")
FPS = 5


def clip_id(number: int) -> str:
    return f"0197a1b2-0000-7000-8000-{number:012x}"


@dataclass
class FakeProbe:
    """A clock that somebody vouches for, or nobody."""

    clock: FakeClock
    source: ClockSource = "chrony"
    bound_us: int | None = 2_000

    def read(self) -> ClockReading:
        bound_us = None if self.source == "unknown" else self.bound_us
        return ClockReading(self.clock.monotonic_us(), self.clock.wall_us(), self.source, bound_us)


@dataclass
class RingBench:
    """One camera's data directory through the lives of its recorder."""

    data_dir: Path
    settings: dict[str, Any] = field(default_factory=dict)
    clock: FakeClock = field(default_factory=FakeClock)
    boot_id: str = BOOT_IDS[0]
    runs: int = 0
    fatal: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.probe = FakeProbe(self.clock)

    @property
    def directory(self) -> Path:
        return ring_directory(self.data_dir, CAMERA)

    @property
    def camera(self) -> CameraSettings:
        defaults = {"segment_s": 4, "min_free_bytes": 0, "max_age_h": 24}
        return CameraSettings.model_validate({"name": CAMERA, "source": "test:"} | defaults | self.settings)

    def context(self) -> RingContext:
        return RingContext(UNIT_ID, self.boot_id, f"{self.runs:032x}", "0.1.0")

    def open(self, *, record: bool = True, before_flush: Callable[[], None] = lambda: None) -> Ring:
        self.runs += 1
        return Ring.open(
            self.data_dir,
            self.camera,
            self.context(),
            self.clock,
            probe=self.probe,
            hooks=RingHooks(before_flush=before_flush, on_fatal=self.fatal.append),
            record=record,
        )

    def reboot(self, off_s: float, boot_id: str, *, uptime_s: float = 30.0) -> None:
        """Another boot: the monotonic clock begins anew while time went on."""
        wall_us = self.clock.wall_us() + round(off_s * 1e6)
        self.clock = FakeClock(wall_us, round(uptime_s * 1e6))
        self.probe = FakeProbe(self.clock, self.probe.source, self.probe.bound_us)
        self.boot_id = boot_id

    def stream(self, seconds: float) -> Stream:
        """Pictures from now on; moves neither clock."""
        now_us = self.clock.monotonic_us()
        media_90k = now_us * TIMESCALE_HZ // 1_000_000
        return make_units(seconds, fps=FPS, gop=FPS, first_dts_90k=media_90k, first_capture_us=now_us)

    def play(self, ring: Ring, seconds: float) -> None:
        """Hand pictures over while time passes; a stream must have been started."""
        for unit in self.stream(seconds).units:
            ring.write(unit)
            self.clock.advance(1 / FPS)

    def start(self, ring: Ring, cause: GapCause = "start") -> None:
        ring.start_stream(self.stream(0.2).config, cause)

    def record(
        self, ring: Ring, seconds: float, *, cause: GapCause = "start", end: GapCause | None = "camera-lost"
    ) -> None:
        """A stream of so many seconds; with `end` it ends and everything is on disk when this returns."""
        self.start(ring, cause)
        self.play(ring, seconds)
        if end is not None:
            ring.end_stream(end, "the test ends it")
            self.wait_recorded(ring)

    def while_time_passes(self, probe: Callable[[], bool]) -> Callable[[], bool]:
        """The probe, a tenth of a second later each time."""

        def later() -> bool:
            self.clock.advance(0.1)
            return probe()

        return later

    def wait_recorded(self, ring: Ring) -> None:
        """Until nothing is waiting, open or unindexed."""
        wait_until(lambda: is_settled(ring), what="footage written and indexed")

    def ask(self, ring: Ring, start_us: int, end_us: int, number: int = 1) -> PlanResult:
        interval = Interval(start_us=start_us, end_us=end_us)
        return ring.plan(PlanRequest(clip_id=clip_id(number), interval=interval, requester=REQUESTER))

    def files(self) -> dict[int, Path]:
        found = list_segments(self.directory).segments
        return {sequence: self.directory / segment_file(sequence) for sequence in found}


def held_segments(ring: Ring) -> list[SegmentInfo]:
    """Everything with synced footage, the open segment included, in order."""
    holdings = ring._holdings
    info = holdings.open_info()  # first: when it is closed meanwhile, it is among the closed ones
    segments = holdings.read(holdings.overlapping(Interval(start_us=0, end_us=1 << 60)))
    if info is not None and all(segment.sequence != info.sequence for segment in segments):
        segments.append(info)
    return segments


def is_settled(ring: Ring) -> bool:
    return ring._intake.is_empty and ring._holdings._open is None and not ring._holdings.unindexed()


def synced(ring: Ring, samples: int) -> Callable[[], bool]:
    """Whether so many samples are on disk, of all segments together."""

    def probe() -> bool:
        return sum(len(info.samples) for info in held_segments(ring)) >= samples

    return probe
