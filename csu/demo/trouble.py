"""What happens to a troubled unit, again and again: its camera goes and comes back, then its network.

Nothing inside the product is touched. The camera plays a file, which is renamed away, so that the camera is lost when
the file would begin again; the network is a relay that is stopped.
"""

from pathlib import Path

from csu.demo.clips import ask, fetch_asked
from csu.demo.footage import Interval
from csu.demo.line import Line
from csu.demo.stage import Stage
from csu.demo.unit import DemoUnit

_ALARM_TIMEOUT_S = 120.0
_LOSS_TIMEOUT_S = 120.0
"""The broker gives a silent unit up after one and a half keep-alives (MQTT 5 §3.1.2.10) and the delay of its will."""
_RETURN_TIMEOUT_S = 180.0
_CLIP_S = 5
_SECOND_US = 1_000_000


class Trouble:
    """Of one unit, which has a line and perhaps a camera of the demonstration's own."""

    def __init__(self, stage: Stage, unit: DemoUnit, line: Line) -> None:
        self._stage = stage
        self._unit = unit
        self._line = line

    def run_cycle(self, hold_s: float) -> Path:
        """Once each; the folder of the clip that was asked for while the unit was away.

        Args:
            hold_s: so long does each state last for who watches it.

        Raises:
            DemoError: something did not come about in time.
        """
        if self._unit.plan.video is not None:
            self._lose_camera(hold_s)
        return self._lose_network(hold_s)

    def _lose_camera(self, hold_s: float) -> None:
        name, file = self._unit.unit_id, self._unit.camera_file
        away = file.with_name("camera-away.mp4")
        self._stage.say(f"{name} loses its camera")
        file.rename(away)
        self._stage.wait("an alarm that says so", self._unit.has_lost_its_camera, _ALARM_TIMEOUT_S)
        self._stage.say(f"{name} has told of it")
        self._stage.pause(hold_s)
        away.rename(file)
        self._stage.wait("the end of that alarm", lambda: not self._unit.has_lost_its_camera(), _RETURN_TIMEOUT_S)
        self._stage.say(f"{name} has its camera back; its coverage shows the gap and the cause")
        self._stage.pause(hold_s)

    def _lose_network(self, hold_s: float) -> Path:
        name = self._unit.unit_id
        self._stage.say(f"{name} loses its network without a word; it records on")
        self._line.cut()
        begin_us = self._stage.clock.wall_us()
        self._stage.wait(f"the loss of {name} to show", lambda: not self._unit.is_online(), _LOSS_TIMEOUT_S)
        end_us = self._stage.clock.wall_us()
        self._stage.say(f"{name} shows as lost after {(end_us - begin_us) / 1e6:.0f} s; asking it for a clip of then")
        last_us = end_us - end_us % _SECOND_US
        asked: Interval = last_us - _CLIP_S * _SECOND_US, last_us
        clip_id = ask(self._stage, self._unit, asked)
        self._stage.pause(hold_s)
        self._line.mend()
        self._stage.say(f"{name} has its network back; what it noted meanwhile follows, commands first")
        self._unit.wait_online(_RETURN_TIMEOUT_S)
        folder = fetch_asked(self._stage, self._unit, clip_id, asked)
        self._stage.pause(hold_s)
        return folder
