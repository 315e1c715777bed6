"""A mosquitto that is not the centre's own, restarted beside it: who is gone with it is not shown as being there."""

import signal
from pathlib import Path

import pytest

from csu.views import UnitSummary
from edge_agent.clock import SystemClock
from tests.real.csu_service import UNIT_ID, CsuService
from tests.support.foreign_broker import ForeignBroker
from tests.support.polling import wait_until
from tests.support.processes import Processes
from tests.unit.csu.watched import health

pytestmark = [pytest.mark.real, pytest.mark.faults]

ROUGHLY_US = 5_000_000
"""Within `csu.broker_uptime._SLACK_US` of the start nothing can be told."""


def standing(service: CsuService) -> UnitSummary:
    return next(unit for unit in service.client.fleet().units if unit.unit_id == UNIT_ID)


def wait_standing(service: CsuService, wanted: str) -> UnitSummary:
    found = wait_until(
        lambda: summary if (summary := standing(service)).standing == wanted else None, what=wanted, timeout_s=60
    )
    assert found is not None
    return found


def test_a_unit_that_went_down_with_the_broker_is_not_green(
    service: CsuService, tmp_path: Path, processes: Processes
) -> None:
    broker = ForeignBroker(tmp_path / "broker", processes)
    process = broker.start()
    service.start("--broker", broker.url)
    gone = service.unit(lambda *_: None)
    gone.publish("health", health(SystemClock().wall_us()), retain=True)
    wait_standing(service, "ok")
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    gone.cut()
    silent_us = SystemClock().monotonic_us() + ROUGHLY_US
    wait_until(lambda: SystemClock().monotonic_us() > silent_us, what="longer than what the uptime leaves open")
    broker.start()
    wait_until(
        lambda: [reason.code for reason in standing(service).reasons] == ["not-heard-yet"],
        what="heard no more",
        timeout_s=60,
    )
    service.stop_units()
    service.unit(lambda *_: None, gone.identity)
    wait_standing(service, "ok")


def test_a_broker_that_keeps_its_uptime_to_itself_serves_all_the_same(
    service: CsuService, tmp_path: Path, processes: Processes
) -> None:
    access = tmp_path / "access"
    access.write_text("pattern readwrite csu/v1/#\n")
    access.chmod(0o600)
    broker = ForeignBroker(tmp_path / "broker", processes, f"acl_file {access}\n")
    broker.start()
    service.start("--broker", broker.url)
    unit = service.unit(lambda *_: None)
    unit.publish("health", health(SystemClock().wall_us()), retain=True)
    wait_standing(service, "ok")
