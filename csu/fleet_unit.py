"""What the centre has in memory of one unit: its last words, and when and how they were heard."""

from dataclasses import dataclass, replace

from csu.fleet_bodies import cameras_of, place_of
from csu.views import CameraView, Place
from edge_agent.contract.messages import Health, Position, Status
from edge_agent.contract.model import ContractModel

CLOCK_BEHIND_US = 2_000_000
"""So far behind may a unit's clock be, and its repeated status still show that it came after the broker's start."""
_MAX_NAME_CHARACTERS = 100
_LONGEST_US = 10 * 365 * 86_400_000_000


@dataclass(frozen=True, slots=True)
class Heard:
    """How a message was heard.

    Attributes:
        wall_us: when, by the centre's wall clock.
        monotonic_us: when, by its monotonic clock.
        epoch: on which connection to the broker.
        is_retained: the broker repeats it; it was said earlier.
        is_new: it differs from what the registry had of its topic.
        first_us: when the registry first heard this very body, by the wall clock.
    """

    wall_us: int
    monotonic_us: int
    epoch: int
    is_retained: bool = False
    is_new: bool = True
    first_us: int | None = None

    def said_us(self, at_us: int | None) -> int:
        """When it was said, by the monotonic clock; of a repeated one the older of what can be known.

        Args:
            at_us: what the body says, by the unit's clock.
        """
        if not self.is_retained:
            return self.monotonic_us
        known_us = at_us if self.is_new else self.first_us
        age_us = 0 if known_us is None else min(max(0, self.wall_us - known_us), _LONGEST_US)
        return self.monotonic_us - age_us


@dataclass(frozen=True, slots=True)
class StatusWord:
    """The last status, as far as this life of the centre heard it.

    Attributes:
        is_online: what it said.
        is_will: the broker said it in the unit's place.
        epoch: of the connection on which it was heard last.
        confirmed_us: monotonic time at which the unit was certain to have just said it; None: never.
        since_us: wall time from which on it stands.
        heard_us: monotonic time from which on it stands, or was repeated to a centre that came anew.
        is_repeated: it was repeated by the broker, and not heard as it was said.
    """

    is_online: bool
    is_will: bool
    epoch: int
    confirmed_us: int | None
    since_us: int
    heard_us: int
    is_repeated: bool


@dataclass(slots=True)
class Sight:
    """One unit."""

    unit_id: str
    heard_us: int | None = None
    """Its last message of any kind, wall clock; also of earlier lives of the centre."""
    status: StatusWord | None = None
    health: Health | None = None
    health_us: int | None = None
    """When its health was said, monotonic clock; None when only an earlier life of the centre heard it."""
    health_wall_us: int | None = None
    cameras: tuple[CameraView, ...] = ()
    place: Place | None = None
    software_version: str | None = None
    deployment_id: str | None = None

    def hear(self, model: ContractModel | None, heard: Heard) -> None:
        """Take over a message; None for one that only shows that the unit lives."""
        said_us = heard.wall_us - (heard.monotonic_us - heard.said_us(getattr(model, "at", None)))
        self.heard_us = heard.wall_us if not heard.is_retained else max(said_us, self.heard_us or said_us)
        if isinstance(model, Status):
            self._hear_status(model, heard)
        elif isinstance(model, Health):
            self.health, self.health_us = model, heard.said_us(model.at)
            self.health_wall_us = heard.wall_us - (heard.monotonic_us - self.health_us)
            self.cameras = cameras_of(model)
        elif isinstance(model, Position):
            self.place = place_of(model)
        if model is not None and not heard.is_retained:
            self._confirm(heard)

    def recall(self, model: ContractModel, heard_us: int) -> None:
        """Take over what an earlier life of the centre heard: where the unit was, not how it is."""
        self.heard_us = max(heard_us, self.heard_us or heard_us)
        if isinstance(model, Health):
            self.cameras = cameras_of(model)
        elif isinstance(model, Position):
            self.place = place_of(model)
        elif isinstance(model, Status):
            self._take_names(model)

    def _hear_status(self, status: Status, heard: Heard) -> None:
        before = self.status
        is_online = status.state == "online"
        is_fresh = not heard.is_retained or heard.is_new
        goes_on = before is not None and before.is_online == is_online
        first_us = heard.wall_us if is_fresh or heard.first_us is None else heard.first_us
        proofs_us = [None if before is None else before.confirmed_us, _proof_us(status, heard)]
        self.status = StatusWord(
            is_online=is_online,
            is_will=status.at is None,
            epoch=heard.epoch,
            confirmed_us=max((one for one in proofs_us if one is not None), default=None),
            since_us=before.since_us if before is not None and goes_on else first_us,
            heard_us=before.heard_us if before is not None and goes_on else heard.monotonic_us,
            is_repeated=heard.is_retained,
        )
        if is_online:  # the will names neither
            self._take_names(status)

    def _confirm(self, heard: Heard) -> None:
        """A retained topic was heard as it was said: nothing of it waits at a broker, so its unit is connected."""
        if self.status is not None and self.status.is_online:
            self.status = replace(self.status, epoch=heard.epoch, confirmed_us=heard.monotonic_us)

    def _take_names(self, status: Status) -> None:
        self.software_version = (status.software_version or "")[:_MAX_NAME_CHARACTERS] or None
        self.deployment_id = (status.deployment_id or "")[:_MAX_NAME_CHARACTERS] or None


def _proof_us(status: Status, heard: Heard) -> int | None:
    """When a unit has certainly said its status; None when that cannot be known.

    A repeated one may be a leftover: of a unit that was shut out and let in again, of one whose will went down with
    the broker, or from just before a kill of the centre. Only its date tells: the registry's, or else its own.
    """
    if not heard.is_retained:
        return heard.monotonic_us
    if status.at is None:
        return None
    return heard.said_us(status.at) + (CLOCK_BEHIND_US if heard.is_new else 0)
