"""One unit of a demonstration: its settings, its enrolment, its process, and what the centre hears of it."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from csu.cli.common import printable
from csu.cli.enrol import settings_text, write_unit_files
from csu.demo.footage import Interval, complaint_of, find_interval
from csu.demo.line import Line
from csu.demo.stage import Stage
from csu.errors import DemoError, ServiceUnreachableError
from csu.records import UnitRecord
from edge_agent.contract.event_names import EventName
from edge_agent.durable import make_directory, write_file

CAMERA = "main"

_READY_TIMEOUT_S = 60.0
_FOOTAGE_TIMEOUT_S = 120.0
_ASK_AGAIN_S = 2.0
_KEEPALIVE_S = 15
_PATIENCE_S = 8.0
"""So long may a camera go on without a picture after the unit, which waits for 10 s, has told of it."""


@dataclass(frozen=True, slots=True)
class UnitPlan:
    """Who a unit is, where it stands, what it sees.

    Attributes:
        unit_id: its id.
        folder: its folder in the demonstration's, and the name of its log.
        source: its camera, as in its settings.
        video: the file that it plays, when it plays one of the demonstration's own; `camera_file` leads there.
        place: longitude and latitude, degrees; None: not given.
        max_bytes: of its ring.
    """

    unit_id: str
    folder: str
    source: str
    video: Path | None
    place: tuple[float, float] | None
    max_bytes: int


class DemoUnit:
    """A unit that is started, asked, and perhaps troubled."""

    def __init__(self, stage: Stage, plan: UnitPlan, line: Line | None) -> None:
        """With a `line`, all that it says goes through it."""
        self._stage = stage
        self.plan = plan
        self._line = line
        self._reason = ""
        """What the unit answered last, when it had no footage."""
        self._start_us = 0
        self._complaint = ""
        self._complaint_us = 0
        """Since when the unit complains of its camera, on the monotonic clock."""
        self._found: Interval = 0, 0

    @property
    def unit_id(self) -> str:
        """Its id."""
        return self.plan.unit_id

    @property
    def settings_file(self) -> Path:
        """Its `unit.toml`."""
        return self._stage.folder.path / self.plan.folder / "unit.toml"

    @property
    def camera_file(self) -> Path:
        """What its camera plays, when that is a file of the demonstration's own."""
        return self.settings_file.parent / "camera.mp4"

    def enrol(self) -> None:
        """Give it settings and a key, and the centre that key.

        Raises:
            DemoError: it could not make a key.
            CsuError: as the centre's client raises.
        """
        make_directory(self.settings_file.parent)
        if self.plan.video is not None:
            self.camera_file.unlink(missing_ok=True)
            self.camera_file.symlink_to(self.plan.video)
        write_file(self.settings_file, self._base_settings().encode())
        command = [sys.executable, "-m", "edge_agent", "identity", "--config", str(self.settings_file)]
        answer = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        if answer.returncode != 0:
            raise DemoError(f"the unit has no identity: {answer.stderr.strip()}")
        enrolment = self._stage.client.enrol(self.unit_id, json.loads(answer.stdout))
        write_unit_files(self.settings_file.parent, enrolment)
        tables = settings_text(enrolment if self._line is None else self._line.lead(enrolment))
        if self._line is not None:
            tables = tables.replace("[mqtt]", f"[mqtt]\nkeepalive_s = {_KEEPALIVE_S}  # its loss is watched for", 1)
        write_file(self.settings_file, f"{self._base_settings()}\n{tables}".encode())
        self._stage.say(f"{self.unit_id} is enrolled with its own key; its settings are {self.settings_file}")

    def start(self) -> None:
        """Let it run."""
        self._stage.say(f"starting the unit {self.unit_id}, camera {self.plan.source}")
        command = [sys.executable, "-m", "edge_agent", "run", "--config", str(self.settings_file)]
        self._stage.start(self.plan.folder, command)
        self._start_us = self._stage.clock.wall_us()

    def wait_online(self, timeout_s: float = _READY_TIMEOUT_S) -> None:
        """Wait until the centre hears it."""
        self._stage.wait(f"{self.unit_id} to come online", self.is_online, timeout_s)

    def is_online(self) -> bool:
        """Whether the centre hears it."""
        return any(unit.unit_id == self.unit_id and unit.online for unit in self._stage.client.fleet().units)

    def has_lost_its_camera(self) -> bool:
        """Whether the centre has heard so since the start."""
        complaint = complaint_of(self._record(), CAMERA, self._start_us)
        return complaint is not None and complaint.startswith(EventName.CAMERA_LOST)

    def wait_footage(self, seconds: int) -> Interval:
        """Wait until it holds footage of its camera of so many whole seconds since its start; where it lies."""
        self._stage.wait("footage", lambda: self._has_footage(seconds), _FOOTAGE_TIMEOUT_S, lambda: self._reason)
        return self._found

    def _base_settings(self) -> str:
        # TOML basic strings and JSON strings agree on what a source may hold.
        lines = ["[unit]", f'id = "{self.unit_id}"', 'data_dir = "data"', ""]
        if self.plan.place is not None:
            longitude_deg, latitude_deg = self.plan.place
            lines += ["[position]", f"longitude_deg = {longitude_deg}", f"latitude_deg = {latitude_deg}"]
            lines += ["accuracy_m = 5", ""]
        lines += ["[[camera]]", f'name = "{CAMERA}"', f"source = {json.dumps(self.plan.source)}"]
        if self.plan.source == "test:":
            lines += ["width = 1280", "height = 720", "fps = 25", "bitrate_kbps = 4000"]
        lines += ["# A demonstration leaves the disk alone; a unit takes what it gives."]
        return "\n".join([*lines, f"max_bytes = {self.plan.max_bytes}", ""])

    def _record(self) -> UnitRecord:
        return next(one for one in self._stage.client.units() if one.unit_id == self.unit_id)

    def _has_footage(self, seconds: int) -> bool:
        """Ask it over MQTT what it holds; end early when its camera gives nothing."""
        span = self._start_us, self._stage.clock.wall_us()
        try:
            found, self._reason = find_interval(self._stage.client, self.unit_id, CAMERA, span, seconds)
            if found is not None:
                self._found = found
                return True
            self._heed_camera()
        except ServiceUnreachableError:
            return False
        self._stage.clock.sleep(_ASK_AGAIN_S)
        return False

    def _heed_camera(self) -> None:
        """Say what the unit says of its camera, and give up when that lasts.

        Raises:
            DemoError: it does.
        """
        now_us = self._stage.clock.monotonic_us()
        complaint = complaint_of(self._record(), CAMERA, self._start_us)
        if complaint is None:
            self._complaint = ""
        elif not self._complaint:
            self._complaint, self._complaint_us = complaint, now_us
            self._stage.say(f"{self.unit_id} says: {printable(complaint)}")
        elif now_us - self._complaint_us > _PATIENCE_S * 1e6:
            log = self._stage.log_of(self.plan.folder)
            raise DemoError(f"no picture comes of {self.plan.source}: {printable(complaint)} (all in {log})")
