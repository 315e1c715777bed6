"""All probes together: `up/health`, and what is an alarm."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_agent.clock import Clock
from edge_agent.contract.event_names import EventName
from edge_agent.contract.messages import Health, Probe, ProbeState
from edge_agent.contract.model import MAX_MESSAGE_BYTES
from edge_agent.contract.ring_protocol import RecorderState
from edge_agent.errors import RingError
from edge_agent.health.answering import Answering
from edge_agent.health.camera import CameraProbe
from edge_agent.health.clock import ClockProbe, ClockSight
from edge_agent.health.disk import disk_figures
from edge_agent.health.judge import AlarmKey, Details, Judge
from edge_agent.health.limits import worst
from edge_agent.health.network import NetworkProbe
from edge_agent.health.processes import ProcessBook, process_figures, read_process_book
from edge_agent.health.storage import storage_figures
from edge_agent.health.system import SystemProbe
from edge_agent.paths import process_book
from edge_agent.settings import Settings

__all__ = ["ClockSight", "LinkFigures", "Report", "UnitProbes"]

DISK_LIMIT_S = 2.0
"""A storage that takes longer to say how full it is does not answer."""

_BELOW_MINIMUM = "below-legal-minimum"
"""End of the warnings that capture gives a picture of fewer pixels or frames than the law asks."""

_MAX_BYTES = MAX_MESSAGE_BYTES - 1000
"""What is kept of a time offline, a sample of `up/history`, goes into a message with others around it."""
_EXPLAINING = ("notes", "encoder_fault", "warnings", "detail")
"""Figures of cameras that a message can do without, in the order in which it does: alarms tell the same. What is left
out last is the list of network interfaces."""

LinkFigures = Callable[[], Mapping[str, Any]]
"""What the link's own traffic tells of the network."""


@dataclass(frozen=True, slots=True)
class Report:
    """What the probes say: health, and of everything that was looked at whether it is an alarm."""

    health: Health
    alarms: Mapping[AlarmKey, Details]


@dataclass(frozen=True, slots=True)
class _Disk:
    """What the storage said of itself."""

    figures: dict[str, Any] = field(default_factory=dict)
    book: ProcessBook | None = None


class UnitProbes:
    """Runs every probe; keeps what rates and hysteresis need. Blocks for some milliseconds, for 2 s at a dead disk.

    Args:
        settings: of the unit.
        clock: injected.
        software_version: told with the system's figures.
        boot_id: restarts are counted within one boot.
        link_figures: told with the network's figures.
        root: of the kernel's files.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        software_version: str,
        boot_id: str,
        link_figures: LinkFigures = dict,
        root: Path = Path("/"),
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._software_version = software_version
        self._link_figures = link_figures
        made = settings.made_proxies
        self._cameras = {
            camera.name: CameraProbe(camera, clock, is_made_here=camera.name in made) for camera in settings.rings
        }
        self._system_files = SystemProbe(root)
        self._network_files = NetworkProbe(clock, root)
        self._clock_memory = ClockProbe(clock)
        data_dir = settings.unit.data_dir
        self._disk = Answering(
            lambda: _Disk(disk_figures(data_dir, root), read_process_book(process_book(data_dir), boot_id)),
            DISK_LIMIT_S,
            _Disk(),
        )
        self._judge = Judge()

    def run(self, recorders: Mapping[str, RecorderState | RingError], clock_sight: ClockSight) -> Report:
        """Look at everything now."""
        self._judge.begin()
        states = {name: sight for name, sight in recorders.items() if isinstance(sight, RecorderState)}
        disk = self._disk.ask()
        camera = self._camera(recorders)
        health = Health(
            at=self._clock.wall_us(),
            camera=camera,
            storage=self._storage(states, disk),
            power=Probe(state="unknown"),
            network=self._network(),
            clock=self._clock_probe(clock_sight),
            system=self._system(disk),
        )
        return Report(_fitted(health), self._judge.alarms)

    # -- probes

    def _camera(self, recorders: Mapping[str, RecorderState | RingError]) -> Probe:
        cameras = {name: self._one_camera(name, sight) for name, sight in recorders.items()}
        states: list[ProbeState] = [figures["state"] for figures in cameras.values()]
        return _probe(states, {"cameras": cameras})

    def _one_camera(self, name: str, sight: RecorderState | RingError) -> dict[str, Any]:
        now_us = self._clock.monotonic_us()
        is_silent = isinstance(sight, RingError)
        self._judge.holds(EventName.RECORDER_UNAVAILABLE, is_silent, now_us, name, {"reason": str(sight)[:300]})
        if isinstance(sight, RingError):
            return {"state": "unknown", "detail": str(sight)[:200]}
        figures = self._cameras[name].figures(sight)
        judged = self._judge.states("camera", figures, now_us, camera=name)
        self._note_conditions(name, sight, now_us)
        if not sight.recording:
            state: ProbeState = "critical"
        else:
            state = worst([*judged.values(), "warning" if sight.warnings or not sight.storage_ok else "ok"])
        return {"state": state} | figures | _beyond(judged)

    def _note_conditions(self, name: str, state: RecorderState, now_us: int) -> None:
        lost = {"cause": state.cause or "unknown", "detail": state.detail[:300]}
        self._judge.holds(EventName.CAMERA_LOST, not state.recording, now_us, name, lost)
        broken = {"detail": state.storage_detail[:300], "write_errors": state.write_errors}
        self._judge.holds(EventName.STORAGE_ERROR, not state.storage_ok, now_us, name, broken)
        notes = {} if state.capture is None else state.capture.notes
        told = {"notes": [f"{code}: {words}"[:300] for code, words in notes.items()][:4]}
        self._judge.holds(EventName.CAMERA_OTHERWISE, bool(notes), now_us, name, told)
        if state.recording:
            seen = {"warnings": list(state.warnings)}
            self._judge.holds(EventName.PICTURE_BLACK, "picture-black" in state.warnings, now_us, name, seen)
            self._judge.holds(EventName.PICTURE_FROZEN, "picture-frozen" in state.warnings, now_us, name, seen)
            below = [text for text in state.warnings if text.endswith(_BELOW_MINIMUM)]
            self._judge.holds(EventName.PICTURE_BELOW_MINIMUM, bool(below), now_us, name, {"warnings": below})

    def _storage(self, states: Mapping[str, RecorderState], disk: _Disk | None) -> Probe:
        now_us = self._clock.monotonic_us()
        is_silent = disk is None
        self._judge.holds(EventName.STORAGE_SILENT, is_silent, now_us, None, {"silent_for_s": DISK_LIMIT_S})
        known = {} if disk is None else disk.figures
        day_kbps = {name: camera.day_kbps for name, camera in self._cameras.items()}
        figures = storage_figures(known, self._settings.rings, states.values(), day_kbps)
        if states:
            errors = sum(self._cameras[name].write_errors_last_hour for name in states)
            figures["write_errors_last_hour"] = errors
        judged = self._judge.states("storage", figures, now_us)
        if "read_only" in figures:
            is_read_only = bool(figures["read_only"])
            details = {"data_dir": str(self._settings.unit.data_dir)}
            self._judge.holds(EventName.STORAGE_READ_ONLY, is_read_only, now_us, None, details)
        is_critical = is_silent or figures.get("read_only") or figures.get("storage_ok") is False
        figures |= {"answers": False} if is_silent else {}
        found: list[ProbeState] = [*judged.values(), "critical"] if is_critical else [*judged.values()]
        return _probe(found, figures | _beyond(judged))

    def _system(self, disk: _Disk | None) -> Probe:
        figures = self._system_files.figures()
        judged = self._judge.states("system", figures, self._clock.monotonic_us())
        states, counts = self._processes(None if disk is None else disk.book)
        figures |= {"software_version": self._software_version}
        return _probe([*judged.values(), *states], figures | counts | _beyond(judged))

    def _processes(self, book: ProcessBook | None) -> tuple[list[ProbeState], dict[str, Any]]:
        """States and figures of what the supervisor counts."""
        if book is None:
            return [], {}
        now_us, counts = self._clock.monotonic_us(), process_figures(book, self._clock)
        judged = [
            (record, self._judge.states("process", record, now_us, _camera_of(record["name"]), record["name"]))
            for record in counts["processes"]
        ]
        counts["processes"] = [record | _beyond(found) for record, found in judged]
        return [state for _, found in judged for state in found.values()], counts

    def _network(self) -> Probe:
        figures = self._network_files.figures() | dict(self._link_figures())
        judged = self._judge.states("network", figures, self._clock.monotonic_us())
        return _probe([*judged.values(), "ok"] if figures else [], figures | _beyond(judged))

    def _clock_probe(self, sight: ClockSight) -> Probe:
        figures = self._clock_memory.figures(sight)
        judged = self._judge.states("clock", figures, self._clock.monotonic_us())
        is_known = sight.bound_us is not None or worst(judged.values()) != "ok"
        return _probe(judged.values() if is_known else (), figures | _beyond(judged))


def _probe(states: Iterable[ProbeState], figures: Mapping[str, Any]) -> Probe:
    return Probe.model_validate({"state": worst(states), **figures})


def _beyond(judged: Mapping[str, ProbeState]) -> dict[str, dict[str, ProbeState]]:
    """Which figures are beyond a limit, as `judged`; nothing when none is."""
    found: dict[str, ProbeState] = {figure: state for figure, state in judged.items() if state != "ok"}
    return {"judged": found} if found else {}


def _camera_of(process: str) -> str | None:
    """`record main` is the recorder of `main`; the link is no camera's."""
    name, _, camera = process.partition(" ")
    return camera if name == "record" and camera else None


def _fitted(health: Health) -> Health:
    """As it is, or, when it is too long for a message, without what explains and does not judge."""
    for figure in _EXPLAINING:
        if _fits(health):
            return health
        health = health.model_copy(update={"camera": _without(figure, health.camera)})
    if _fits(health):
        return health
    network = {name: value for name, value in health.network.model_dump().items() if name != "interfaces"}
    return health.model_copy(update={"network": Probe.model_validate(network)})


def _fits(health: Health) -> bool:
    return len(health.to_json()) <= _MAX_BYTES


def _without(figure: str, probe: Probe) -> Probe:
    """The cameras' probe less a figure of each camera."""
    told = probe.model_dump()
    cameras = {
        name: {key: value for key, value in one.items() if key != figure} for name, one in told["cameras"].items()
    }
    return Probe.model_validate(told | {"cameras": cameras})
