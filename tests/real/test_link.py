"""The link against a real broker, with a made-up recorder and the centre's own ingest."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.contract.ids import make_uuid7
from edge_agent.contract.jws import SigningKey
from edge_agent.contract.messages import REPLY_RANK
from tests.support.link import LinkRig, link_rig
from tests.support.operator import clip_params, make_claims
from tests.support.polling import wait_until
from tests.support.processes import Processes

pytestmark = pytest.mark.real


@pytest.fixture
def rig(tmp_path: Path, processes: Processes) -> Iterator[LinkRig]:
    with link_rig(tmp_path, processes) as made:
        yield made


def test_a_clip_is_accepted_delivered_and_done(rig: LinkRig) -> None:
    rig.start()
    rig.operator.wait_online()
    clip_id = rig.operator.send("clip.request", clip_params())
    accepted = rig.operator.wait_reply(clip_id, "accepted", "running")
    assert accepted["result"]["clip"]["parts"] == 1
    digest = rig.deliver(clip_id)
    done = rig.operator.wait_reply(clip_id)
    assert done["state"] == "done"
    assert done["result"]["manifest_sha256"] == digest
    wait_until(lambda: clip_id in rig.ring.released, what="release of the pin")
    ranks = [REPLY_RANK[reply["state"]] for reply in rig.operator.replies(clip_id)]
    assert ranks == sorted(ranks)
    numbers = [body["seq"] for name, body in rig.operator.received if name in {"reply", "event"}]
    assert len(set(numbers)) == len(numbers)


def test_retained_topics_say_who_where_and_how(rig: LinkRig) -> None:
    rig.start()
    rig.operator.wait_online()
    status = rig.operator.wait_for("status", lambda body: body["state"] == "online")
    assert "clip.request" in status["capabilities"]
    assert status["deployment_id"] == "bench"
    position = rig.operator.wait_for("position", lambda body: True)
    assert position["geometry"]["coordinates"] == [4.85, 45.76]
    health = rig.operator.wait_for("health", lambda body: True)
    assert health["camera"]["cameras"]["main"]["recording"] is True
    assert health["storage"]["free_bytes"] > 0
    assert rig.operator.wait_for("coverage", lambda body: True)["cameras"][0]["camera"] == "main"
    assert rig.operator.wait_for("alarms", lambda body: True)["alarms"] == []


def test_sigterm_ends_in_order_and_says_offline(rig: LinkRig) -> None:
    process = rig.start()
    rig.operator.wait_online()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert "at" in rig.operator.wait_for("status", lambda body: body["state"] == "offline")


def test_the_broker_says_offline_for_a_killed_link(rig: LinkRig) -> None:
    rig.start()
    rig.operator.wait_online()
    rig.kill()
    will = rig.operator.wait_for("status", lambda body: body["state"] == "offline")
    assert will["unit_id"] == rig.operator.topics.unit_id
    assert "at" not in will, "the unit itself said nothing"


def test_a_broker_that_forgot_us_gets_everything_again(rig: LinkRig) -> None:
    rig.start()
    rig.operator.wait_online()
    rig.operator.wait_for("alarms", lambda body: True)
    rig.broker.kill()
    for store in (rig.directory / "broker").rglob("*.db"):
        store.unlink()
    rig.operator.received.clear()
    rig.broker.start()
    rig.operator.wait_online()
    for name in ("position", "health", "coverage", "alarms"):
        rig.operator.wait_for(name, lambda body: True)
    command_id = rig.operator.send("clip.list", {})
    assert rig.operator.wait_reply(command_id)["state"] == "done"


def test_a_command_survives_the_broker_that_acknowledged_it(rig: LinkRig) -> None:
    rig.start()
    rig.operator.wait_online()
    claims = make_claims(rig.operator.topics.unit_id, "clip.request", clip_params())
    rig.operator.send_claims(claims)
    rig.broker.kill()
    rig.broker.start()
    rig.operator.wait_online(2)
    rig.operator.send_claims(claims)  # as the centre does until it is answered
    rig.operator.wait_reply(claims["jti"], "accepted", "running")
    rig.deliver(claims["jti"])
    assert rig.operator.wait_reply(claims["jti"])["state"] == "done"
    assert len(rig.arrived) == 1


def test_the_same_command_gets_the_reply_that_stands(rig: LinkRig) -> None:
    rig.start()
    rig.operator.wait_online()
    claims = make_claims(rig.operator.topics.unit_id, "clip.list", {})
    rig.operator.send_claims(claims)
    first = rig.operator.wait_reply(claims["jti"])
    rig.operator.send_claims(claims)
    wait_until(lambda: len(rig.operator.replies(claims["jti"])) == 2, what="the reply once more")
    assert rig.operator.replies(claims["jti"])[1]["result"] == first["result"]
    rig.operator.send_claims(claims | {"params": {"limit": 3}})
    reused = rig.operator.wait_reply(claims["jti"], "rejected")
    assert reused["error"]["code"] == "id-reused"


def refused_bodies(rig: LinkRig) -> dict[str, bytes]:
    """Bodies that are no valid commands, by the code that they are to get."""
    unit, key = rig.operator.topics.unit_id, rig.operator.key
    good = make_claims(unit, "clip.request", clip_params())
    old = good | {"iat": good["iat"] - 900, "exp": good["iat"] - 300}

    def signed(**changes: object) -> bytes:
        return key.sign("command", good | changes).encode()

    return {
        "malformed": b"\x00\xff garbage",
        "too-large": b"x" * 20_000,
        "unsigned": json.dumps(good).encode(),
        "signature-invalid": SigningKey.generate().sign("command", good).encode(),
        "wrong-unit": signed(aud="nomad-99"),
        "unknown-command": signed(cmd="unit.explode"),
        "not-authorised": signed(role="technician", jti=make_uuid7(1)),
        "expired": key.sign("command", old | {"jti": make_uuid7(2)}).encode(),
        "parameters-invalid": signed(params={"camera": 7}, jti=make_uuid7(3)),
        "unknown-camera": signed(params=clip_params(camera="attic"), jti=make_uuid7(4)),
        "interval-invalid": signed(params=clip_params(to="2026-01-01T00:00:00Z"), jti=make_uuid7(5)),
        "origin-not-allowed": signed(params=clip_params(upload="https://elsewhere.example/"), jti=make_uuid7(6)),
    }


def wait_refusal(rig: LinkRig, code: str) -> dict[str, Any]:
    return rig.operator.wait_for("reply", lambda body: body.get("error", {}).get("code") == code)


def test_bad_commands_are_rejected_each_with_its_code(rig: LinkRig) -> None:
    rig.start()
    rig.operator.wait_online()
    for code, body in refused_bodies(rig).items():
        rig.operator.send_bytes("command", body)
        assert wait_refusal(rig, code)["state"] == "rejected"
    assert rig.ring.plan_calls == []
    rig.operator.wait_for("event", lambda body: body["name"] == "command-refused")


def test_a_second_link_of_the_unit_does_not_start(rig: LinkRig) -> None:
    first = rig.start()
    rig.operator.wait_online()
    second = rig.start()
    assert second.wait(30) != 0
    assert first.poll() is None
    assert [body["state"] for body in rig.operator.all("status")] == ["online"]


def test_a_request_waits_for_a_recorder_that_does_not_answer(rig: LinkRig) -> None:
    rig.recorder.stop()
    rig.start()
    rig.operator.wait_online()
    clip_id = rig.operator.send("clip.request", clip_params())
    waiting = rig.operator.wait_for("event", lambda body: body["name"] == "command-waiting")
    assert waiting["details"]["code"] == "recorder-unavailable"
    rig.operator.wait_for("event", lambda body: body["name"] == "recorder-unavailable" and body["state"] == "raised")
    rig.kill()
    rig.start()
    rig.operator.wait_online(2)
    rig.recorder.start()
    rig.operator.wait_reply(clip_id, "accepted", "running")
    rig.operator.wait_for("event", lambda body: body["name"] == "recorder-unavailable" and body["state"] == "cleared")
    said = [body for body in rig.operator.all("event") if body["name"] == "recorder-unavailable"]
    # The kill came soon after the first one's acknowledgement: it may be sent again, with the same id.
    states = {body["event_id"]: body["state"] for body in said}
    assert list(states.values()) == ["raised", "cleared"]


def test_a_camera_that_is_lost_and_found_is_said_once(rig: LinkRig) -> None:
    rig.start()
    rig.operator.wait_online()
    rig.ring.recording = False
    lost = rig.operator.wait_for("event", lambda body: body["name"] == "camera-lost")
    assert (lost["state"], lost["camera"], lost["details"]["cause"]) == ("raised", "main", "camera-lost")
    assert rig.operator.wait_for("alarms", lambda body: len(body["alarms"]) == 1)
    rig.ring.recording = True
    rig.operator.wait_for("event", lambda body: body["name"] == "camera-lost" and body["state"] == "cleared")
    rig.operator.wait_for("health", lambda body: body["camera"]["state"] == "ok")


def test_a_transfer_is_cancelled_in_the_middle(rig: LinkRig) -> None:
    rig.ingest.stop_listening()
    rig.start()
    rig.operator.wait_online()
    clip_id = rig.operator.send("clip.request", clip_params())
    rig.operator.wait_reply(clip_id, "running")
    canceller = rig.operator.send("clip.cancel", {"clip_id": clip_id})
    assert rig.operator.wait_reply(canceller)["result"]["cancelled"] is True
    assert rig.operator.wait_reply(clip_id)["state"] == "cancelled"
    wait_until(lambda: clip_id in rig.ring.released, what="release of the pin")
    wait_until(lambda: not list((rig.data_dir / "link" / "transfers").glob("*.json")), what="the end of the transfer")
    unknown = rig.operator.send("clip.cancel", {"clip_id": canceller})
    assert rig.operator.wait_reply(unknown)["error"]["code"] == "unknown-clip"


def test_queries(rig: LinkRig) -> None:
    rig.ring.page_intervals = 200
    rig.start()
    rig.operator.wait_online()
    clip_id = rig.operator.send("clip.request", clip_params())
    rig.operator.wait_reply(clip_id, "running")
    listed = rig.operator.wait_reply(rig.operator.send("clip.list", {}))["result"]
    assert [clip["clip_id"] for clip in listed["clips"]] == [clip_id]
    asked = rig.operator.wait_reply(rig.operator.send("command.query", {"command_id": clip_id}))["result"]
    assert asked["command"]["command"] == "clip.request"
    missing = rig.operator.wait_reply(rig.operator.send("command.query", {"command_id": make_uuid7(9)}))
    assert missing["error"]["code"] == "unknown-id"
    assert len(all_intervals(rig)) == 200
    checked = rig.operator.wait_reply(rig.operator.send("unit.check", {}))["result"]
    assert checked["camera"]["state"] == "ok"


def all_intervals(rig: LinkRig) -> list[dict[str, Any]]:
    """Every page of `coverage.query`."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        params = {"camera": "main", "from": "2026-09-01T00:00:00Z", "to": "2026-09-20T00:00:00Z"}
        page = rig.operator.wait_reply(
            rig.operator.send("coverage.query", params | ({"cursor": cursor} if cursor else {}))
        )["result"]
        found += page["intervals"]
        cursor = page.get("cursor")
        if cursor is None:
            return found


def test_a_reply_goes_to_the_response_topic_too(rig: LinkRig) -> None:
    rig.start()
    rig.operator.wait_online()
    topics = rig.operator.topics
    claims = make_claims(topics.unit_id, "clip.list", {})
    rig.operator.send_claims(claims, ResponseTopic=topics.up("reply/desk-3"), CorrelationData=b"42")
    answer = rig.operator.wait_for("reply/desk-3", lambda body: body["command_id"] == claims["jti"])
    assert answer["state"] == "done"
    assert ("reply/desk-3", b"42") in rig.operator.correlations
    stranger = make_claims(topics.unit_id, "clip.list", {})
    rig.operator.send_claims(stranger, ResponseTopic="csu/v1/nomad-99/up/reply")
    assert rig.operator.wait_reply(stranger["jti"])["state"] == "done"


def test_receipts_decide(rig: LinkRig) -> None:
    rig.start()
    rig.operator.wait_online()
    clip_id = rig.operator.send("clip.request", clip_params())
    digest = rig.wait_arrival(clip_id)

    def is_refused() -> bool:
        rig.operator.send_receipt(clip_id, "0" * 64)  # only kept until the link knows what it has sent
        return any(body["name"] == "receipt-refused" for body in rig.operator.all("event"))

    wait_until(is_refused, what="a refusal")
    rig.operator.send_receipt(clip_id, digest, "failed", reason="fragment 3 of part 1")
    failed = rig.operator.wait_reply(clip_id)
    assert failed["error"] == {"code": "verification-failed", "message": "fragment 3 of part 1"}
    wait_until(lambda: clip_id in rig.ring.released, what="release of the pin")


def test_a_ring_that_rejects_is_quoted(rig: LinkRig) -> None:
    rig.start()
    rig.operator.wait_online()
    rig.ring.errors.append(("interval-overwritten", "the oldest footage is of yesterday"))
    reply = rig.operator.wait_reply(rig.operator.send("clip.request", clip_params()))
    assert reply["state"] == "rejected"
    assert reply["error"]["code"] == "interval-overwritten"


def test_an_interval_that_is_still_being_recorded_is_waited_for(rig: LinkRig) -> None:
    rig.ring.reserved_answers = 2
    rig.start()
    rig.operator.wait_online()
    clip_id = rig.operator.send("clip.request", clip_params())
    rig.deliver(clip_id)
    assert rig.operator.wait_reply(clip_id)["state"] == "done"
    assert len(rig.ring.plan_calls) == 3


def test_a_wrong_password_is_tried_again_until_it_is_right(rig: LinkRig) -> None:
    password_file = rig.directory / "password"
    right = password_file.read_text(encoding="utf-8")
    password_file.write_text("wrong", encoding="utf-8")
    process = rig.start()
    wait_until(lambda: "not authorised" in rig.broker.log_file.read_text(errors="replace"), what="a refusal")
    assert process.poll() is None
    password_file.write_text(right, encoding="utf-8")
    rig.operator.wait_online()
