"""Figures of health against what they are about: a ring that rolls over, a broker that answers pings."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from csu.broker import Broker
from edge_agent.clock import SystemClock
from edge_agent.contract.ring_protocol import RecorderState
from edge_agent.health.report import ClockSight, UnitProbes
from edge_agent.settings import MqttSettings
from edge_agent.settings_file import load_settings
from edge_agent.uplink.paho_wire import PahoWire
from edge_agent.uplink.wire import Outgoing, WireEvents, WireOptions
from tests.support.polling import until, wait_until
from tests.support.processes import Processes
from tests.support.unit import Unit, camera_of, make_noise_video, running

pytestmark = pytest.mark.real

RING_BYTES = 40_000_000
MBIT_S = 24


@pytest.fixture
def unit(tmp_path: Path, processes: Processes) -> Iterator[Unit]:
    unit = Unit(tmp_path / "unit", processes)
    make_noise_video(unit.directory / "noise.mp4", mbit_s=MBIT_S)
    unit.cameras = [camera_of("file:noise.mp4", max_bytes=RING_BYTES, segment_s=1)]
    unit.write_settings()
    yield from running(unit)


def held_s(state: RecorderState) -> float:
    return ((state.newest_us or 0) - (state.oldest_us or 0)) / 1e6


def test_the_days_that_fit_are_those_that_the_ring_holds_when_it_has_rolled_over(unit: Unit) -> None:
    unit.spawn("record", "main")
    unit.wait_recording("main")
    first_us = unit.state().oldest_us or 0
    probes = UnitProbes(load_settings(unit.settings_file), SystemClock(), "1", "a" * 32)

    def reckoned_s() -> float:
        storage = probes.run({"main": unit.state()}, ClockSight("unknown", None)).health.to_object()["storage"]
        return float(storage.get("days_that_fit", 0.0)) * 86_400

    def has_rolled_over() -> bool:
        state = unit.state()
        return (state.oldest_us or 0) > first_us + held_s(state) * 1e6 / 2 and state.size_bytes > 0.8 * RING_BYTES

    wait_until(has_rolled_over, what="a ring that rolled over", timeout_s=120)
    # `days_that_fit` is told in hundredths of a day: the same reckoning is looked at before it is rounded.
    state = unit.state()
    rate_s = RING_BYTES * 8 / (state.bitrate_kbps * 1000)
    assert reckoned_s() == pytest.approx(rate_s, abs=0.006 * 86_400)
    assert held_s(state) == pytest.approx(rate_s, rel=0.25)


async def test_a_ping_of_the_keep_alive_tells_the_round_trip(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "broker")
    await asyncio.to_thread(broker.start)
    try:
        password = tmp_path / "password"
        await asyncio.to_thread(password.write_text, await asyncio.to_thread(broker.add_user, "nomad-07"))
        took_us: list[int] = []
        settings = MqttSettings(url=broker.url, username="nomad-07", password_file=password, keepalive_s=5)
        options = WireOptions("nomad-07", Outgoing("csu/v1/nomad-07/up/status", b"offline", retain=True))
        wire = PahoWire(settings, options, WireEvents(on_round_trip=took_us.append), 1)
        await wire.open()
        await until(lambda: took_us, what="a ping's answer", timeout_s=30)
        assert 0 < took_us[0] < 5_000_000
        await wire.close(5, said_farewell=True)
    finally:
        await asyncio.to_thread(broker.stop)
