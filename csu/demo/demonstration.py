"""A broker, the centre and one to three units on this machine; a clip of each is asked for over MQTT and arrives.

Everything lies in one directory and every process that was started here is ended here. A second run on the same
directory goes on with what is there: footage, keys and earlier clips.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from csu.cli import main as csu_main
from csu.demo import scene
from csu.demo.clips import fetch
from csu.demo.folder import DemoFolder
from csu.demo.line import Line
from csu.demo.stage import Stage
from csu.demo.trouble import Trouble
from csu.demo.unit import CAMERA, DemoUnit, UnitPlan
from csu.errors import ServiceUnreachableError
from edge_agent.clock import Clock
from edge_agent.durable import make_directory

UNIT_ID = "bench-01"
"""The only unit's."""

_READY_TIMEOUT_S = 60.0
_RINGS_BYTES = 2_000_000_000
_HOLD_S = 60.0
_CORNERS = (
    ("Quai des Augustins", 4.83357, 45.76680),
    ("Rue de la Republique", 4.83612, 45.76441),
    ("Place Bellecour", 4.83206, 45.75779),
)
"""Three street corners of Lyon: name, longitude and latitude in degrees."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked of a demonstration.

    Attributes:
        directory: where all of it lies.
        source: the camera of each unit; None: drawn.
        seconds: length of a clip.
        units: how many; the last of several is in trouble now and then.
    """

    directory: Path
    source: str | None
    seconds: int
    units: int


class Demonstration:
    """One demonstration on one directory."""

    def __init__(self, options: Options, clock: Clock) -> None:
        self._options = options
        self._stage = Stage(DemoFolder(options.directory, clock), clock)
        self._units: list[DemoUnit] = []
        self._line: Line | None = None
        self._trouble: Trouble | None = None

    def say(self, text: str) -> None:
        """A step, with the time since the start."""
        self._stage.say(text)

    def run_cycle(self) -> list[Path]:
        """Start everything and fetch a clip of each unit; the folders that they lie in.

        Raises:
            DemoError: a part did not come up or a clip was not verified.
            CsuError: as the centre's client raises.
        """
        self._stage.folder.prepare()
        self.say(f"working in {self._stage.folder.path}")
        if self._options.units > 1:
            self._line = Line(self._stage, "line")
        self._start_centre()
        self._units = [self._make_unit(number) for number in range(self._options.units)]
        self._name_left_over()
        for unit in self._units:
            unit.enrol()
        for unit in self._units:
            unit.start()
        for unit in self._units:
            unit.wait_online()
            self.say(f"{unit.unit_id} is online; waiting for {self._options.seconds} s of footage")
        return [self._fetch(unit) for unit in self._units]

    def trouble_once(self) -> None:
        """One cycle of troubles, as short as they can be; none for a single unit.

        Raises:
            DemoError: something did not come about in time.
        """
        if self._trouble is not None:
            self._trouble.run_cycle(0)

    def go_on(self) -> None:
        """Go on, with one trouble after the other, until a process ends.

        Raises:
            DemoError: one did, or something did not come about in time.
        """
        while True:
            self._stage.pause(_HOLD_S)
            if self._trouble is not None:
                self._trouble.run_cycle(_HOLD_S)

    def stop(self) -> None:
        """End what was started."""
        if self._line is not None:
            self._line.close()
        self._stage.stop()

    def _start_centre(self) -> None:
        self.say("starting the centre: broker, ingest, registry")
        centre = self._stage.folder.centre
        command = [sys.executable, "-m", "csu", "serve", "--dir", str(centre)]
        if self._line is not None:
            command += ["--ingest-origin", self._line.ingest_origin]
        pid = self._stage.start("centre", command)
        self._stage.wait("the centre", lambda: self._is_centre_ready(pid), _READY_TIMEOUT_S)
        self.say("the centre's page; the address signs a browser in once, csu page prints another:")
        csu_main(["page", "--dir", str(centre)])

    def _name_left_over(self) -> None:
        """Say of units of an earlier demonstration in this folder why the page shows them as lost."""
        ours = {unit.unit_id for unit in self._units}
        others = sorted({unit.unit_id for unit in self._stage.client.units()} - ours)
        if others:
            names = ", ".join(others)
            self.say(f"of an earlier demonstration here, not started and soon shown as lost: {names}")

    def _is_centre_ready(self, pid: int) -> bool:
        try:
            return self._stage.client.info().pid == pid and bool(self._stage.client.units() or True)
        except ServiceUnreachableError:
            return False

    def _make_unit(self, number: int) -> DemoUnit:
        plan = self._plan(number)
        if self._line is None or number < self._options.units - 1:
            return DemoUnit(self._stage, plan, None)
        unit = DemoUnit(self._stage, plan, self._line)
        self._trouble = Trouble(self._stage, unit, self._line)
        return unit

    def _plan(self, number: int) -> UnitPlan:
        source, count = self._options.source, self._options.units
        if count == 1:
            return UnitPlan(UNIT_ID, "unit", source or "test:", None, None, _RINGS_BYTES)
        unit_id = f"nomad-{number + 1:02}"
        video = None
        if source is None:
            video = self._drawn(number)
        elif source.startswith("file:"):
            video = Path(source.removeprefix("file:"))
        if video is not None:
            source = "file:camera.mp4"
        return UnitPlan(unit_id, unit_id, source or "", video, _CORNERS[number][1:], _RINGS_BYTES // count)

    def _drawn(self, number: int) -> Path:
        name = _CORNERS[number][0]
        file = self._stage.folder.path / "streets" / f"{number + 1}.mp4"
        if not file.exists():
            self.say(f"drawing {scene.DURATION_S} s of street for the camera at {name}")
            make_directory(file.parent)
            scene.draw(file, number, name)
        return file

    def _fetch(self, unit: DemoUnit) -> Path:
        asked = unit.wait_footage(self._options.seconds)
        return fetch(self._stage, unit, asked, self._options.units == 1)

    def commands_to_try(self, folder: Path) -> str:
        """What a person may type now, in another terminal."""
        programs = Path(sys.executable).parent
        csu, agent = programs / "csu", programs / "edge-agent"
        unit = self._units[0]
        return "\n".join(
            (
                "",
                "It keeps running until Ctrl-C. In another terminal:",
                f"  export CSU_DIR={self._stage.folder.centre}",
                f"  {csu} page",
                f"  {csu} units",
                f"  {csu} watch",
                f"  {csu} check {unit.unit_id}",
                f"  {csu} coverage {unit.unit_id} {CAMERA} --from -5m",
                f"  {csu} clip {unit.unit_id} --camera {CAMERA} --last 20s --reference R --purpose P -o my-clip",
                f"  {csu} verify {folder}",
                f"  {agent} status --config {unit.settings_file}",
                "",
            )
        )
