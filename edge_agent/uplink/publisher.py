"""The retained topics: what the unit is, where it stands, how it is, what it holds, what is wrong."""

import uuid

from edge_agent.contract.commands import DURABLE, EPHEMERAL
from edge_agent.contract.messages import Alarm, Alarms, CameraCoverage, Coverage, Health, Position, Status
from edge_agent.contract.model import MAX_MESSAGE_BYTES
from edge_agent.contract.names import Topics
from edge_agent.uplink.outbox import RetainedTopics
from edge_agent.uplink.stamps import Stamper
from edge_agent.uplink.wire import Outgoing

CAPABILITIES = (*sorted(DURABLE), *sorted(EPHEMERAL), "upload.tus")


def offline_status(topics: Topics, boot_id: str) -> Outgoing:
    """The last will."""
    status = Status(state="offline", unit_id=topics.unit_id, boot_id=boot_id)
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

    def put_coverage(self, cameras: tuple[CameraCoverage, ...]) -> None:
        """Publish `up/coverage`, older intervals left out until it fits a message."""
        self._retained.put(self._topics.up("coverage"), fit_coverage(self._stamper.clock.wall_us(), cameras))

    def put_alarms(self, alarms: tuple[Alarm, ...]) -> None:
        """Publish `up/alarms`."""
        body = Alarms(at=self._stamper.clock.wall_us(), alarms=alarms).to_json()
        if len(body) > MAX_MESSAGE_BYTES:
            bare = tuple(alarm.model_copy(update={"details": {}}) for alarm in alarms)
            body = Alarms(at=self._stamper.clock.wall_us(), alarms=bare).to_json()
        self._retained.put(self._topics.up("alarms"), body)


def fit_coverage(at_us: int, cameras: tuple[CameraCoverage, ...]) -> bytes:
    """The message; while it is too long, the camera with the longest list loses the older half of it."""
    body = Coverage(at=at_us, cameras=cameras).to_json()
    while len(body) > MAX_MESSAGE_BYTES:
        longest = max(cameras, key=lambda camera: len(camera.last_24h) + len(camera.days))
        if not longest.last_24h and not longest.days:
            break
        cameras = tuple(_halved(camera) if camera is longest else camera for camera in cameras)
        body = Coverage(at=at_us, cameras=cameras).to_json()
    return body


def _halved(camera: CameraCoverage) -> CameraCoverage:
    listed = "last_24h" if len(camera.last_24h) >= len(camera.days) else "days"
    kept = getattr(camera, listed)
    return camera.model_copy(update={listed: kept[(len(kept) + 1) // 2 :], "truncated": True})
