"""What the registry remembers, as the API hands it out."""

from typing import Any, Literal

from pydantic import Field

from edge_agent.contract.messages import ReplyError, ReplyState
from edge_agent.contract.model import ContractModel
from edge_agent.contract.times import UtcMicros

CommandState = Literal[ReplyState, "waiting", "expired"]
"""The unit's last reply, or `waiting` before it and `expired` when none came in time."""

FINAL_STATES: frozenset[CommandState] = frozenset({"rejected", "done", "failed", "cancelled", "expired"})
"""States after which nothing more comes."""

ClipVerdict = Literal["pending", "verified", "failed"]

StateTopic = Literal["status", "position", "health", "coverage", "alarms"]
"""Retained topics whose last body is kept."""


class HeardState(ContractModel):
    """The last body of a retained topic, and when the centre heard it."""

    heard_us: UtcMicros = Field(alias="heard_at")
    body: dict[str, Any]


class UnitRecord(ContractModel):
    """A unit and what it last said."""

    unit_id: str
    enrolled_us: UtcMicros = Field(alias="enrolled_at")
    states: dict[str, HeardState]
    ignored: int
    """Bodies under its topics that could not be read, since the registry was made."""

    @property
    def is_online(self) -> bool:
        """Whether its last status said so."""
        status = self.states.get("status")
        return status is not None and status.body.get("state") == "online"


class CommandRecord(ContractModel):
    """A command, what became of it, and when it is sent next."""

    command_id: str
    unit_id: str
    cmd: str
    params: dict[str, Any]
    operator: str
    role: str
    reference: str | None = None
    purpose: str | None = None
    issued_us: UtcMicros = Field(alias="issued_at")
    expires_us: UtcMicros = Field(alias="expires_at")
    state: CommandState
    reply: dict[str, Any] | None = None
    """The unit's last reply, whole."""
    replied_us: UtcMicros | None = Field(default=None, alias="replied_at")
    sent: int
    """How often it was published."""
    next_send_us: UtcMicros | None = Field(default=None, alias="next_send_at")
    version: int
    """Rises with every change; what a long poll waits on."""

    @property
    def error(self) -> ReplyError | None:
        """Why it was rejected or failed, as the unit said."""
        error = (self.reply or {}).get("error")
        return None if error is None else ReplyError.from_object(error)


class ClipRecord(ContractModel):
    """A delivered clip and the centre's verdict on it."""

    clip_id: str
    unit_id: str
    folder: str
    """Where its files lie on the centre's machine."""
    completed_us: UtcMicros = Field(alias="completed_at")
    verdict: ClipVerdict
    reason: str | None = None
    report: dict[str, Any] | None = None
    """What the verification found."""
    receipts_sent: int
