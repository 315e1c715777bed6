"""Who is told what, when, how often, and that a kill, a storm or a deaf channel loses and repeats nothing unsaid."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from csu import stored_alarms, stored_notices
from csu.alarm_book import AlarmBook
from csu.errors import NotifyError
from csu.feed import Feed
from csu.notifier import GIVE_UP_US, MAX_RETRY_S, Notifier
from csu.notify_channel import Batch, Pace
from csu.notify_settings import Mail, Webhook
from csu.notify_timing import Timing
from csu.registry import Registry
from csu.severity import CENTRE
from csu.stored_notices import Notice
from tests.support.patient_clock import PatientClock
from tests.support.polling import until
from tests.unit.csu.watched import NOW_US

NO_WAITING = Pace(gather_s=0, interval_s=0, burst=1000, slow_interval_s=0, quiet_after=1000, batch=5)
HOOK = Webhook(name="hook", url="https://hooks.example/a", secret_file=Path("x"))
MAIL = Mail(name="mail", host="smtp.example", sender="csu@ville.example", to=("a@ville.example",))


class Told:
    """A channel that remembers what it was given, and can be deaf."""

    def __init__(self, settings: Webhook | Mail = HOOK, pace: Pace = NO_WAITING) -> None:
        self.settings = settings
        self.pace = pace
        self.batches: list[Batch] = []
        self.attempts: list[str] = []
        self.is_deaf = False

    async def send(self, batch: Batch) -> None:
        self.attempts.append(batch.batch_id)
        if self.is_deaf:
            raise NotifyError("deaf")
        self.batches.append(batch)

    async def until_told(self, name: str) -> None:
        await until(lambda: name in self.names, what=f"{name} at {self.settings.name}")

    async def until_attempt(self, count: int) -> None:
        await until(lambda: len(self.attempts) >= count, what=f"attempt {count}")

    @property
    def names(self) -> list[str]:
        return [str(notice.body.get("name")) for batch in self.batches for notice in batch.notices]


class Bench:
    """A notifier that runs, and alarms to be told."""

    def __init__(self, registry: Registry, *channels: Told) -> None:
        self.registry = registry
        self.clock = PatientClock(wall_us=NOW_US)
        self.alarms = AlarmBook(registry, Feed(), self.clock)
        self.notifier = Notifier(registry, self.alarms, channels, self.clock)

    async def raised(self, name: str, unit_id: str = "nomad-07") -> None:
        await self.alarms.raise_own(unit_id, name, NOW_US, {})
        self.notifier.wake()

    async def cleared(self, name: str, unit_id: str = "nomad-07") -> None:
        await self.alarms.clear_own(unit_id, name)
        self.notifier.wake()

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, as a timer would notice it."""
        self.clock.advance(seconds)
        self.notifier.wake()
        await asyncio.sleep(0.05)


@asynccontextmanager
async def running(registry: Registry, *channels: Told) -> AsyncIterator[Bench]:
    bench = Bench(registry, *channels)
    for channel in channels:
        await registry.run(stored_notices.open_channel, channel.settings.name)
    task = asyncio.create_task(bench.notifier.run())
    try:
        yield bench
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_alarms_are_told_in_order(registry: Registry) -> None:
    told = Told()
    async with running(registry, told) as bench:
        await bench.raised("not-heard")
        await bench.cleared("not-heard")
        await until(lambda: len(told.names) == 2, what="both")
    kinds = [notice.kind for batch in told.batches for notice in batch.notices]
    assert kinds == ["alarm-raised", "alarm-cleared"]


async def test_each_channel_tells_what_its_table_says(registry: Registry) -> None:
    everything, grave, raised = (
        Told(HOOK.model_copy(update={"name": name, **update}))
        for name, update in (("a", {}), ("b", {"severity": "critical"}), ("c", {"cleared": False}))
    )
    summaries = Told(MAIL)
    async with running(registry, everything, grave, raised, summaries) as bench:
        for name in ("not-heard", "clip-failed", "other"):
            await bench.raised(name)
        await bench.cleared("not-heard")
        await registry.run(stored_notices.add_summary, "2026-11-21", {"day": "2026-11-21"}, NOW_US)
        await bench.raised("broker-lost")
        await until(lambda: "broker-lost" in everything.names, what="the last")
        for channel in (grave, raised, summaries):
            await channel.until_told("broker-lost")
    assert everything.names == ["not-heard", "clip-failed", "other", "not-heard", "broker-lost"]
    assert grave.names == ["not-heard", "not-heard", "broker-lost"]
    assert raised.names == ["not-heard", "clip-failed", "other", "broker-lost"]
    assert summaries.names == ["not-heard", "not-heard", "None", "broker-lost"]


async def test_a_new_channel_begins_with_what_happens_then(registry: Registry) -> None:
    async with running(registry, Told()) as bench:
        await bench.raised("old")
    told = Told(HOOK.model_copy(update={"name": "new"}))
    async with running(registry, told) as bench:
        await bench.raised("young")
        await until(lambda: told.names, what="the first")
    assert told.names == ["young"]


async def test_what_happened_while_nobody_ran_is_told_later(registry: Registry) -> None:
    told = Told()
    async with running(registry, told) as bench:
        await bench.raised("first")
        await until(lambda: told.names, what="the first")
    await registry.run(stored_alarms.raise_own, ("nomad-08", "second", ""), NOW_US, {}, NOW_US)
    async with running(registry, told):
        await until(lambda: len(told.names) == 2, what="the second")
    assert told.names == ["first", "second"]


async def test_a_batch_that_was_being_sent_keeps_its_id_and_its_content(registry: Registry) -> None:
    told = Told()
    told.is_deaf = True
    async with running(registry, told) as bench:
        await bench.raised("first")
        await until(lambda: told.attempts, what="an attempt")
        await bench.raised("second")
    told.is_deaf = False
    async with running(registry, told):
        await until(lambda: len(told.names) == 2, what="both")
    assert told.batches[0].batch_id == told.attempts[0]
    assert [[notice.body["name"] for notice in batch.notices] for batch in told.batches] == [["first"], ["second"]]


async def test_a_deaf_channel_holds_nobody_up_and_is_alarmed_of(registry: Registry) -> None:
    deaf, well = Told(), Told(HOOK.model_copy(update={"name": "well"}))
    deaf.is_deaf = True
    async with running(registry, deaf, well) as bench:
        await bench.raised("first")
        await until(lambda: well.names == ["first"], what="the other channel")
        for _ in range(8):
            attempts = len(deaf.attempts)
            await bench.pass_time(MAX_RETRY_S)
            await deaf.until_attempt(attempts + 1)
        await until(lambda: "notify-failing" in well.names, what="the alarm of the deaf channel")
        assert [alarm.name for alarm in bench.alarms.open_of(CENTRE)] == ["notify-failing"]
        deaf.is_deaf = False
        await bench.pass_time(MAX_RETRY_S)
        await until(lambda: not bench.alarms.open_of(CENTRE), what="its end")
        await until(lambda: deaf.names[:2] == ["first", "notify-failing"], what="what was missed")


async def test_what_nobody_took_for_two_days_is_given_up_and_counted(registry: Registry) -> None:
    deaf = Told()
    deaf.is_deaf = True
    async with running(registry, deaf) as bench:
        await bench.raised("lost")
        await until(lambda: deaf.attempts, what="an attempt")
        await bench.pass_time(GIVE_UP_US / 1e6)
        await until(lambda: len(set(deaf.attempts)) == 1, what="the last attempt")
        await bench.raised("next")
        for _ in range(3):
            await bench.pass_time(MAX_RETRY_S)
        deaf.is_deaf = False
        for _ in range(3):
            await bench.pass_time(MAX_RETRY_S)
        await until(lambda: deaf.batches, what="the next")
    assert deaf.batches[0].left_out == 1
    assert "lost" not in deaf.names


async def test_a_notice_that_breaks_a_channel_is_given_up(registry: Registry) -> None:
    class Odd(Told):
        async def send(self, batch: Batch) -> None:
            if batch.notices[0].body["name"] == "odd":
                raise KeyError("odd")
            await super().send(batch)

    told = Odd()
    async with running(registry, told) as bench:
        await bench.raised("odd")
        await asyncio.sleep(0.05)
        await bench.raised("next")
        await until(lambda: told.names, what="the next")
    assert (told.names[-1], told.batches[0].left_out) == ("next", 1)


async def test_what_is_gone_from_the_queue_is_counted(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_notices, "MAX_NOTICES", 100)
    told = Told(pace=replace(NO_WAITING, batch=1000))
    async with running(registry, told):
        pass
    for number in range(450):
        await registry.run(stored_alarms.raise_own, ("nomad-07", f"n{number}", ""), NOW_US, {}, NOW_US)
    async with running(registry, told):
        await until(lambda: told.names[-1:] == ["n449"], what="the last")
    assert told.batches[0].left_out + len(told.names) == 450


async def test_a_batch_of_before_a_kill_that_is_gone_is_counted_too(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_notices, "MAX_NOTICES", 100)
    told = Told(pace=replace(NO_WAITING, batch=1000))
    await registry.run(stored_notices.open_channel, told.settings.name)
    await registry.run(stored_notices.begin_batch, told.settings.name, "of an earlier life", 40)
    for number in range(450):
        await registry.run(stored_alarms.raise_own, ("nomad-07", f"n{number}", ""), NOW_US, {}, NOW_US)
    async with running(registry, told):
        await until(lambda: told.names[-1:] == ["n449"], what="the last")
    assert told.batches[0].left_out + len(told.names) == 450


async def test_a_storm_becomes_a_digest(registry: Registry) -> None:
    told = Told(MAIL, Pace(gather_s=5, interval_s=60, burst=3, slow_interval_s=900, quiet_after=2, batch=500))
    async with running(registry, told) as bench:
        for number in range(200):
            await bench.raised("not-heard", f"nomad-{number:03}")
        await bench.pass_time(5)
        await until(lambda: told.batches, what="the digest")
    assert [len(batch.notices) for batch in told.batches] == [200]


def test_a_unit_that_flaps_all_day_sends_no_thousand_mails() -> None:
    pace = Pace(gather_s=5, interval_s=60, burst=6, slow_interval_s=900, quiet_after=2, batch=500)
    timing, sent_us = Timing(pace), list[int]()
    for number, second in enumerate(range(0, 86_400, 30), 1):
        kind: stored_notices.NoticeKind = "alarm-cleared" if second % 60 else "alarm-raised"
        body = {"unit_id": "nomad-07", "name": "not-heard"}
        timing.see([Notice(number, "id", kind, "critical", body, NOW_US)], second * 1_000_000)
        due_us = timing.due_us()
        if due_us is not None and due_us <= second * 1_000_000:
            sent_us.append(second)
            timing.sent(second * 1_000_000, number)
    assert 20 <= len(sent_us) <= 30
    assert max(later - earlier for earlier, later in pairwise(sent_us)) <= 3700


async def test_other_alarms_are_told_at_once_beside_one_that_flaps(registry: Registry) -> None:
    told = Told(MAIL, Pace(gather_s=5, interval_s=60, burst=6, slow_interval_s=900, quiet_after=2, batch=500))
    async with running(registry, told) as bench:
        for _ in range(10):
            await bench.raised("not-heard")
            await bench.cleared("not-heard")
            await bench.pass_time(65)
        before = len(told.batches)
        await bench.raised("storage-error", "nomad-09")
        await bench.pass_time(66)
        await bench.pass_time(6)
        await until(lambda: len(told.batches) > before, what="the other alarm")
    assert "storage-error" in [notice.body["name"] for notice in told.batches[-1].notices]


async def test_one_unit_pushes_out_nothing_of_another(registry: Registry) -> None:
    told = Told(pace=replace(NO_WAITING, batch=100))
    await registry.run(stored_notices.open_channel, told.settings.name)
    await registry.run(stored_alarms.raise_own, ("nomad-09", "not-heard", ""), NOW_US, {}, NOW_US)
    await registry.run(_chatter, stored_notices.MAX_NOTICES + 500)
    async with running(registry, told) as bench:
        await bench.raised("storage-error", "nomad-09")
        await until(lambda: "storage-error" in told.names, what="the alarm beside the chatter")
    assert "not-heard" in told.names
    assert len(told.batches) <= 1 + stored_notices.MAX_OF_UNIT // 100
    assert told.batches[0].left_out + len(told.names) == stored_notices.MAX_NOTICES + 502


async def test_what_is_being_sent_stays_while_its_unit_goes_on(registry: Registry) -> None:
    told = Told(pace=replace(NO_WAITING, batch=100))
    told.is_deaf = True
    async with running(registry, told) as bench:
        await bench.raised("first", "nomad-07")
        await until(lambda: told.attempts, what="the first attempt")
        await registry.run(_chatter, 300)
        told.is_deaf = False
        await until(lambda: told.names[-1:] == ["n299"] or _pass_retry(bench), what="all of it")
    assert told.batches[0].batch_id == told.attempts[0]
    assert told.names[0] == "first"
    assert sum(batch.left_out for batch in told.batches) + len(told.names) == 301


def _chatter(connection: sqlite3.Connection, times: int) -> None:
    for number in range(times):
        stored_alarms.raise_own(connection, ("nomad-07", f"n{number}", ""), NOW_US, {}, NOW_US)


def _pass_retry(bench: Bench) -> bool:
    bench.clock.advance(MAX_RETRY_S)
    bench.notifier.wake()
    return False


def test_a_grave_alarm_of_another_unit_waits_for_no_chatter() -> None:
    pace = Pace(gather_s=5, interval_s=60, burst=6, slow_interval_s=900, quiet_after=2, batch=500)
    timing, number = Timing(pace), 0
    for second in range(0, 1800, 10):
        number += 1
        body = {"unit_id": "nomad-07", "name": f"n{number}"}
        timing.see([Notice(number, "id", "alarm-raised", "critical", body, NOW_US)], second * 1_000_000)
        due_us = timing.due_us()
        if due_us is not None and due_us <= second * 1_000_000:
            timing.sent(second * 1_000_000, number)
    before_us = timing.due_us()
    assert before_us is not None
    assert before_us > 1900 * 1_000_000
    body = {"unit_id": "nomad-09", "name": "camera-lost"}
    timing.see([Notice(number + 1, "id", "alarm-raised", "critical", body, NOW_US)], 1800 * 1_000_000)
    assert timing.due_us() == 1805 * 1_000_000
    timing.sent(1805 * 1_000_000, number + 1)
    timing.see([Notice(number + 2, "id", "alarm-raised", "critical", body, NOW_US)], 1806 * 1_000_000)
    after_us = timing.due_us()
    assert after_us is not None
    assert after_us > 2000 * 1_000_000
