"""Alarms from events and lists that come in any order, their acknowledgement, their bounds."""

import random
from collections.abc import Awaitable, Callable
from itertools import permutations

import pytest

from csu import alarm_rows, stored_alarms, stored_clips, stored_said, stored_units
from csu.errors import RequestRefusedError
from csu.registry import Registry
from csu.severity import OCCURRENCES, SEVERITIES
from csu.views import AlarmRecord
from edge_agent.contract.event_names import EventName
from tests.unit.csu.watched import HOUR_US, MINUTE_US, NOW_US, UNIT, Watched, alarms, event, watched

T = NOW_US - HOUR_US
SECOND_US = 1_000_000


@pytest.fixture
async def bench(registry: Registry) -> Watched:
    return await watched(registry)


async def records(bench: Watched, is_open: bool | None = None) -> list[AlarmRecord]:
    return await bench.alarms.list(UNIT, is_open, 1000)


async def test_every_name_of_an_event_has_a_severity_or_is_no_alarm() -> None:
    for name in EventName:
        assert (name in SEVERITIES) != (name in OCCURRENCES), f"{name}: critical, warning, or an occurrence?"


async def test_an_alarm_is_raised_and_cleared_by_events(bench: Watched) -> None:
    await bench.hear_event(event("raised", T, cause="absent"))
    (alarm,) = await records(bench, True)
    assert (alarm.name, alarm.camera, alarm.severity, alarm.origin) == ("camera-lost", "main", "critical", "unit")
    assert (alarm.raised_us, alarm.cleared_us, alarm.details) == (T, None, {"cause": "absent"})
    await bench.hear_event(event("cleared", T + MINUTE_US))
    (over,) = await records(bench)
    assert (over.alarm_id, over.cleared_us) == (alarm.alarm_id, T + MINUTE_US)


async def test_an_occurrence_is_no_alarm(bench: Watched) -> None:
    await bench.hear_event(event("occurred", T, "events-lost"))
    await bench.hear_event(event("raised", T, "command-refused"))
    assert await records(bench) == []


async def test_the_list_is_the_truth_about_now(bench: Watched) -> None:
    await bench.hear_event(event("raised", T))
    await bench.hear("alarms", alarms(T + MINUTE_US, ("memory-low", None, T + 30 * SECOND_US)))
    known = {alarm.name: alarm for alarm in await records(bench)}
    assert known["camera-lost"].cleared_us == T + MINUTE_US
    assert (known["memory-low"].raised_us, known["memory-low"].cleared_us) == (T + 30 * SECOND_US, None)
    await bench.hear_event(event("cleared", T + 20 * SECOND_US))
    assert {alarm.name: alarm.cleared_us for alarm in await records(bench)}["camera-lost"] == T + 20 * SECOND_US


def story(bench: Watched) -> list[Callable[[], Awaitable[None]]]:
    """Raised, cleared, raised anew; the last list knows the second one. Each report on its way by itself."""
    first, second = T, T + 20 * MINUTE_US
    return [
        lambda: bench.hear_event(event("raised", first)),
        lambda: bench.hear_event(event("cleared", first + 5 * MINUTE_US, lasted_s=300)),
        lambda: bench.hear_event(event("raised", second)),
        lambda: bench.hear("alarms", alarms(second + 5000, ("camera-lost", "main", second - 3000))),
    ]


@pytest.mark.parametrize("order", list(permutations(range(4))))
async def test_reports_in_any_order_end_in_the_same_records(bench: Watched, order: tuple[int, ...]) -> None:
    told = story(bench)
    for place in order:
        await told[place]()
    newer, older = await records(bench)
    assert (abs(older.raised_us - T) <= SECOND_US, older.cleared_us) == (True, T + 5 * MINUTE_US)
    assert (abs(newer.raised_us - T - 20 * MINUTE_US) <= SECOND_US, newer.cleared_us) == (True, None)


@pytest.mark.parametrize("lost", [0, 1, 2])
async def test_a_lost_event_leaves_nothing_open_for_ever(bench: Watched, lost: int) -> None:
    for place, tell in enumerate(story(bench)):
        if place != lost:
            await tell()
    (newest, *_) = await records(bench)
    assert [alarm.alarm_id for alarm in await records(bench, True)] == [newest.alarm_id]
    await bench.hear("alarms", alarms(NOW_US))
    assert await records(bench, True) == []


async def test_what_a_unit_tells_after_days_offline_keeps_its_times(bench: Watched) -> None:
    day_us = 24 * HOUR_US
    raised_us = [T - 3 * day_us, T - 2 * day_us, T - day_us]
    await bench.hear("alarms", alarms(T))
    for at_us in raised_us:
        await bench.hear_event(event("raised", at_us))
        await bench.hear_event(event("cleared", at_us + HOUR_US))
    assert [alarm.raised_us for alarm in reversed(await records(bench))] == raised_us
    assert all(alarm.cleared_us == alarm.raised_us + HOUR_US for alarm in await records(bench))
    assert bench.alarms.open_of(UNIT) == ()


async def test_a_cleared_event_alone_tells_how_long_it_lasted(bench: Watched) -> None:
    await bench.hear_event(event("cleared", T, lasted_s=90))
    for odd in ("x", -1, 1e300, None, True):
        await bench.hear_event(event("cleared", T + MINUTE_US, name="memory-low", lasted_s=odd))
    known = {alarm.name: alarm for alarm in await records(bench)}
    assert (known["camera-lost"].raised_us, known["camera-lost"].cleared_us) == (T - 90 * SECOND_US, T)


@pytest.mark.parametrize("said_us", [0, 1_000_000_000, NOW_US + HOUR_US, NOW_US * 100])
async def test_times_that_cannot_be_are_the_centres(bench: Watched, said_us: int) -> None:
    await bench.hear_event(event("raised", said_us))
    (alarm,) = await records(bench)
    assert (alarm.raised_us, alarm.cleared_us) == (NOW_US, None)
    await bench.hear_event(event("cleared", said_us + MINUTE_US))
    assert (await records(bench))[0].cleared_us is not None


async def test_an_event_that_is_dated_anew_is_the_alarm_that_the_list_had(bench: Watched) -> None:
    await bench.hear("alarms", alarms(7_000_000, ("camera-lost", "main", 5_000_000)))
    await bench.hear_event(event("raised", T))
    (alarm,) = await records(bench)
    assert (alarm.raised_us, alarm.cleared_us) == (T, None)
    await bench.hear("alarms", alarms(NOW_US, ("camera-lost", "main", 5_000_000)))
    assert [one.alarm_id for one in await records(bench, True)] == [alarm.alarm_id]


async def test_acknowledging_keeps_who_when_and_why(bench: Watched, registry: Registry) -> None:
    await bench.hear_event(event("raised", T))
    (alarm,) = await records(bench)
    done = await bench.alarms.acknowledge(alarm.alarm_id, "a. moreau", "technician called")
    assert (done.acknowledged_by, done.acknowledged_us, done.note) == ("a. moreau", NOW_US, "technician called")
    bench.clock.advance(60)
    assert await bench.alarms.acknowledge(alarm.alarm_id, "a. moreau") == done
    with pytest.raises(RequestRefusedError) as refused:
        await bench.alarms.acknowledge(alarm.alarm_id, "b. petit")
    assert (refused.value.code, refused.value.status) == ("acknowledged-already", 409)
    with pytest.raises(RequestRefusedError) as unknown:
        await bench.alarms.acknowledge("nothing", "a. moreau")
    assert (unknown.value.code, unknown.value.status) == ("unknown-alarm", 404)
    bench.begin()
    await bench.load()
    assert (await records(bench))[0] == done
    assert bench.alarms.unacknowledged_of(UNIT) == 0


async def test_an_alarm_raised_anew_is_to_be_acknowledged_anew(bench: Watched) -> None:
    await bench.hear_event(event("raised", T))
    await bench.alarms.acknowledge((await records(bench))[0].alarm_id, "a. moreau")
    await bench.hear_event(event("cleared", T + MINUTE_US))
    await bench.hear_event(event("raised", T + 2 * MINUTE_US))
    assert [alarm.acknowledged_by for alarm in await records(bench)] == [None, "a. moreau"]
    assert bench.alarms.unacknowledged_of(UNIT) == 1


async def test_an_alarm_that_mended_itself_stays_unacknowledged(bench: Watched) -> None:
    await bench.hear_event(event("raised", T))
    await bench.hear_event(event("cleared", T + MINUTE_US))
    assert bench.alarms.unacknowledged_of(UNIT) == 1
    assert (await bench.stands()).unacknowledged_alarms == 1


async def test_each_clip_that_fails_is_an_alarm_until_somebody_takes_notice(bench: Watched) -> None:
    for clip_id in ("c1", "c2"):
        await bench.registry.run(stored_clips.add_clip, UNIT, clip_id, f"/clips/{clip_id}", NOW_US)
        verdict: tuple[str, str, str, dict[str, object], None, int] = (UNIT, clip_id, "torn", {}, None, NOW_US)
        _, changes = await bench.registry.run(stored_said.keep_verdict, *verdict)
        assert changes is not None
        bench.alarms.take(changes)
    first, second = await records(bench, True)
    await bench.alarms.acknowledge(first.alarm_id, "a. moreau")
    assert [alarm.alarm_id for alarm in await records(bench, True)] == [second.alarm_id]
    assert second.details["reason"] == "torn"


async def test_lists_are_read_a_page_at_a_time_newest_first(bench: Watched) -> None:
    names = [f"n{number}" for number in range(10)]
    for number, name in enumerate(names):
        await bench.hear_event(event("raised", T + number // 2, name))
    seen: list[str] = []
    before = None
    while page := await bench.alarms.list(None, None, 3, before):
        seen += [alarm.name for alarm in page]
        before = (page[-1].raised_us, page[-1].alarm_id)
    assert sorted(seen) == names
    assert seen[0] in {"n8", "n9"}


async def test_the_oldest_closed_ones_go_first(bench: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarm_rows, "MAX_ALARMS", 60)
    await bench.hear_event(event("raised", T, "storage-error"))
    for number in range(150):
        at_us = T + number * MINUTE_US // 10
        await bench.hear_event(event("raised", at_us))
        await bench.hear_event(event("cleared", at_us + 2 * SECOND_US))
    known = await records(bench)
    assert len(known) <= 60 + alarm_rows.TRIM_EVERY
    assert [alarm.name for alarm in known if alarm.cleared_us is None] == ["storage-error"]
    assert known[0].raised_us == T + 149 * MINUTE_US // 10


async def test_a_unit_that_is_shut_out_has_nothing_open(
    bench: Watched, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.hear_event(event("raised", T))
    await bench.alarms.raise_own(UNIT, "not-heard", NOW_US, {})
    monkeypatch.setattr(stored_alarms, "close_all", None)
    with pytest.raises(TypeError):
        await registry.run(stored_said.forget_unit, UNIT, NOW_US)
    assert (await registry.run(stored_units.load_unit, UNIT)).unit_id == UNIT, "both or neither"
    monkeypatch.undo()
    bench.alarms.take(await registry.run(stored_said.forget_unit, UNIT, NOW_US))
    assert (await records(bench, True), bench.alarms.open_of(UNIT)) == ([], ())


async def test_a_unit_that_makes_up_names_pushes_no_true_alarm_out(
    bench: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_alarms, "MAX_OPEN_OF_UNIT", 20)
    await bench.alarms.raise_own(UNIT, "not-heard", T, {})
    await bench.hear_event(event("raised", T, "camera-lost"))
    for number in range(60):
        await bench.hear_event(event("raised", T + number * SECOND_US * 2, f"made-up-{number}"))
    names = [alarm.name for alarm in await records(bench, True)]
    assert len(names) <= 21
    assert {"camera-lost", "not-heard", "made-up-59"} <= set(names)
    assert {alarm.name for alarm in bench.alarms.open_of(UNIT)} == set(names)


async def test_names_and_details_without_end_are_cut(bench: Watched) -> None:
    await bench.hear_event(event("raised", T, "n" * 9000, cause="c" * 9000))
    await bench.hear("alarms", alarms(NOW_US, ("n" * 9000, "main", T)))
    (alarm,) = await records(bench)
    assert (len(alarm.name), alarm.details, alarm.cleared_us) == (64, {"left_out": True}, None)


async def test_random_reports_agree_with_the_last_list(bench: Watched) -> None:
    chance = random.Random(7)
    for _ in range(300):
        at_us = T + chance.randrange(0, HOUR_US)
        name = chance.choice(["camera-lost", "memory-low"])
        if chance.random() < 0.7:
            await bench.hear_event(event(chance.choice(["raised", "cleared"]), at_us, name, lasted_s=3))
        else:
            await bench.hear("alarms", alarms(at_us, (name, "main", at_us - chance.randrange(0, MINUTE_US))))
    await bench.hear("alarms", alarms(NOW_US, ("camera-lost", "main", NOW_US - SECOND_US * 2)))
    assert [alarm.name for alarm in await records(bench, True)] == ["camera-lost"]
    assert {alarm.alarm_id for alarm in bench.alarms.open_of(UNIT)} == {
        alarm.alarm_id for alarm in await records(bench, True)
    }
    assert all(alarm.cleared_us is None or alarm.cleared_us >= alarm.raised_us for alarm in await records(bench))
