"""A unit's line of health and places: late, twice, out of order, with absurd times."""

from typing import Any

import pytest

from csu import stored_history
from csu.history_book import HistoryBook
from csu.registry import Registry
from csu.stored_said import keep_state
from edge_agent.contract.ids import make_uuid7
from edge_agent.contract.messages import History, HistoryKind
from edge_agent.contract.times import format_utc
from tests.unit.csu.watched import BOOT_ID, HOUR_US, MINUTE_US, NOW_US, UNIT, health, position

EVER_US = 1 << 62


def batch(*samples: dict[str, Any], left_out: int = 0, kind: HistoryKind = "health", number: int = 0) -> History:
    return History(
        history_id=make_uuid7(NOW_US + number * 1000),
        unit_id=UNIT,
        boot_id=BOOT_ID,
        kind=kind,
        samples=samples,
        left_out=left_out,
    )


def sample(at_us: int, **figures: object) -> dict[str, Any]:
    return {"at": format_utc(at_us), "boot_id": BOOT_ID} | figures


async def line(registry: Registry, limit: int = 1000, kind: HistoryKind = "health") -> list[dict[str, Any]]:
    return (await HistoryBook(registry).load(UNIT, kind, None, None, limit))[0]


async def test_batches_that_come_late_lie_where_their_times_put_them(registry: Registry) -> None:
    live = health(NOW_US)
    await registry.run(keep_state, UNIT, "health", live, live.to_object(), NOW_US, False)
    for number, hours in enumerate((2, 5, 3)):
        samples = [sample(NOW_US - hours * HOUR_US + minute * MINUTE_US, n=hours) for minute in (0, 1)]
        assert await registry.run(stored_history.save, batch(*samples, number=number), NOW_US)
    times = [one["at"] for one in await line(registry)]
    assert times == sorted(times)
    assert len(times) == 7
    assert (await line(registry))[-1]["camera"]["state"] == "ok"


async def test_a_batch_that_comes_twice_counts_once(registry: Registry) -> None:
    said = batch(sample(NOW_US), left_out=3)
    assert await registry.run(stored_history.save, said, NOW_US)
    assert not await registry.run(stored_history.save, said, NOW_US + MINUTE_US)
    assert await HistoryBook(registry).load(UNIT, "health", None, None, 10) == ([sample(NOW_US)], 3)


@pytest.mark.parametrize(
    "at", [None, 5, "", "soon", "1970-01-01T00:00:09.000Z", "2026-13-01T00:00:00Z", "9999-12-31T23:59:59Z"]
)
async def test_times_that_no_line_can_hold_are_counted_as_left_out(registry: Registry, at: object) -> None:
    said = batch({"at": at, "boot_id": BOOT_ID}, sample(NOW_US))
    assert await registry.run(stored_history.save, said, NOW_US)
    samples, left_out = await HistoryBook(registry).load(UNIT, "health", None, None, 10)
    assert ([one["at"] for one in samples], left_out) == ([format_utc(NOW_US)], 1)


async def test_a_long_line_is_thinned_out_evenly(registry: Registry) -> None:
    samples = [sample(NOW_US + number * MINUTE_US) for number in range(100)]
    await registry.run(stored_history.save, batch(*samples), NOW_US)
    thin, left_out = await HistoryBook(registry).load(UNIT, "health", None, None, 30)
    assert len(thin) == 25
    assert left_out == 75
    assert thin[-1]["at"] == samples[-1]["at"]
    part, _ = await HistoryBook(registry).load(UNIT, "health", NOW_US + MINUTE_US, NOW_US + 4 * MINUTE_US, 30)
    assert [one["at"] for one in part] == [one["at"] for one in samples[1:4]]


async def test_ages_are_of_the_units_own_newest(registry: Registry) -> None:
    old, new = sample(NOW_US - stored_history.MAX_AGE_US - HOUR_US // 2), sample(NOW_US)
    await registry.run(stored_history.save, batch(old), NOW_US)
    much_later_us = NOW_US + 10 * 365 * 24 * HOUR_US
    await registry.run(stored_history.save, batch(sample(NOW_US - HOUR_US), number=1), much_later_us)
    assert len(await line(registry)) == 2, "the centre's clock is wrong, not the unit's line too old"
    await registry.run(stored_history.save, batch(new, number=2), NOW_US)
    assert [one["at"] for one in await line(registry)] == [format_utc(NOW_US - HOUR_US), new["at"]]


async def test_lines_are_bounded(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_history, "MAX_SAMPLES", 50)
    monkeypatch.setattr(stored_history, "MAX_BATCHES", 3)
    for number in range(10):
        samples = [sample(NOW_US + (number * 20 + place) * MINUTE_US) for place in range(20)]
        await registry.run(stored_history.save, batch(*samples, number=number), NOW_US + number)
    kept = await line(registry)
    assert len(kept) == 50
    assert kept[-1]["at"] == format_utc(NOW_US + 199 * MINUTE_US)
    count = "SELECT count(*) FROM history_batches"
    assert await registry.run(lambda connection: connection.execute(count).fetchone()[0]) == 3


async def test_live_bodies_are_kept_once_however_often_they_are_repeated(registry: Registry) -> None:
    for model, topic in ((health(), "health"), (position(), "position")):
        for _ in range(3):
            await registry.run(keep_state, UNIT, topic, model, model.to_object(), NOW_US, True)  # type: ignore[arg-type]  # of ours
    (place,) = await line(registry, kind="position")
    assert place["geometry"]["coordinates"] == [2.35, 48.85]
    assert len(await line(registry)) == 1
    assert await registry.run(stored_history.lines) == [(UNIT, "health"), (UNIT, "position")]
