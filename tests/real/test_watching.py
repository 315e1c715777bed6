"""The centre watches units that are really connected: loss of contact, kills of centre and broker, what is told."""

import json
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from csu.views import AlarmRecord, UnitSummary
from edge_agent.clock import SystemClock
from edge_agent.contract.messages import Alarms
from tests.real.csu_service import UNIT_ID, CsuService
from tests.real.fake_unit import FakeUnit, Identity
from tests.support.polling import wait_until
from tests.support.receivers import SECRET_TEXT, HookReceiver, MailServer
from tests.unit.csu.watched import health, will

pytestmark = [pytest.mark.real, pytest.mark.faults]


@pytest.fixture
def receiver() -> Iterator[HookReceiver]:
    receiver = HookReceiver().start()
    yield receiver
    receiver.stop()


@pytest.fixture
def mail() -> Iterator[MailServer]:
    server = MailServer().start()
    yield server
    server.stop()


def notify_file(folder: Path, receiver: HookReceiver, mail: MailServer | None = None, head: str = "") -> Path:
    secret, path = folder / "hook.secret", folder / "notify.toml"
    secret.write_text(SECRET_TEXT)
    secret.chmod(0o600)
    text = (
        f'{head}\n[[webhook]]\nname = "hook"\nurl = "{receiver.url}"\nsecret_file = "hook.secret"\nsummary = true\n'
    )
    if mail is not None:
        text += f'[[mail]]\nname = "mail"\nhost = "127.0.0.1"\nport = {mail.port}\nsecurity = "none"\n'
        text += 'from = "csu@ville.example"\nto = ["astreinte@ville.example"]\n'
    path.write_text(text)
    return path


def idle(_unit: FakeUnit, _command: object) -> None:
    """Answer nothing."""


def summary_of(service: CsuService) -> UnitSummary:
    return next(unit for unit in service.client.fleet().units if unit.unit_id == UNIT_ID)


def wait_standing(service: CsuService, standing: str) -> UnitSummary:
    found = wait_until(
        lambda: summary if (summary := summary_of(service)).standing == standing else None, what=standing
    )
    assert found is not None
    return found


def well_unit(service: CsuService, identity: Identity | None = None) -> FakeUnit:
    unit = service.unit(idle, identity)
    unit.publish("health", health(SystemClock().wall_us()), retain=True)
    wait_standing(service, "ok")
    return unit


def alarm_named(service: CsuService, name: str, is_open: bool | None = None) -> AlarmRecord | None:
    return next((alarm for alarm in service.client.alarms(None, is_open, 100) if alarm.name == name), None)


def told(receiver: HookReceiver) -> list[tuple[str, str]]:
    """Kind and alarm of every notice, one told twice left out."""
    seen: dict[str, tuple[str, str]] = {}
    for notice in receiver.notices:
        seen.setdefault(notice["notice_id"], (notice["kind"], notice.get("alarm", {}).get("name", "")))
    return list(seen.values())


def test_a_unit_that_loses_contact_is_lost_told_and_found_again(
    service: CsuService, receiver: HookReceiver, mail: MailServer, tmp_path: Path
) -> None:
    service.start("--notify", str(notify_file(tmp_path, receiver, mail)))
    unit = well_unit(service)
    unit.publish("status", will(), retain=True)
    lost = wait_standing(service, "lost")
    assert [camera.recording for camera in lost.cameras] == [None]
    wait_until(lambda: alarm_named(service, "not-heard", True), what="the alarm")
    wait_until(lambda: ("alarm-raised", "not-heard") in told(receiver), what="the webhook")
    message = wait_until(lambda: next(iter(mail.messages), None), what="the mail", timeout_s=60)
    assert message["Subject"] == f"[CSU] {UNIT_ID} : unité injoignable (apparue)"
    assert receiver.forged == 0
    alarm = alarm_named(service, "not-heard")
    assert alarm is not None
    done = service.cli("acknowledge", alarm.alarm_id, "--operator", "a. moreau", "--note", "en route")
    assert done.returncode == 0, done.stderr
    assert UNIT_ID in service.cli("alarms", "--open").stdout
    assert f"{UNIT_ID}  lost" in service.cli("units").stdout
    unit.publish("status", unit.online_status(), retain=True)
    wait_standing(service, "ok")
    over = wait_until(lambda: alarm_named(service, "not-heard", False), what="the end of the alarm")
    assert over is not None
    assert (over.acknowledged_by, over.note) == ("a. moreau", "en route")
    wait_until(lambda: ("alarm-cleared", "not-heard") in told(receiver), what="the webhook of the end")


def test_no_alarm_and_no_notice_is_lost_to_kills(service: CsuService, receiver: HookReceiver, tmp_path: Path) -> None:
    options = ("--notify", str(notify_file(tmp_path, receiver)))
    service.start(*options)
    identity = service.enrol()
    unit = well_unit(service, identity)
    names = [f"storage-{number}" for number in range(12)]
    for number, name in enumerate(names):
        # The service is killed while it takes, keeps and tells these, at another instant each time.
        unit.event(name)
        if number % 4 == 3:
            wait_until(partial(alarm_named, service, name), what=name)
            service.kill()
            service.start(*options)
            service.stop_units()
            unit = service.unit(idle, identity)
    wait_until(lambda: {name for _, name in told(receiver)} >= set(names), what="every notice", timeout_s=60)
    known = {alarm.name for alarm in service.client.alarms(UNIT_ID, True, 100)}
    assert known >= set(names)
    ids = [notice["notice_id"] for notice in receiver.notices]
    assert len(set(ids)) >= len(names)


def test_a_receiver_that_is_away_is_told_when_it_is_back(service: CsuService, tmp_path: Path) -> None:
    receiver = HookReceiver(status=503).start()
    try:
        service.start("--notify", str(notify_file(tmp_path, receiver)))
        unit = well_unit(service)
        unit.event("storage-error")
        wait_until(lambda: receiver.ids, what="an attempt")
        assert wait_standing(service, "trouble").open_alarms == 1
        receiver.status = 204
        wait_until(lambda: ("alarm-raised", "storage-error") in told(receiver), what="another attempt", timeout_s=60)
        assert set(receiver.ids[:2]) == {receiver.ids[0]}, "a repetition keeps its id"
    finally:
        receiver.stop()


def test_after_a_kill_nobody_is_green_until_heard_again(service: CsuService) -> None:
    service.start()
    identity = service.enrol()
    unit = well_unit(service, identity)
    unit.cut()
    service.kill()
    service.start()
    wait_until(lambda: service.client.fleet().broker_connected, what="the broker")
    assert wait_standing(service, "unheard").reasons[0].code == "not-heard-yet"
    service.stop_units()
    service.unit(idle, identity)
    assert wait_standing(service, "ok").online


def test_a_killed_broker_shows_nobody_green_that_did_not_come_back(service: CsuService) -> None:
    service.start()
    identity = service.enrol()
    unit = well_unit(service, identity)
    first = int((service.directory / "csu" / "broker" / "mosquitto.pid").read_text())
    unit.cut()
    wait_standing(service, "ok")
    os.kill(first, signal.SIGKILL)
    assert wait_standing(service, "unheard").online is False
    service.stop_units()
    wait_until(lambda: service.client.fleet().broker_connected, what="another broker")
    service.unit(idle, identity)
    wait_standing(service, "ok")


def test_alarms_that_the_list_names_are_opened_and_closed(service: CsuService) -> None:
    service.start()
    unit = well_unit(service)
    now_us = SystemClock().wall_us()
    listed: list[dict[str, Any]] = [{"name": "storage-low", "since": now_us - 5_000_000}]
    unit.publish("alarms", Alarms.from_object({"at": now_us, "alarms": listed}), retain=True)
    wait_until(lambda: alarm_named(service, "storage-low", True), what="the alarm")
    assert wait_standing(service, "warning").reasons[0].details["name"] == "storage-low"
    unit.publish("alarms", Alarms.from_object({"at": now_us + 1_000_000, "alarms": []}), retain=True)
    wait_until(lambda: alarm_named(service, "storage-low", False), what="its end")
    wait_standing(service, "ok")


def test_the_day_is_told_once_however_often_the_centre_starts(
    service: CsuService, receiver: HookReceiver, tmp_path: Path
) -> None:
    options = ("--notify", str(notify_file(tmp_path, receiver, head='summary_at = "00:00"')))
    for _ in range(3):
        service.start(*options)
        wait_until(lambda: ("summary", "") in told(receiver), what="the summary")
        service.kill()
    assert told(receiver).count(("summary", "")) == 1
    (summary, *_) = [notice["summary"] for notice in receiver.notices]
    assert (summary["units"], summary["rows"]) == (0, [])
    service.start()
    assert json.loads(service.cli("summary", "--json").stdout)["units"] == 0
    assert service.cli("summary", "--day", summary["day"]).returncode == 0


def test_a_mistake_in_the_file_is_said_at_the_start(service: CsuService, tmp_path: Path) -> None:
    path = tmp_path / "notify.toml"
    path.write_text('[[webhook]]\nname = "a"\nurl = "http://hooks.example/"\nsecret_file = "x"\n')
    outcome = service.cli("serve", "--dir", service.directory / "csu", "--notify", path)
    assert outcome.returncode == 2
    assert "webhook[0].url" in outcome.stderr
