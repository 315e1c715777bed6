"""What a client of the service waits for."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from csu.client import Client
from csu.errors import ServiceUnreachableError
from csu.records import ClipRecord, CommandRecord
from edge_agent.clock import FakeClock
from tests.unit.csu.replies import COMMAND_ID, NOW_US, make_record

Looks = Iterator[tuple[CommandRecord, ClipRecord | None]]


def clip(verdict: str) -> ClipRecord:
    fields = {"clip_id": COMMAND_ID, "unit_id": "nomad-07", "folder": "/clips/a", "completed_us": NOW_US}
    return ClipRecord.from_object(fields | {"verdict": verdict, "receipts_sent": 0})


def follow(looks: Looks, monkeypatch: pytest.MonkeyPatch, silence_s: float = 300.0) -> list[tuple[str, str | None]]:
    monkeypatch.setattr(Client, "look", lambda _client, _command_id: next(looks))
    followed = Client(Path("/nowhere"), FakeClock()).follow(COMMAND_ID, silence_s)
    return [(one.state, None if found is None else found.verdict) for one, found in followed]


@pytest.mark.parametrize("state", ["failed", "cancelled", "expired", "done"])
def test_a_delivered_clip_is_followed_to_its_verdict(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter(
        [
            (make_record("running"), None),
            (make_record(state, version=2), clip("pending")),
            (make_record(state, version=2), clip("verified")),
        ]
    )
    assert follow(looks, monkeypatch) == [("running", None), (state, "pending"), (state, "verified")]


def test_a_verification_is_waited_for_as_long_as_the_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    def looks(pending: int) -> Looks:
        for _ in range(1000):
            yield make_record("running"), None
        for _ in range(pending):
            yield make_record("running"), clip("pending")
        yield make_record("running"), clip("verified")

    assert follow(looks(1000), monkeypatch)[-1] == ("running", "verified")
    with pytest.raises(ServiceUnreachableError, match=r"no verdict after 300 s.*/clips/a"):
        follow(looks(3000), monkeypatch)


def test_silence_of_the_unit_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([(make_record("running"), None)] * 3000)
    with pytest.raises(ServiceUnreachableError, match="nothing was heard of nomad-07 for 300 s"):
        follow(looks, monkeypatch)


@pytest.mark.parametrize("pid", ["1" + "0" * 30, "0", "-1"])
def test_a_damaged_announcement_is_told(tmp_path: Path, pid: str) -> None:
    addresses = (
        '"api_url":"http://127.0.0.1:1","mqtt_url":"","ingest_url":"","topic_prefix":"csu/v1","own_broker":true'
    )
    (tmp_path / "serve.json").write_text(f'{{"pid":{pid},"started_at":0,{addresses}}}')
    with pytest.raises(ServiceUnreachableError, match=r"serve.json cannot be read: .*pid"):
        Client(tmp_path, FakeClock()).units()


@pytest.mark.parametrize("url", ["http://[127.0.0.1", "http://127.0.0.1:99999"])
def test_an_announced_address_that_is_none_is_told(tmp_path: Path, url: str) -> None:
    places = f'"api_url":"{url}","mqtt_url":"","ingest_url":"","topic_prefix":"csu/v1","own_broker":true'
    started = '"schema":"csu-serve/1","started_at":"2026-03-29T00:00:00.000000Z"'
    (tmp_path / "serve.json").write_text(f'{{"pid":{os.getpid()},{started},{places}}}')
    with pytest.raises(ServiceUnreachableError, match="as its service"):
        Client(tmp_path, FakeClock()).units()
