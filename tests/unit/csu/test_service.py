"""What `csu serve` finds damaged in its directory."""

import asyncio
from pathlib import Path

import pytest

from csu.broker import Broker
from csu.errors import BrokerError, CsuSettingsError
from csu.serve_settings import ForeignBroker, ServeSettings
from csu.service import Service
from csu.service_info import ServiceInfo
from edge_agent.clock import FakeClock


def announce(_info: ServiceInfo) -> None:
    raise AssertionError("it must not come up")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ports.json", b'{"api": 99999999}'),
        ("ports.json", b'{"ingest": -1}'),
        ("ports.json", b'{"ingest": null}'),
        ("ports.json", b"[1]"),
        ("ports.json", b"{"),
        ("ports.json", b"\xff"),
        ("api.token", b""),
        ("api.token", b" \n"),
        ("api.token", b"\xff" * 40),
        ("api.token", b"x" * 20 + b"\r\n" + b"y" * 20),
        ("keys/units/x1.jwks", b"[]"),
    ],
)
async def test_a_damaged_file_is_named_with_the_remedy(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
    await asyncio.to_thread(path.write_bytes, content)
    with pytest.raises(CsuSettingsError, match=rf"{path.name}.*remove it"):
        await Service(ServeSettings(tmp_path), FakeClock()).run(announce)


@pytest.mark.parametrize("host", ["203.0.113.9", "no.such.host.invalid"])
async def test_a_host_that_is_not_ours_is_named(tmp_path: Path, host: str) -> None:
    settings = ServeSettings(tmp_path, host=host, foreign_broker=ForeignBroker("mqtt://127.0.0.1:1"))
    with pytest.raises(CsuSettingsError, match=f"--host '{host}'.*address of this machine"):
        await Service(settings, FakeClock()).run(announce)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("passwords", b"\xff\xfe"),
        ("passwords", b"no colon"),
        ("port", b"99999999"),
        ("port", b"x"),
        ("csu.password", b"\xff"),
    ],
)
def test_a_damaged_file_of_the_broker_is_named(
    tmp_path: Path, name: str, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csu.broker.find_mosquitto", lambda: Path("/bin/false"))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BrokerError, match=f"{name}.*remove it"):
        Broker(tmp_path).start()


def test_a_start_that_fails_oddly_is_told_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("csu.broker.find_mosquitto", lambda: Path("/bin/false"))

    def fail(_self: Broker, _program: Path) -> None:
        raise OverflowError("port must be 0-65535")

    monkeypatch.setattr(Broker, "_spawn", fail)
    broker = Broker(tmp_path)
    for _ in range(2):
        with pytest.raises(BrokerError, match="port must be"):
            broker.start()
