"""The retained topics: what the unit is, where it stands, how it is, what it holds, what is wrong."""

import uuid
from typing import TypeVar

from edge_agent.contract.commands import DURABLE, EPHEMERAL
from edge_agent.contract.messages import Alarm, Alarms, CameraCoverage, Coverage, Health, Position, Status
from edge_agent.contract.model import MAX_MESSAGE_BYTES, ContractModel
from edge_agent.contract.names import Topics
from edge_agent.uplink.outbox import RetainedTopics
from edge_agent.uplink.stamps import Stamper
from edge_agent.uplink.wire import Outgoing

Listed = TypeVar("Listed", bound=ContractModel)

_COVERAGE_FRAME_BYTES = 200
"""What the message has around its cameras, with room."""

CAPABILITIES = (*sorted(DURABLE), *sorted(EPHEMERAL), "upload.tus")


def offline_status(topics: Topics, boot_id: str, at_us: int | None = None) -> Outgoing:
    """The last will; with a time, which a will cannot have, the words of a unit that says itself that it goes."""
    status = Status(state="offline", unit_id=topics.unit_id, boot_id=boot_id, at=at_us)
    return Outgoing(topics.up("status"), status.to_json(), retain=True)


class Publisher:
    """Puts bodies into the retained topics; only changed ones are published."""

    def __init__(
        self, topics: Topics, retained: RetainedTopics, stamper: Stamper, software_version: str, deployment_id: str
    ) -> None:
        self._topics = topics
        self._retained = retained
        self._stamper = stamper
        self._software_version = software_version
        self._deployment_id = deployment_id

    async def on_online(self, session_present: bool) -> None:
        """Say that we are there, with a new nonce; a broker that forgot us gets every retained topic again."""
        if not session_present:
            self._retained.renew()
        status = Status(
            state="online",
            unit_id=self._topics.unit_id,
            boot_id=self._stamper.boot_id,
            software_version=self._software_version,
            capabilities=CAPABILITIES,
            deployment_id=self._deployment_id,
            nonce=uuid.uuid4().hex,
            at=self._stamper.clock.wall_us(),
        )
        self._retained.put(self._topics.up("status"), status.to_json())

    def put_position(self, position: Position) -> None:
        """Publish `up/position`."""
        self._retained.put(self._topics.up("position"), position.to_json())

    def put_health(self, health: Health) -> None:
        """Publish `up/health`."""
        self._retained.put(self._topics.up("health"), health.to_json())

    def put_coverage(self, cameras: tuple[CameraCoverage, ...]) -> int:
        """Publish `up/coverage`, older intervals left out until it fits a message; its length in bytes."""
        body = fit_coverage(self._stamper.clock.wall_us(), cameras)
        self._retained.put(self._topics.up("coverage"), body)
        return len(body)

    def put_alarms(self, alarms: tuple[Alarm, ...]) -> None:
        """Publish `up/alarms`."""
        body = Alarms(at=self._stamper.clock.wall_us(), alarms=alarms).to_json()
        if len(body) > MAX_MESSAGE_BYTES:
            bare = tuple(alarm.model_copy(update={"details": {}}) for alarm in alarms)
            body = Alarms(at=self._stamper.clock.wall_us(), alarms=bare).to_json()
        self._retained.put(self._topics.up("alarms"), body)


def fit_coverage(at_us: int, cameras: tuple[CameraCoverage, ...]) -> bytes:
    """The message; when it is too long, each camera gets its share of it, the oldest of its lists left out."""
    body = Coverage(at=at_us, cameras=cameras).to_json()
    if len(body) <= MAX_MESSAGE_BYTES:
        return body
    share_bytes = (MAX_MESSAGE_BYTES - _COVERAGE_FRAME_BYTES) // len(cameras)
    return Coverage(at=at_us, cameras=tuple(_fit_camera(camera, share_bytes) for camera in cameras)).to_json()


def _fit_camera(camera: CameraCoverage, share_bytes: int) -> CameraCoverage:
    bare = camera.model_copy(update={"last_24h": (), "days": (), "truncated": True})
    left_bytes = share_bytes - len(bare.to_json())
    days = _newest_that_fit(camera.days, left_bytes // 4)
    left_bytes -= sum(len(day.to_json()) + 1 for day in days)
    return bare.model_copy(update={"days": days, "last_24h": _newest_that_fit(camera.last_24h, left_bytes)})


def _newest_that_fit(items: tuple[Listed, ...], limit_bytes: int) -> tuple[Listed, ...]:
    """The end of a list that is ordered by time, as much of it as fits with a comma each."""
    used_bytes = 0
    for count, item in enumerate(reversed(items)):
        used_bytes += len(item.to_json()) + 1
        if used_bytes > limit_bytes:
            return items[len(items) - count :]
    return items
