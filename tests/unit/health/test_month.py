"""A month of noise, as boards and cameras make it, in simulated time: how many alarms, and how many messages.

Noise is drawn a minute; an excursion of one look lasts longer here than in the field, where looks are 5 s apart.
"""

import math
import random
from dataclasses import dataclass, field

from edge_agent.clock import FakeClock
from edge_agent.contract.event_names import EventName
from edge_agent.contract.messages import ProbeState
from edge_agent.contract.ring_protocol import RecorderState
from edge_agent.health.camera import CameraProbe
from edge_agent.health.judge import AlarmKey, Judge
from edge_agent.health.limits import Owner, worst
from edge_agent.settings import CameraSettings
from edge_agent.uplink.telling import HEALTH_POLICY, Teller
from tests.support.fake_recorder import make_state

STEP_S = 60.0
DAY_S = 86_400.0
DAYS = 30
SYNC_PERIOD_S = 2048.0
"""systemd-timesyncd's longest poll."""


@dataclass
class Month:
    """A unit with one camera, looked at for a month."""

    seed: int
    clock: FakeClock = field(default_factory=FakeClock)
    judge: Judge = field(default_factory=Judge)
    raised: dict[AlarmKey, int] = field(default_factory=dict)
    open: set[AlarmKey] = field(default_factory=set)
    messages: int = 0

    def __post_init__(self) -> None:
        self.noise = random.Random(self.seed)
        self.camera = CameraProbe(CameraSettings(name="main", source="rtsp://192.0.2.7/s"), self.clock)
        self.well = make_state()
        self.teller = Teller(HEALTH_POLICY)
        self.trips = [120.0] * 8
        self.dropped = 0

    def run(self) -> None:
        for step in range(round(DAYS * DAY_S / STEP_S)):
            self.clock.advance(STEP_S)
            self.look(step * STEP_S)

    def look(self, at_s: float) -> None:
        judge, now_us = self.judge, self.clock.monotonic_us()
        judge.begin()
        state = self.recorder(at_s)
        camera = self.judged("camera", self.camera.figures(state), "main")
        judge.holds(EventName.CAMERA_LOST, not state.recording, now_us, "main", {"cause": "camera-lost"})
        judge.holds(EventName.RECORDER_UNAVAILABLE, self.chance_a_day(1), now_us, "main", {"reason": "busy"})
        storage, system = self.judged("storage", self.storage()), self.judged("system", self.system(at_s))
        network = self.judged("network", {"round_trip_ms": self.round_trip_ms()})
        bound_ms = 100 + at_s % SYNC_PERIOD_S / 2
        clock = self.judged("clock", {"clock_bound_ms": bound_ms, "unsynchronised_s": 0})
        for key, details in judge.alarms.items():
            if details is None:
                self.open.discard(key)
            elif key not in self.open:
                self.open.add(key)
                self.raised[key] = self.raised.get(key, 0) + 1
        self.messages += self.teller.is_due((camera, storage, system, network, clock, state.recording), now_us)

    def judged(self, owner: Owner, figures: dict[str, object], camera: str | None = None) -> ProbeState:
        return worst(self.judge.states(owner, figures, self.clock.monotonic_us(), camera).values())

    def chance_a_day(self, times: float) -> bool:
        return self.noise.random() < times * STEP_S / DAY_S

    def recorder(self, at_s: float) -> RecorderState:
        """Half the rate by night, stumbling pictures, a stream that begins anew twice a day, a drop a day."""
        is_night = (at_s % DAY_S) / 3600 < 8
        fps = (12.5 if is_night else 25.0) * (0.5 if self.noise.random() < 0.01 else 1) + self.noise.gauss(0, 0.7)
        self.dropped += 25 * self.chance_a_day(1)
        return self.well.model_copy(
            update={
                "recording": not self.chance_a_day(2),
                "since_us": self.clock.wall_us() - 60_000_000,
                "frames_per_second": max(fps, 0.0),
                "bitrate_kbps": abs(self.noise.gauss(2500 if is_night else 4000, 400)),
                "dropped_units": self.dropped,
            }
        )

    def storage(self) -> dict[str, object]:
        """A card that collects garbage, on a disk that the ring keeps full."""
        return {
            "reserve_share": self.noise.uniform(0.93, 1.3),
            "free_inodes_share": 0.6,
            "sync_p50_ms": abs(self.noise.gauss(12, 6)) * (30 if self.chance_a_day(5) else 1),
            "sync_max_ms": min(self.noise.lognormvariate(math.log(150), 0.9), 4500),
            "write_errors_last_hour": 0,
            "retention_share": self.noise.gauss(1.3, 0.05),
        }

    def system(self, at_s: float) -> dict[str, object]:
        """A summer's day, nightly jobs of two minutes, and a short peak of heat."""
        heat = 55 + 14 * math.sin(at_s / DAY_S * 2 * math.pi) + self.noise.gauss(0, 1.2)
        nightly = 3 * 3600 <= at_s % DAY_S < 3 * 3600 + 120
        return {
            "temperature_c": heat + (15 if self.chance_a_day(1) else 0),
            "cpu_load_share": 0.98 if nightly else abs(self.noise.gauss(0.3, 0.12)),
            "memory_used_share": self.noise.gauss(0.6, 0.03),
            "load_per_processor": 3.4 if nightly else abs(self.noise.gauss(0.4, 0.2)),
        }

    def round_trip_ms(self) -> float:
        """A modem that sleeps between two pings, and wakes slowly now and then."""
        took_ms = 6000.0 if self.noise.random() < 0.05 else self.noise.lognormvariate(math.log(300), 0.6)
        self.trips = [*self.trips[1:], took_ms]
        return sorted(self.trips)[4]


def test_a_month_of_noise_raises_nothing_and_is_hardly_told() -> None:
    month = Month(seed=7)
    month.run()
    assert month.raised == {}
    hours = DAYS * 24
    # Beside the hourly ones: each short loss of the camera is told twice, and nothing else is.
    assert hours <= month.messages <= hours + 2 * 2 * DAYS + 10


def test_a_month_with_a_real_fault_raises_it_once() -> None:
    month = Month(seed=8)
    hot = month.system

    def system(at_s: float) -> dict[str, object]:
        is_fault = DAY_S <= at_s < 2 * DAY_S
        return hot(at_s) | ({"temperature_c": 84 + month.noise.gauss(0, 2.5)} if is_fault else {})

    month.system = system  # type: ignore[method-assign]  # -- the fault of this test
    for step in range(round(3 * DAY_S / STEP_S)):
        month.clock.advance(STEP_S)
        month.look(step * STEP_S)
    assert month.raised == {(EventName.TEMPERATURE_HIGH, None): 1}
    assert month.open == set()
