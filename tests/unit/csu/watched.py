"""A fleet in memory with a registry and a clock that the test moves, and the bodies that units say."""

from typing import Any

from csu import stored_units
from csu.alarm_book import AlarmBook
from csu.feed import Feed
from csu.fleet import Fleet
from csu.fleet_standing import FLAP_US
from csu.records import StateTopic
from csu.registry import Registry
from csu.stored_said import keep_event, keep_state
from csu.views import UnitSummary
from edge_agent.clock import FakeClock
from edge_agent.contract.ids import make_uuid7
from edge_agent.contract.messages import Alarms, Event, Health, Position, Status
from edge_agent.contract.model import ContractModel

NOW_US = 1_790_000_000_000_000
MINUTE_US = 60_000_000
HOUR_US = 3_600_000_000
UNIT = "nomad-07"
BOOT_ID = "b0" * 16


def online(nonce: str = "1", unit_id: str = UNIT) -> Status:
    return Status(state="online", unit_id=unit_id, boot_id=BOOT_ID, nonce=nonce, software_version="1.2", at=NOW_US)


def will(unit_id: str = UNIT) -> Status:
    return Status(state="offline", unit_id=unit_id, boot_id=BOOT_ID)


def health(at_us: int = NOW_US, recording: bool | None = True, **probes: str) -> Health:
    camera: dict[str, Any] = {"state": "ok" if recording else "critical", "recording": recording, "cause": "absent"}
    body: dict[str, Any] = {name: {"state": "ok"} for name in ("storage", "power", "network", "clock", "system")}
    body |= {name: {"state": state} for name, state in probes.items()}
    return Health.from_object({"at": at_us, "camera": {"state": camera["state"], "cameras": {"main": camera}}} | body)


def position(longitude_deg: float = 2.35, latitude_deg: float = 48.85, **properties: object) -> Position:
    known = {"fix": "3d", "source": "gnss", "deployment_id": "d1", "at": NOW_US, "age_s": 2}
    geometry = {"type": "Point", "coordinates": [longitude_deg, latitude_deg]}
    return Position.from_object({"type": "Feature", "geometry": geometry, "properties": known | properties})


def event(state: str, at_us: int, name: str = "camera-lost", camera: str | None = "main", **details: object) -> Event:
    return Event.from_object(
        {
            "unit_id": UNIT,
            "boot_id": BOOT_ID,
            "at": at_us,
            "seq": 1,
            "clock_source": "chrony",
            "event_id": make_uuid7(at_us),
            "name": name,
            "state": state,
            "camera": camera,
            "details": details,
        }
    )


def alarms(at_us: int, *raised: tuple[str, str | None, int]) -> Alarms:
    listed = [{"name": name, "camera": camera, "since": since_us} for name, camera, since_us in raised]
    return Alarms.from_object({"at": at_us, "alarms": listed})


class Watched:
    """What `csu serve` does with messages and time, step by step."""

    def __init__(self, registry: Registry, broker_began_us: int | None = None) -> None:
        self.registry = registry
        self.clock = FakeClock(wall_us=NOW_US)
        self.broker_began_us = broker_began_us
        self.begin()

    def begin(self) -> None:
        """Another life of the centre on the same registry."""
        self.feed = Feed()
        self.alarms = AlarmBook(self.registry, self.feed, self.clock)
        self.fleet = Fleet(
            self.registry, self.alarms, self.feed, self.clock, lambda: True, lambda: self.broker_began_us
        )
        self.items: list[dict[str, Any]] = []
        self.feed.listen(self.items.append)

    async def load(self) -> None:
        await self.alarms.load()
        await self.fleet.load()

    async def hear(
        self, topic: StateTopic, model: ContractModel, retained: bool = False, unit_id: str = UNIT
    ) -> None:
        now_us = self.clock.wall_us()
        kept = await self.registry.run(
            keep_state,
            unit_id,
            topic,
            model,
            model.to_object(),
            now_us,
            retained,
        )
        self.fleet.hear(unit_id, model, is_retained=retained, is_new=kept.is_new, first_us=kept.heard_us)
        if kept.alarms is not None:
            self.alarms.take(kept.alarms)

    async def lose(self) -> None:
        """The unit's will speaks, and it does not come back."""
        await self.settle()
        await self.hear("status", will())
        await self.settle()
        self.clock.advance(FLAP_US / 1e6)

    async def hear_event(self, said: Event) -> None:
        changes = await self.registry.run(keep_event, said, said.to_object(), self.clock.wall_us())
        if changes is not None:
            self.alarms.take(changes)

    async def settle(self) -> None:
        """Let the loop look once."""
        await self.fleet.refresh()
        await self.fleet.settle_alarms()

    async def stands(self, unit_id: str = UNIT) -> UnitSummary:
        await self.settle()
        return await self.fleet.summary_of(unit_id)

    async def codes(self, unit_id: str = UNIT) -> tuple[str, list[str]]:
        summary = await self.stands(unit_id)
        return summary.standing, [reason.code for reason in summary.reasons]

    async def open_names(self) -> list[str]:
        return [alarm.name for alarm in await self.alarms.list(UNIT, True, 100)]


async def watched(registry: Registry, broker_began_us: int | None = None) -> Watched:
    """A fleet of one unit, connected to the broker."""
    await registry.run(stored_units.add_unit, UNIT, NOW_US)
    bench = Watched(registry, broker_began_us)
    await bench.load()
    bench.fleet.link(True)
    return bench
