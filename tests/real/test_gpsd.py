"""The room of position against a real gpsd: recorded and drawn receivers, and a gpsd that is killed or stopped."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from edge_agent.cli_check import _check_position
from edge_agent.clock import SystemClock
from edge_agent.position.gpsd import GpsdClient
from edge_agent.position.locator import Locator, Sight
from edge_agent.settings import PositionSettings
from tests.support.gpsd import Gpsd, Receiver, start_gpsfake
from tests.support.nmea import Epoch
from tests.support.polling import until, wait_until
from tests.support.processes import Processes

pytestmark = pytest.mark.real

RECORDED = Path(__file__).parent / "gnss" / "gpslim236.log"
GARBAGE = b'$GPGGA,nan,nan,N,nan,E,9,99,,,M,,M,,*00\r\n\xff\xfe\x00$GPRMC\r\n{"class":"TPV"}\r\n'


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is lost, silent or frozen is so after seconds."""
    monkeypatch.setattr("edge_agent.position.locator.FIX_HOLDS_S", 4.0)
    monkeypatch.setattr("edge_agent.position.locator.SPOKE_HOLDS_S", 3.0)
    monkeypatch.setattr("edge_agent.position.fixes.FROZEN_AFTER_S", 3.0)


class Played:
    """What a receiver says, to be changed while it runs."""

    def __init__(self) -> None:
        self.epoch: Epoch | None = Epoch()
        self.speed_mps = 0.0

    def __call__(self) -> Epoch | None:
        if self.epoch is not None and self.speed_mps:
            self.epoch = self.epoch.moved(self.speed_mps, speed_mps=self.speed_mps)
        return self.epoch


@pytest.fixture
def played() -> Played:
    return Played()


@pytest.fixture
def receiver(played: Played) -> Iterator[Receiver]:
    made = Receiver(played)
    yield made
    made.close()


@asynccontextmanager
async def locating(port: int, silence_timeout_s: float = 3.0) -> AsyncIterator[Locator]:
    """A locator that listens to this port."""
    clock = SystemClock()
    locator = Locator(PositionSettings(gpsd=f"127.0.0.1:{port}"), None, "a" * 32, clock)
    running = asyncio.create_task(GpsdClient("127.0.0.1", port, locator, clock, silence_timeout_s).run())
    try:
        yield locator
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.wait({running})


async def sees(locator: Locator, is_it: Callable[[Sight], bool], what: str) -> Sight:
    await until(lambda: is_it(locator.sight()), what=what, timeout_s=60)
    return locator.sight()


async def test_a_recorded_receiver_stands_though_its_place_wanders(processes: Processes) -> None:
    """It is of 2006, and gpsfake plays it over and over: time goes back at each turn, the place does not suffer."""
    port = await asyncio.to_thread(start_gpsfake, processes, RECORDED, 0.05)
    async with locating(port) as locator:
        sight = await sees(locator, lambda sight: sight.fix == "3d" and sight.satellites_seen is not None, "a fix")
        assert sight.place is not None
        assert sight.place.point == pytest.approx((2.333, 48.904), abs=0.002)
        assert sight.place.altitude_m == pytest.approx(160, abs=20)
        assert sight.place.accuracy_m is not None
        assert 5 < sight.place.accuracy_m < 60
        assert (sight.satellites_used, sight.satellites_seen) == (5, 11)
        await until(lambda: "the receiver's time does not go on" in locator.refused, what="the turn noticed")
        assert not locator.sight().moving
        assert locator.gnss_reading() is None, "twenty seconds of it in one is no time that can be believed"


async def test_a_van_drives_into_a_tunnel_and_out_of_it(
    processes: Processes, receiver: Receiver, played: Played
) -> None:
    gpsd = await asyncio.to_thread(Gpsd(processes, receiver).start)
    async with locating(gpsd.port) as locator:
        standing = await sees(locator, lambda sight: sight.fix == "3d", "a fix")
        assert standing.place is not None
        assert standing.place.accuracy_m == pytest.approx(5.7, abs=0.2), "by GST: 2 drms of 2 m an axis"
        assert not standing.moving
        played.speed_mps = 14.0
        driving = await sees(locator, lambda sight: sight.moving, "the van noticed")
        assert driving.speed_mps == pytest.approx(14, abs=0.1)
        played.epoch = Epoch(quality=0)
        played.speed_mps = 0.0
        lost = await sees(locator, lambda sight: sight.fix == "none", "the tunnel noticed")
        assert lost.moving
        assert lost.place is not None
        assert lost.trouble == "the receiver has no fix"
        assert lost.place.longitude_deg > standing.place.longitude_deg
        played.epoch = Epoch().moved(500)
        await sees(locator, lambda sight: sight.fix == "3d", "the other end")


async def test_a_receiver_that_freezes_is_noticed(processes: Processes, receiver: Receiver, played: Played) -> None:
    gpsd = await asyncio.to_thread(Gpsd(processes, receiver).start)
    async with locating(gpsd.port, silence_timeout_s=30.0) as locator:
        await sees(locator, lambda sight: sight.fix == "3d", "a fix")
        receiver.is_frozen = True
        frozen = await sees(locator, lambda sight: sight.fix == "none", "the freeze noticed")
        assert frozen.trouble in {"the receiver's time does not go on", "the receiver says nothing"}
        receiver.is_frozen = False
        await sees(locator, lambda sight: sight.fix == "3d", "a fix again")


async def test_garbage_on_the_line_and_silence_cost_the_fix_and_nothing_else(
    processes: Processes, receiver: Receiver, played: Played
) -> None:
    gpsd = await asyncio.to_thread(Gpsd(processes, receiver).start)
    async with locating(gpsd.port) as locator:
        await sees(locator, lambda sight: sight.fix == "3d", "a fix")
        receiver.raw = GARBAGE
        await sees(locator, lambda sight: sight.fix == "none", "garbage noticed")
        receiver.raw = None
        await sees(locator, lambda sight: sight.fix == "3d", "a fix again")


async def test_a_receiver_that_is_years_ahead_still_knows_where_it_is(processes: Processes, played: Played) -> None:
    receiver = Receiver(played, ahead=timedelta(days=700))
    gpsd = await asyncio.to_thread(Gpsd(processes, receiver).start)
    clock = SystemClock()
    async with locating(gpsd.port) as locator:
        await until(locator.gnss_reading, what="a reading", timeout_s=60)
        reading = locator.gnss_reading()
        assert reading is not None
        assert reading.utc_at(clock.monotonic_us()) - clock.wall_us() > 600 * 86_400_000_000
        assert locator.sight().fix == "3d"
    receiver.close()


def test_the_check_of_the_unit_looks_at_the_receiver(
    processes: Processes, receiver: Receiver, played: Played
) -> None:
    gpsd = Gpsd(processes, receiver)
    settings = PositionSettings(gpsd=gpsd.address)
    verdict, text = _check_position(settings, SystemClock())
    assert verdict == "failed"
    assert "cannot be reached" in text
    gpsd.start()
    # Asked between a cycle's place and its satellites, it has seen no place.
    text = wait_until(lambda: words_of_fix(settings), what="a fix")
    assert text == "3d fix at 45.76400, 4.83570, ±6 m, 9 of 11 satellites used"
    played.epoch = Epoch(quality=0)
    gpsd.kill()
    gpsd.start()
    verdict, text = _check_position(settings, SystemClock())
    assert verdict == "warning"
    assert "no fix" in text


def words_of_fix(settings: PositionSettings) -> str | None:
    verdict, text = _check_position(settings, SystemClock())
    return text if verdict == "ok" else None


async def test_a_gpsd_that_is_killed_is_found_again(processes: Processes, receiver: Receiver) -> None:
    gpsd = await asyncio.to_thread(Gpsd(processes, receiver).start)
    async with locating(gpsd.port) as locator:
        await sees(locator, lambda sight: sight.fix == "3d", "a fix")
        gpsd.kill()
        gone = await sees(locator, lambda sight: sight.fix == "none", "its end noticed")
        assert "gpsd" in gone.trouble
        await asyncio.to_thread(gpsd.start)
        await sees(locator, lambda sight: sight.fix == "3d", "a fix again")


async def test_a_gpsd_that_is_stopped_in_its_tracks_is_noticed_and_waited_for(
    processes: Processes, receiver: Receiver
) -> None:
    gpsd = await asyncio.to_thread(Gpsd(processes, receiver).start)
    assert gpsd.process is not None
    clock = SystemClock()
    async with locating(gpsd.port) as locator:
        await until(locator.gnss_reading, what="a reading", timeout_s=60)
        reading = locator.gnss_reading()
        assert reading is not None
        assert abs(reading.utc_at(clock.monotonic_us()) - clock.wall_us()) <= reading.bound_us <= 1_100_000
        gpsd.process.send_signal(signal.SIGSTOP)
        silent = await sees(locator, lambda sight: sight.fix == "none", "its silence noticed")
        assert "silent" in silent.trouble
        gpsd.process.send_signal(signal.SIGCONT)
        await sees(locator, lambda sight: sight.fix == "3d", "a fix again")
        reading = locator.gnss_reading()
        if reading is not None:  # what it had in its buffers came late, and must not be taken for the time
            assert abs(reading.utc_at(clock.monotonic_us()) - clock.wall_us()) <= reading.bound_us
