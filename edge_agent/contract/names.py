"""Names and topics: one shape for unit, camera and deployment ids, one place that spells topics."""

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import StringConstraints

UNIT_ID_PATTERN = r"^[a-z0-9][a-z0-9-]{1,30}$"
CAMERA_NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{0,30}$"
UUID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
DEFAULT_PREFIX = "csu/v1"

UnitId = Annotated[str, StringConstraints(pattern=UNIT_ID_PATTERN)]
CameraName = Annotated[str, StringConstraints(pattern=CAMERA_NAME_PATTERN)]
HexId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Sha256Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Uuid = Annotated[str, StringConstraints(pattern=UUID_PATTERN)]
"""A UUID in its canonical text form (RFC 9562 §4); it becomes a folder name, so nothing else is let through."""


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one unit under a prefix."""

    prefix: str
    unit_id: str

    def up(self, name: str) -> str:
        """A topic that the unit writes: `status`, `position`, `health`, `coverage`, `alarms`, `event`, `reply`."""
        return f"{self.prefix}/{self.unit_id}/up/{name}"

    def down(self, name: str) -> str:
        """A topic that the unit reads: `command`, `receipt`, `desired/…`, or `#` for all."""
        return f"{self.prefix}/{self.unit_id}/down/{name}"


def unit_of_topic(prefix: str, topic: str) -> tuple[str, str] | None:
    """`(unit_id, "up/status")` of a full topic, or None when it is not one of this prefix."""
    match = re.fullmatch(rf"{re.escape(prefix)}/([a-z0-9][a-z0-9-]{{1,30}})/((?:up|down)/.+)", topic)
    return (match[1], match[2]) if match else None
