"""When a broker that is not ours was started, from what it says of itself; what its restart does to standings."""

import pytest

from csu.broker_uptime import TOPIC, BrokerUptime
from csu.mqtt_connection import Message
from csu.registry import Registry
from edge_agent.clock import FakeClock
from tests.unit.csu.watched import Watched, health, online, position, watched

DAY_S = 86_400


class Told:
    """A broker's word on its uptime, and how often a start was heard of."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.clock.advance(30 * DAY_S)
        self.starts = 0
        self.uptime = BrokerUptime(self.clock)

    def say(self, seconds: int, is_retained: bool = False) -> None:
        self.say_bytes(b"%d seconds" % seconds, is_retained)

    def say_bytes(self, payload: bytes, is_retained: bool = False) -> None:
        self.starts += self.uptime.hear(Message(TOPIC, payload, 0, 0, is_retained))

    @property
    def age_s(self) -> float:
        began_us = self.uptime.began_us
        assert began_us is not None
        return (self.clock.monotonic_us() - began_us) / 1e6


def test_the_start_is_reckoned_rather_too_early() -> None:
    told = Told()
    told.say(1000)
    assert told.age_s == 1003
    told.clock.advance(10)
    told.say(1010)
    assert (told.age_s, told.starts) == (1013, 1)


def test_a_word_that_was_kept_waiting_moves_nothing() -> None:
    told = Told()
    told.say(1000)
    told.clock.advance(55)
    told.say(1010)
    assert (told.age_s, told.starts) == (1058, 1)


def test_a_smaller_uptime_is_another_start() -> None:
    told = Told()
    told.say(1000)
    told.clock.advance(20)
    told.say(5)
    assert (told.age_s, told.starts) == (8, 2)


def test_a_start_while_the_centre_was_away_is_seen_though_the_uptime_is_larger() -> None:
    told = Told()
    told.say(100)
    told.clock.advance(3600)
    told.say(200)
    assert (told.age_s, told.starts) == (203, 2)


@pytest.mark.parametrize("drift", [-100e-6, 100e-6])
def test_two_clocks_that_drift_are_no_restart(drift: float) -> None:
    told = Told()
    for minute in range(30 * 24 * 60):
        told.say(round(1000 + minute * 60 * (1 + drift)))
        told.clock.advance(60)
    assert told.starts == 1


@pytest.mark.parametrize(
    "payload",
    [b"", b"seconds", b"-1 seconds", b"12", b"nan seconds", b"1" * 11 + b" seconds", b"5 seconds\n", b"\xff", b"{}"],
)
def test_what_is_no_uptime_says_nothing(payload: bytes) -> None:
    told = Told()
    told.say_bytes(payload)
    assert (told.uptime.began_us, told.starts) == (None, 0)


def test_a_retained_word_may_be_of_any_age_and_says_nothing() -> None:
    told = Told()
    told.say(1000, is_retained=True)
    assert told.uptime.began_us is None


# -- what it does


async def repeated(registry: Registry) -> Watched:
    """An hour ago a unit was well; the centre was started anew since, and the broker repeats what it retained."""
    bench = await watched(registry)
    await bench.hear("status", online())
    await bench.hear("health", health())
    bench.clock.advance(3600)
    bench.begin()
    await bench.load()
    bench.fleet.link(True)
    await bench.hear("status", online(), retained=True)
    await bench.hear("health", health(), retained=True)
    assert (await bench.codes())[0] == "ok"
    return bench


async def test_a_broker_that_ran_all_the_time_still_has_the_units_wills(registry: Registry) -> None:
    bench = await repeated(registry)
    bench.broker_began_us = bench.clock.monotonic_us() - 7_200_000_000
    bench.fleet.broker_began()
    assert (await bench.codes())[0] == "ok"


async def test_a_broker_that_was_restarted_since_vouches_for_nobody(registry: Registry) -> None:
    bench = await repeated(registry)
    bench.broker_began_us = bench.clock.monotonic_us() - 1_800_000_000
    bench.fleet.broker_began()
    assert await bench.codes() == ("unheard", ["not-heard-yet"])
    bench.clock.advance(181)
    assert await bench.codes() == ("lost", ["contact-lost"])
    await bench.hear("position", position())
    assert (await bench.codes())[0] == "ok"


async def test_a_leftover_that_came_late_into_the_registry_is_as_old_as_it_says(registry: Registry) -> None:
    """The centre is started twice after the broker was; the second time it knows the leftover already."""
    bench = await watched(registry)
    bench.clock.advance(3600)
    await bench.hear("status", online(), retained=True)
    await bench.hear("health", health(), retained=True)
    bench.begin()
    await bench.load()
    bench.fleet.link(True)
    bench.broker_began_us = bench.clock.monotonic_us() - 1_800_000_000
    await bench.hear("status", online(), retained=True)
    await bench.hear("health", health(), retained=True)
    assert await bench.codes() == ("unheard", ["not-heard-yet"])
