"""Three days without a network, in simulated time: what is kept, and how it comes back over a line of 256 kbit/s."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from edge_agent.contract.times import parse_utc
from edge_agent.uplink.database import LinkDatabase
from edge_agent.uplink.ledger import Step
from edge_agent.uplink.stamps import SequenceCounter
from edge_agent.uplink.states import State
from tests.support.offline_unit import EventClock, Unit, come_back, position_of
from tests.unit.uplink.test_ledger import new_command

HOURS = 72


async def live_offline(unit: Unit) -> tuple[int, int]:
    """Three days: the camera is lost four times a day, the unit is driven for two hours a day, commands end.

    Returns:
        Events that were raised or cleared, and commands that ended.
    """
    events = commands = 0
    for minute in range(HOURS * 60):
        recording = minute % 360 not in range(100, 120)
        events += recording != unit.recorder.recording
        unit.recorder.recording = recording
        await unit.monitor.check()
        if minute % (24 * 60) < 120:
            for half in range(6):
                unit.history.note("position", position_of(unit.clock, minute * 6 + half).to_object())
                unit.clock.advance(10)
        else:
            unit.clock.advance(60)
        if minute % 600 == 0:
            entry = await unit.ledger.store(
                new_command(unit.clock, "clip.list"), Step(State.DONE, result={"clips": []})
            )
            unit.replies.queue(entry.command_id)
            commands += 1
        if minute % 5 == 4:
            assert await unit.history.keep()
    return events, commands


@pytest.fixture
def counter(tmp_path: Path) -> SequenceCounter:
    return SequenceCounter(tmp_path / "run" / "link.seq", "a" * 32)


async def test_three_days_without_a_network_come_back_complete_in_order_and_in_time(
    tmp_path: Path, counter: SequenceCounter
) -> None:
    clock = EventClock()
    database = await LinkDatabase.open(tmp_path / "link.db", 1)
    unit = Unit(database, clock, counter)
    left_us = clock.wall_us()
    events, commands = await live_offline(unit)
    back_us = clock.wall_us()
    assert await unit.waiting() < 3000
    returned, answered_s = await come_back(unit, ask_after_s=10.0)
    await database.close()

    order = [topic for _, topic, _, _ in returned.arrivals]
    assert order[0] == "status"
    assert order[1 : 1 + commands] == ["reply"] * commands
    after = [topic for topic in order[1 + commands :] if topic != "reply"]
    ranks = {"alarms": 0, "event": 1, "position": 2, "health": 2, "history": 3}
    assert [ranks[topic] for topic in after] == sorted(ranks[topic] for topic in after)

    told = returned.named("event")
    assert len({body["event_id"] for body in told}) == len(told) == events
    assert [body["at"] for body in told] == sorted(body["at"] for body in told)
    batches = returned.named("history")
    assert len({body["history_id"] for body in batches}) == len(batches)
    check_health(returned.samples("health"), left_us, back_us)
    check_positions(returned.samples("position"), back_us)
    assert answered_s < 2.0
    took_s = max(at_s for at_s, *_ in returned.arrivals)
    size_bytes = sum(size for *_, size in returned.arrivals)
    assert took_s < 120
    assert size_bytes < 1_500_000


def check_health(samples: list[dict[str, Any]], left_us: int, back_us: int) -> None:
    instants = [parse_utc(sample["at"]) for sample in samples]
    assert instants == sorted(set(instants))
    assert instants[0] - left_us < 60e6
    for earlier, later in pairwise(instants):
        allowed_s = 300 if back_us - earlier < 23.5 * 3600e6 else 1800
        assert later - earlier <= allowed_s * 1e6 + 60e6
    states = [sample["camera"]["state"] for sample in samples]
    assert sum(before != after for before, after in pairwise(states)) == 2 * 4 * 3
    changes = {
        instant for instant, (before, after) in zip(instants[1:], pairwise(states), strict=True) if before != after
    }
    expected = {left_us + minute * 60_000_000 for minute in range(HOURS * 60) if minute % 360 in {100, 120}}
    assert changes == expected


def check_positions(samples: list[dict[str, Any]], back_us: int) -> None:
    instants = [parse_utc(sample["at"]) for sample in samples]
    assert instants == sorted(set(instants))
    young = [instant for instant in instants if back_us - instant < 23 * 3600e6]
    old = [instant for instant in instants if back_us - instant > 25 * 3600e6]
    assert len(young) == pytest.approx(120, abs=3)
    assert len(old) == pytest.approx(2 * 24, abs=4)
    assert all(sample["properties"]["at"] == sample["at"] for sample in samples)
