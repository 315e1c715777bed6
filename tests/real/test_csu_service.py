"""The service's borders: garbage from units, its API, what watchers see."""

import http.client
import json
import resource
import socket
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from csu.mqtt_probe import accepts
from edge_agent.contract.messages import Status
from tests.real.csu_service import UNIT_ID, CsuService
from tests.real.fake_unit import BOOT_ID
from tests.support.polling import wait_until
from tests.support.processes import Processes

pytestmark = pytest.mark.real


@pytest.fixture
def service(service: CsuService) -> CsuService:
    service.start()
    return service


def call(
    service: CsuService, path: str, token: str | None, method: str = "GET", body: bytes = b""
) -> tuple[int, Any]:
    address = urlsplit(service.client.info().api_url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    try:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_garbage_is_ignored_and_counted(service: CsuService) -> None:
    unit = service.unit(lambda _unit, _command: None)
    own = f"csu/v1/{UNIT_ID}/up"
    garbage = [
        (f"{own}/status", b""),
        (f"{own}/status", b"{"),
        (f"{own}/reply", b"[" * 20_000),
        (f"{own}/reply", b"\xff\xfe"),
        (f"{own}/event", b'{"schema":"event/1"}'),
        (f"{own}/health", b"null"),
        (f"{own}/coverage", b'{"at":"2026-13-45T99:00:00Z","cameras":[]}'),
        (f"{own}/position", b"x" * 50_000),
        (f"{own}/unheard-of", b"{}"),
        (f"{own}/status", Status(state="offline", unit_id="nomad-08", boot_id=BOOT_ID).to_json()),
    ]
    for topic, payload in garbage:
        unit.publish_elsewhere(topic, payload)
    event = unit.event("camera-lost")
    wait_until(lambda: call_units(service)["ignored"] == len(garbage), what="the count")
    token = api_token(service)
    events = wait_until(lambda: call(service, "/v1/events", token)[1], what="the event")
    assert [found["event_id"] for found in events] == [event.event_id]
    assert call_units(service)["states"]["status"]["body"]["state"] == "online"


def test_the_broker_may_open_more_files_than_the_usual_limit(tmp_path: Path, processes: Processes) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, limits[1]))
    try:
        service = CsuService(tmp_path, processes)
        service.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    broker = int((service.directory / "csu" / "broker" / "mosquitto.pid").read_text())
    assert resource.prlimit(broker, resource.RLIMIT_NOFILE) == (limits[1], limits[1])


def test_the_api_refuses_without_its_token(service: CsuService) -> None:
    token = api_token(service)
    for wrong in (None, "", token[:-1], token + "x"):
        for path in ("/v1/units", "/v1/watch", "/v1/commands", "/nothing"):
            assert call(service, path, wrong)[0] == 401
    assert call(service, "/v1/units", token) == (200, [])
    assert call(service, "/nothing", token)[0] == 404
    assert (service.directory / "csu" / "api.token").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/units", b"{", 400, "parameters-invalid"),
        ("/v1/units", b'{"unit_id":"CSU","jwk":{}}', 400, "parameters-invalid"),
        ("/v1/units", b'{"unit_id":"csu","jwk":{}}', 400, "parameters-invalid"),
        ("/v1/units", b'{"unit_id":"nomad-08","jwk":{"kty":"oct"}}', 400, "parameters-invalid"),
        ("/v1/commands", b'{"unit_id":"nomad-99","cmd":"clip.list","operator":"a"}', 404, "unknown-unit"),
        ("/v1/commands", b'{"unit_id":"nomad-07","cmd":"reboot","operator":"a"}', 400, "unknown-command"),
        ("/v1/commands", b'{"unit_id":"nomad-07","cmd":"clip.list","operator":""}', 400, "parameters-invalid"),
        ("/v1/commands", b'{"unit_id":"nomad-07","cmd":"clip.request","operator":"a"}', 400, "parameters-invalid"),
        (
            "/v1/commands",
            b'{"unit_id":"nomad-07","cmd":"clip.request","operator":"a","role":"technician"}',
            403,
            "not-authorised",
        ),
        ("/v1/commands", b" " * 100_000, 413, "too-large"),
        (
            "/v1/commands",
            b'{"unit_id":"nomad-07","cmd":"coverage.query","operator":"a",'
            b'"params":{"camera":"main","from":1%s,"to":2%s}}' % (b"0" * 25, b"0" * 25),
            400,
            "parameters-invalid",
        ),
        ("/v1/units", b"[" * 60_000, 400, "parameters-invalid"),
        ("/v1/commands", b'{"unit_id":"nomad-07","cmd":"clip.list","operator":"\\ud800"}', 400, "parameters-invalid"),
    ],
)
def test_bad_requests_are_refused_by_name(
    service: CsuService, path: str, body: bytes, status: int, code: str
) -> None:
    service.enrol()
    found, answer = call(service, path, api_token(service), "POST", body)
    assert (found, answer["error"]["code"]) == (status, code), answer


def test_an_expelled_unit_is_shut_out(service: CsuService) -> None:
    identity = service.enrol()
    unit = service.unit(lambda _unit, _command: None, identity)
    token = api_token(service)
    order = b'{"unit_id":"nomad-07","cmd":"clip.list","operator":"a"}'
    command = call(service, "/v1/commands", token, "POST", order)[1]
    broker = urlsplit(service.client.info().mqtt_url)
    where = (broker.hostname or "", broker.port or 0, UNIT_ID, identity.password)
    assert accepts(*where)
    unit.stop()
    outcome = service.cli("expel", UNIT_ID)
    assert (outcome.returncode, "shut out" in outcome.stdout) == (0, True), outcome.stderr
    wait_until(lambda: not accepts(*where), what="the unit shut out")
    assert call(service, "/v1/units", token) == (200, [])
    assert call(service, f"/v1/commands/{command['command_id']}", token)[1]["command"]["state"] == "expired"
    assert call(service, "/v1/commands", token, "POST", order)[0] == 404
    assert service.cli("expel", UNIT_ID).returncode == 2
    service.end()
    service.start()
    assert call(service, "/v1/units", token) == (200, [])
    assert not accepts(*where)


def test_unknown_ids_are_404(service: CsuService) -> None:
    token = api_token(service)
    assert call(service, "/v1/commands/0197a1b2-0000-7000-8000-000000000001", token)[0] == 404
    assert call(service, "/v1/units/nomad-07", token)[0] == 404
    assert call(service, "/v1/events?limit=x", token)[0] == 400


def test_a_watcher_sees_what_happens(service: CsuService) -> None:
    identity = service.enrol()
    seen: list[dict[str, Any]] = []

    def watch() -> None:
        for item in service.client.watch(UNIT_ID):
            seen.append(item)  # noqa: PERF402 -- each as it comes

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    unit = service.unit(lambda _unit, _command: None, identity)

    def event_is_seen() -> bool:
        unit.event("storage-low")
        return any(item["kind"] == "event" for item in seen)

    wait_until(event_is_seen, what="an event at the watcher")
    service.end()
    watcher.join(30)
    assert not watcher.is_alive()
    assert {item["unit_id"] for item in seen} == {UNIT_ID}


def api_token(service: CsuService) -> str:
    return (service.directory / "csu" / "api.token").read_text()


def call_units(service: CsuService) -> dict[str, Any]:
    (unit,) = call(service, "/v1/units", api_token(service))[1]
    return dict(unit)


def test_a_token_that_is_no_text_is_refused(service: CsuService) -> None:
    address = urlsplit(service.client.info().api_url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=30) as connection:
        connection.sendall(b"GET /v1/units HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 401")
