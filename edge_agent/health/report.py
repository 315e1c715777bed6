"""All probes together: `up/health`, and what is an alarm."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_agent.clock import Clock
from edge_agent.contract.event_names import EventName
from edge_agent.contract.messages import Health, Probe, ProbeState
from edge_agent.contract.ring_protocol import RecorderState
from edge_agent.contract.segment_format import ClockSource
from edge_agent.errors import RingError
from edge_agent.health.network import NetworkProbe
from edge_agent.health.storage import storage_figures
from edge_agent.health.system import SystemProbe
from edge_agent.health.thresholds import Judge, worst
from edge_agent.settings import Settings

LOST_AFTER_S = 10.0
"""A camera that delivers nothing for so long is lost; a shorter reconnection is no alarm."""
UNAVAILABLE_AFTER_S = 15.0
"""As for a recorder that does not answer: its restart after a crash takes a few seconds."""

_BELOW_MINIMUM = "below-legal-minimum"
"""End of the warnings that capture gives a picture of fewer pixels or frames than the law asks."""

_LEAST_RESERVE_BYTES = 100_000_000

AlarmKey = tuple[str, str | None]
Details = dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Report:
    """What the probes say: health, and of everything that was looked at whether it is an alarm."""

    health: Health
    alarms: Mapping[AlarmKey, Details]


@dataclass(frozen=True, slots=True)
class ClockSight:
    """Who vouches for the wall clock."""

    source: ClockSource
    bound_us: int | None


class UnitProbes:
    """Runs every probe; keeps what rates and hysteresis need. Blocks for some milliseconds."""

    def __init__(
        self, settings: Settings, clock: Clock, software_version: str, system: SystemProbe, network: NetworkProbe
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._software_version = software_version
        self._system = system
        self._network = network
        self._judge = Judge()
        self._silent_since_us: dict[str, int] = {}

    def run(self, recorders: Mapping[str, RecorderState | RingError], clock_sight: ClockSight) -> Report:
        """Look at everything now."""
        states = {name: sight for name, sight in recorders.items() if isinstance(sight, RecorderState)}
        health = Health(
            at=self._clock.wall_us(),
            camera=self._camera(recorders),
            storage=self._storage(states),
            power=Probe(state="unknown"),
            network=self._network_probe(),
            clock=self._clock_probe(clock_sight),
            system=self._system_probe(),
        )
        return Report(health, self._alarms(recorders))

    # -- probes

    def _camera(self, recorders: Mapping[str, RecorderState | RingError]) -> Probe:
        cameras = {name: _camera_figures(sight) for name, sight in recorders.items()}
        states: list[ProbeState] = [figures["state"] for figures in cameras.values()]
        return _probe([worst(states)], {"cameras": cameras})

    def _storage(self, states: Mapping[str, RecorderState]) -> Probe:
        figures = storage_figures(self._settings.unit.data_dir, self._settings.camera, states.values())
        figures = _with_reserve(figures, self._settings)
        judged = self._judge.states("storage", figures)
        if figures.get("storage_ok") is False:
            judged.append("critical")
        return _probe(judged, figures)

    def _system_probe(self) -> Probe:
        figures = self._system.figures()
        judged = self._judge.states("system", figures)
        return _probe(judged, figures | {"software_version": self._software_version})

    def _network_probe(self) -> Probe:
        figures = self._network.figures()
        return _probe(["ok"] if figures else [], figures)

    def _clock_probe(self, sight: ClockSight) -> Probe:
        if sight.bound_us is None:
            return _probe([], {"source": sight.source})
        figures: dict[str, Any] = {"source": sight.source, "clock_bound_ms": round(sight.bound_us / 1000, 1)}
        return _probe(self._judge.states("clock", figures), figures)

    # -- alarms

    def _alarms(self, recorders: Mapping[str, RecorderState | RingError]) -> dict[AlarmKey, Details]:
        seen: dict[AlarmKey, Details] = {}
        for name, sight in recorders.items():
            seen[EventName.RECORDER_UNAVAILABLE, name] = self._unavailable(name, sight)
            if isinstance(sight, RecorderState):
                seen |= self._camera_alarms(name, sight)
        seen[EventName.STORAGE_LOW, None] = self._limit_alarm("storage", "reserve_share")
        seen[EventName.RETENTION_SHORT, None] = self._limit_alarm("storage", "retention_share")
        seen[EventName.TEMPERATURE_HIGH, None] = self._limit_alarm("system", "temperature_c")
        return seen

    def _unavailable(self, name: str, sight: RecorderState | RingError) -> Details:
        if isinstance(sight, RecorderState):
            self._silent_since_us.pop(name, None)
            return None
        now_us = self._clock.monotonic_us()
        since_us = self._silent_since_us.setdefault(name, now_us)
        return {"reason": str(sight)[:300]} if now_us - since_us >= UNAVAILABLE_AFTER_S * 1e6 else None

    def _camera_alarms(self, name: str, state: RecorderState) -> dict[AlarmKey, Details]:
        lasted_s = (self._clock.wall_us() - state.since_us) / 1e6
        seen: dict[AlarmKey, Details] = {}
        if state.recording:
            seen[EventName.CAMERA_LOST, name] = None
        elif lasted_s >= LOST_AFTER_S:
            seen[EventName.CAMERA_LOST, name] = {"cause": state.cause or "unknown", "detail": state.detail[:300]}
        broken = {"detail": state.storage_detail[:300], "write_errors": state.write_errors}
        seen[EventName.STORAGE_ERROR, name] = None if state.storage_ok else broken
        if state.recording:
            below = [text for text in state.warnings if text.endswith(_BELOW_MINIMUM)]
            seen[EventName.PICTURE_BELOW_MINIMUM, name] = {"warnings": below} if below else None
        return seen

    def _limit_alarm(self, owner: str, figure: str) -> Details:
        state = self._judge.state_of(owner, figure)
        return {"state": state, "figure": figure} if state in {"warning", "critical"} else None


def _probe(judged: list[ProbeState], figures: Mapping[str, Any]) -> Probe:
    return Probe.model_validate({"state": worst(judged), **figures})


def _with_reserve(figures: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """The figures and `reserve_share`: free space by the reserve that the rings give up footage to keep."""
    reserve_bytes = max(min(camera.min_free_bytes for camera in settings.camera), _LEAST_RESERVE_BYTES)
    free_bytes = figures.get("free_bytes")
    return figures if free_bytes is None else figures | {"reserve_share": round(free_bytes / reserve_bytes, 2)}


def _camera_figures(sight: RecorderState | RingError) -> dict[str, Any]:
    if isinstance(sight, RingError):
        return {"state": "unknown", "detail": str(sight)[:200]}
    state: ProbeState = "ok" if sight.recording else "critical"
    if sight.recording and (sight.warnings or not sight.storage_ok):
        state = "warning"
    figures = {
        "state": state,
        "recording": sight.recording,
        "cause": None if sight.recording else sight.cause,
        "detail": sight.detail[:200] or None,
        "frames_per_second": round(sight.frames_per_second, 2),
        "bitrate_kbps": round(sight.bitrate_kbps, 1),
        "last_frame_age_s": sight.last_frame_age_s,
        "width_px": sight.width_px,
        "height_px": sight.height_px,
        "codec": sight.codec,
        "stream_restarts": sight.stream_restarts,
        "dropped_units": sight.dropped_units,
        "warnings": [text[:120] for text in sight.warnings[:4]] or None,
    }
    return {name: value for name, value in figures.items() if value is not None}
