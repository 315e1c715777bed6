"""The API on a socket with a real registry and a fleet that says what a test wants."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp

from csu import stored_units
from csu.api import Api, Enrolment, EnrolRequest, Expulsion, PageInfo, Parts
from csu.api.server import ApiServer
from csu.commander import Commander
from csu.errors import RequestRefusedError
from csu.feed import Feed
from csu.keys import KeyStore
from csu.paging import Key
from csu.registry import Registry
from csu.views import AlarmRecord, DaySummary, FleetView, UnitSummary
from edge_agent.clock import FakeClock
from tests.unit.csu.ingest_parts import NOW_US

NO_PAGE = Path("no-page-is-here")
TOKEN = "a-token-of-a-test-of-the-api"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@dataclass
class FakeFleet:
    """Units as the registry has them, all of them well."""

    registry: Registry

    async def view(self) -> FleetView:
        units = await self.registry.run(stored_units.load_units)
        summaries = tuple(summary(unit.unit_id) for unit in units)
        counts: dict[Any, int] = {"trouble": 0, "lost": 0, "unheard": 0, "warning": 0, "ok": len(summaries)}
        return FleetView(
            at=NOW_US, broker_connected=True, counts=counts, units=summaries, not_recording=(), not_heard=()
        )

    async def summary_of(self, unit_id: str) -> UnitSummary:
        return summary(unit_id)


def summary(unit_id: str, **more: object) -> UnitSummary:
    return UnitSummary.from_object({"unit_id": unit_id, "standing": "ok", "online": True} | more)


@dataclass
class FakeAlarms:
    """A list of alarms, newest first."""

    records: list[AlarmRecord] = field(default_factory=list)

    async def list(
        self, unit_id: str | None, is_open: bool | None, limit: int, before: Key | None = None
    ) -> "list[AlarmRecord]":
        chosen = [
            one
            for one in self.records
            if unit_id in {None, one.unit_id}
            and is_open in {None, one.cleared_us is None}
            and (before is None or (one.raised_us, one.alarm_id) < before)
        ]
        return chosen[:limit]

    async def acknowledge(self, alarm_id: str, operator: str, note: str | None = None) -> AlarmRecord:
        for place, one in enumerate(self.records):
            if one.alarm_id == alarm_id:
                self.records[place] = one.model_copy(
                    update={"acknowledged_us": NOW_US, "acknowledged_by": operator, "note": note}
                )
                return self.records[place]
        raise RequestRefusedError("unknown-alarm", f"no alarm {alarm_id!r:.60} is known", 404)


class FakeHistory:
    """One sample of each kind."""

    async def load(
        self, unit_id: str, kind: str, from_us: int | None, to_us: int | None, limit: int
    ) -> tuple[list[dict[str, Any]], int]:
        return [{"at": "2026-01-01T00:00:00.000Z", "kind": kind}][:limit], 3


async def summarise(day: str | None) -> DaySummary:
    return DaySummary(
        day=day or "2026-01-01",
        zone="Europe/Paris",
        units=0,
        standing_now={"ok": 0},
        lost_s=0,
        alarms_raised=0,
        alarms_open=0,
        alarms_unacknowledged=0,
        clips_delivered=0,
        clips_failed=0,
        not_recording=(),
        not_heard=(),
    )


async def enrol(request: EnrolRequest) -> Enrolment:
    return Enrolment(
        unit_id=request.unit_id, mqtt_url="mqtt://a:1", topic_prefix="csu/v1", upload_url="http://a", command_keys={}
    )


async def expel(unit_id: str) -> Expulsion:
    return Expulsion(unit_id=unit_id, own_broker=True)


async def publish(topic: str, payload: bytes, expiry_s: int) -> None:
    raise AssertionError(topic)


def make_parts(registry: Registry, keys: KeyStore, feed: Feed | None = None, **changes: Any) -> Parts:  # noqa: ANN401 -- fields of Parts
    feed, clock = feed or Feed(), FakeClock(wall_us=NOW_US)
    parts = Parts(
        registry=registry,
        commander=Commander(registry, keys.signing_key, "csu/v1", publish, feed, clock),
        feed=feed,
        fleet=FakeFleet(registry),
        alarms=FakeAlarms(),
        history=FakeHistory(),
        summarise=summarise,
        enrol=enrol,
        expel=expel,
        describe=dict,
        clock=clock,
        token=TOKEN,
        page=PageInfo(software_version="1.2.3", zone="Europe/Paris"),
    )
    return replace(parts, **changes)


@asynccontextmanager
async def serving(
    parts: Parts, page: Path | None = None, serve: Callable[[Api], ApiServer] | None = None
) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a running API, without credentials and without a cookie jar's own mind."""
    api = await asyncio.to_thread(Api, parts, page or NO_PAGE)
    server = ApiServer(api, "127.0.0.1", 0) if serve is None else serve(api)
    url = await server.start()
    jar = aiohttp.CookieJar(unsafe=True)  # addresses count as hosts
    try:
        plain = {"Accept-Encoding": "identity"}
        async with aiohttp.ClientSession(url, cookie_jar=jar, auto_decompress=False, headers=plain) as session:
            yield session
    finally:
        await server.stop()
