"""The centre's wall clock steps while it serves: clips go on, nobody stands worse or better, orders end or go on."""

import http.client
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from csu.client import Client
from csu.views import UnitSummary
from tests.real.csu_service import CsuService
from tests.support.centre import Centre
from tests.support.polling import wait_until
from tests.support.processes import Processes
from tests.support.stepped_clock import SteppedClock, step
from tests.support.unit import Unit, running

pytestmark = [pytest.mark.faults, pytest.mark.slow]

HOUR_S = 3600.0
TWO_YEARS_S = 2 * 365 * 86_400.0


class SteppedCentre(Centre):
    """`csu serve` whose clock the test steps; clients on the same machine have the same clock."""

    def __init__(self, directory: Path, processes: Processes) -> None:
        super().__init__(directory, processes)
        self.clock_file = directory / "clock"
        self.client = Client(directory / "csu", SteppedClock(self.clock_file))

    def start(self, *more: str) -> None:
        program: list[str | Path] = [sys.executable, "-m", "tests.support.csu_main", self.clock_file]
        self.process = self._processes.start([*program, "serve", "--dir", self.directory / "csu", *more])
        wait_until(self._is_ready, what="csu serve", timeout_s=60)

    def step(self, ahead_s: float) -> None:
        step(self.clock_file, ahead_s)

    def stands(self) -> UnitSummary:
        (unit,) = self.client.fleet().units
        return unit

    def get(self, address: str, cookie: str = "") -> http.client.HTTPResponse:
        """As a browser that follows nothing."""
        parts = urlsplit(address)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        headers = {"Cookie": cookie} if cookie else {}
        connection.request("GET", f"{parts.path}?{parts.query}", headers=headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer

    def sign_in(self) -> str:
        """The cookie of a new session; its address works once."""
        address = self.client.page_address()
        answer = self.get(address)
        assert answer.status == 303
        assert self.get(address).status == 403
        return (answer.headers["Set-Cookie"] or "").partition(";")[0]

    def is_let_in(self, cookie: str) -> bool:
        return self.get(f"{self.client.info().api_url}/v1/fleet", cookie).status == 200


@pytest.fixture
def centre(tmp_path: Path, processes: Processes) -> SteppedCentre:
    made = SteppedCentre(tmp_path, processes)
    made.serve()
    return made


@pytest.fixture
def unit(tmp_path: Path, processes: Processes, centre: SteppedCentre) -> Iterator[Unit]:
    made = Unit(tmp_path / "unit", processes)
    centre.enrol_unit(made)
    for each in running(made):
        each.start()
        centre.wait_online()
        yield each


def order(centre: SteppedCentre, unit: Unit) -> str:
    newest_us = unit.newest_us("main")
    assert newest_us is not None
    return centre.ask_clip("main", newest_us - 2_000_000, newest_us)


def check_clip(centre: SteppedCentre, clip_id: str) -> None:
    clip = centre.wait_verdict(clip_id)
    assert clip.verdict == "verified", clip.reason


def is_known(unit: UnitSummary) -> bool:
    """Whether it was heard that it records."""
    return unit.standing in {"ok", "warning"} and "recording-unknown" not in {one.code for one in unit.reasons}


def check_standing(centre: SteppedCentre, before: UnitSummary) -> None:
    """The unit stands no better and no worse by a step."""
    now = centre.stands()
    assert now.standing == before.standing, now.reasons
    assert is_known(now)


def test_steps_of_the_centres_clock_lose_and_end_nothing(centre: SteppedCentre, unit: Unit) -> None:
    wait_until(lambda: is_known(centre.stands()), what="a unit that is heard to record", timeout_s=60)
    cookie, before = centre.sign_in(), centre.stands()
    for ahead_s in (HOUR_S, -HOUR_S, TWO_YEARS_S):
        before_step = order(centre, unit)
        wait_word(centre, before_step)
        centre.step(ahead_s)
        check_clip(centre, before_step)
        check_standing(centre, before)
        assert centre.is_let_in(cookie) == (ahead_s < TWO_YEARS_S)
        assert centre.is_let_in(centre.sign_in())
        assert centre.client.summary(None).units == 1
        during_step = order(centre, unit)
        if ahead_s < 0:
            check_clip(centre, during_step)
        else:
            # The unit refuses what is signed in the future, until the centre's clock is right again.
            wait_refusal(centre, during_step, "clock-unknown")
        centre.step(0)
        after_step = order(centre, unit)
        check_clip(centre, after_step)
        if ahead_s > 0:
            assert centre.state_of(during_step) == "expired"
        check_standing(centre, before)
        assert centre.is_let_in(cookie)
    check_records(centre)


def wait_word(centre: SteppedCentre, command_id: str) -> None:
    """Until the unit has said anything of it."""
    wait_until(lambda: centre.state_of(command_id) != "waiting", what="the unit's word", timeout_s=60)


def wait_refusal(centre: SteppedCentre, command_id: str, code: str) -> None:
    wait_until(lambda: refusal_of(centre, command_id) == code, what="the refusal", timeout_s=60)


def refusal_of(centre: SteppedCentre, command_id: str) -> str | None:
    command, _ = centre.look(command_id)
    return None if command is None or command.error is None else command.error.code


def check_records(centre: CsuService) -> None:
    """No alarm that is none; each with a time that was."""
    now_us = SteppedClock(Path("/nowhere")).wall_us()
    alarms = centre.client.alarms(None, None, 100)
    assert {alarm.name for alarm in alarms}.isdisjoint({"not-heard", "broker-lost", "clip-failed"})
    assert all(now_us - 600_000_000 < alarm.raised_us < now_us for alarm in alarms if alarm.origin == "unit")
