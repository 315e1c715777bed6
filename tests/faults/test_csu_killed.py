"""The centre is killed in mid-work and goes on; so is its broker."""

import os
import signal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from csu.broker import Broker
from csu.mqtt_probe import accepts
from edge_agent.contract.commands import CommandClaims
from edge_agent.contract.times import format_utc
from tests.real.csu_service import UNIT_ID, CsuService
from tests.real.fake_unit import CLIP_END_US, CLIP_START_US, FakeUnit, Identity, deliver, once, record_clip
from tests.support.polling import wait_until

pytestmark = [pytest.mark.real, pytest.mark.faults]


def ask_clip(service: CsuService) -> str:
    order: dict[str, Any] = {
        "unit_id": UNIT_ID,
        "cmd": "clip.request",
        "params": {"camera": "main", "from": format_utc(CLIP_START_US), "to": format_utc(CLIP_END_US)},
        "operator": "a. moreau",
        "reference": "PV 2026/118",
        "purpose": "requisition",
    }
    return service.client.command(order).command_id


def takes(identity: Identity) -> bool:
    address = urlsplit(identity.mqtt_url)
    return accepts(address.hostname or "", address.port or 0, identity.unit_id, identity.password)


def wait_verified(service: CsuService, clip_id: str) -> None:
    def verdict() -> str | None:
        clip = service.client.look(clip_id)[1]
        return clip.verdict if clip is not None and clip.verdict != "pending" else None

    assert wait_until(verdict, what="the verdict", timeout_s=120) == "verified"


def wait_done(service: CsuService, command_id: str) -> None:
    wait_until(lambda: service.client.look(command_id)[0].state == "done", what="the last reply", timeout_s=120)


def broker_pid(service: CsuService) -> int:
    """0 while mosquitto is writing its file."""
    return int((service.directory / "csu" / "broker" / "mosquitto.pid").read_text() or 0)


def test_a_command_outlives_the_service_that_took_it(service: CsuService) -> None:
    service.start()
    identity = service.enrol()
    clip_id = ask_clip(service)
    broker = psutil.Process(broker_pid(service))
    service.kill()
    psutil.wait_procs([broker], timeout=30)
    assert not broker.is_running()
    service.start()
    unit = service.unit(deliver, identity)
    wait_verified(service, clip_id)
    wait_done(service, clip_id)
    assert {command.jti for command in unit.commands} == {clip_id}


def test_a_service_killed_after_the_last_byte_gives_its_verdict_later(service: CsuService) -> None:
    uploaded: list[str] = []

    @once
    def upload_only(unit: FakeUnit, command: CommandClaims) -> None:
        unit.upload(command.jti, record_clip(unit.directory, unit.identity, command))
        uploaded.append(command.jti)
        wait_until(lambda: unit.receipts, what="receipt", timeout_s=120)
        unit.reply(command, "done")

    service.start()
    unit = service.unit(upload_only)
    clip_id = ask_clip(service)
    wait_until(lambda: uploaded, what="the upload")
    service.kill()
    service.start()
    wait_verified(service, clip_id)
    wait_done(service, clip_id)
    assert unit.receipts[0]["clip_id"] == clip_id


def test_a_killed_broker_loses_no_command(service: CsuService) -> None:
    service.start()
    identity = service.enrol()
    clip_id = ask_clip(service)
    wait_until(lambda: service.client.look(clip_id)[0].sent > 0, what="the first publication")
    first = broker_pid(service)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: broker_pid(service) not in {0, first} and takes(identity), what="another broker")
    unit = service.unit(deliver, identity)
    wait_done(service, clip_id)
    assert unit.receipts[0]["verdict"] == "verified"


def test_replies_that_came_while_the_service_was_dead_are_heard(service: CsuService, tmp_path: Path) -> None:
    with Broker(tmp_path / "given") as broker:
        given = ["--broker", broker.url, "--broker-user", "csu"]
        given += ["--broker-password-file", str(tmp_path / "given" / "csu.password")]
        service.start(*given)
        enrolled = service.enrol()
        identity = Identity(**(vars(enrolled) | {"password": broker.add_user(UNIT_ID)}))
        unit = service.unit(lambda _unit, _command: None, identity)
        clip_id = ask_clip(service)
        (command,) = wait_until(lambda: unit.commands[:1], what="the command")
        service.kill()
        unit.reply(command, "accepted")
        unit.reply(command, "cancelled")
        unit.event("camera-lost")
        service.start(*given)
        wait_until(lambda: service.client.look(clip_id)[0].state == "cancelled", what="the reply")


def test_sigterm_ends_everything_in_order(service: CsuService) -> None:
    service.start()
    broker = psutil.Process(broker_pid(service))
    assert service.end() == 0
    psutil.wait_procs([broker], timeout=30)
    assert not broker.is_running()
    assert not (service.directory / "csu" / "serve.json").exists()


def test_a_second_service_on_the_directory_is_refused(service: CsuService) -> None:
    service.start()
    outcome = service.cli("serve", "--dir", service.directory / "csu")
    assert outcome.returncode == 2
    assert "another csu serve" in outcome.stderr
