"""What a unit says, in one transaction with all that follows from it: a kill in between leaves all of it or nothing.

An event that was stored without its alarm would be known when the broker delivers it again, and the alarm lost.
"""

import sqlite3
from dataclasses import dataclass
from typing import Any

from csu import stored_alarms, stored_clips, stored_coverage, stored_history, stored_units
from csu.records import ClipRecord, StateTopic
from csu.stored_alarms import AlarmChanges
from edge_agent.contract.errors import ContractError
from edge_agent.contract.messages import Alarms, Coverage, Event, Health, History, Position
from edge_agent.contract.model import ContractModel


@dataclass(frozen=True, slots=True)
class KeptState:
    """What became of the body of a retained topic.

    Attributes:
        is_new: it differs from the one before.
        heard_us: when this body was heard first, or last as it was said.
        alarms: what a list of alarms changed.
    """

    is_new: bool
    heard_us: int
    alarms: AlarmChanges | None = None


def keep_event(
    connection: sqlite3.Connection, event: Event, body: dict[str, Any], now_us: int
) -> AlarmChanges | None:
    """Keep an event and what it means for alarms; None when it is known already."""
    if not stored_units.save_event(connection, event.unit_id, event.event_id, body, now_us):
        return None
    return stored_alarms.hear_event(connection, event, _listed(connection, event.unit_id), now_us)


def _listed(connection: sqlite3.Connection, unit_id: str) -> Alarms | None:
    body = stored_units.load_state(connection, unit_id, "alarms")
    try:
        return None if body is None else Alarms.from_object(body)
    except ContractError:  # of an older version of the contract
        return None


def keep_state(
    connection: sqlite3.Connection,
    unit_id: str,
    topic: StateTopic,
    model: ContractModel,
    body: dict[str, Any],
    now_us: int,
    is_retained: bool,
) -> KeptState:
    """Keep the body of a retained topic, its place in the unit's history, and what it means for alarms."""
    said_us = min(now_us, getattr(model, "at", None) or now_us) if is_retained else now_us
    kept = stored_units.keep_state(connection, unit_id, topic, body, said_us, is_retained)
    alarms = None
    if isinstance(model, Alarms):
        alarms = stored_alarms.hear_list(connection, unit_id, model, now_us)
    elif kept.is_new and isinstance(model, Health):
        stored_history.note(connection, unit_id, "health", body, model.at, now_us)
    elif kept.is_new and isinstance(model, Position):
        said_us = now_us if model.properties.at is None else model.properties.at
        stored_history.note(connection, unit_id, "position", body, said_us, now_us)
    elif kept.is_new and isinstance(model, Coverage):
        stored_coverage.keep(connection, unit_id, model)
    return KeptState(kept.is_new, kept.heard_us, alarms)


def keep_verdict(
    connection: sqlite3.Connection,
    unit_id: str,
    clip_id: str,
    reason: str | None,
    report: dict[str, Any],
    receipt: str | None,
    now_us: int,
) -> tuple[ClipRecord, AlarmChanges | None]:
    """Keep the verdict on a unit's clip (see `stored_clips.save_verdict`), and the alarm of a bad one."""
    clip = stored_clips.save_verdict(connection, unit_id, clip_id, reason, report, receipt, now_us)
    if reason is None:
        return clip, None
    return clip, stored_alarms.fail_clip(connection, unit_id, clip_id, reason, now_us)


def forget_unit(connection: sqlite3.Connection, unit_id: str, now_us: int) -> AlarmChanges:
    """Shut a unit out; what was open of it is over.

    Raises:
        RequestRefusedError: it is not known.
    """
    stored_units.remove_unit(connection, unit_id)
    return stored_alarms.close_all(connection, unit_id, now_us)


def keep_history(connection: sqlite3.Connection, history: History, now_us: int) -> bool:
    """Keep a batch of `up/history`; False when it came before."""
    return stored_history.save(connection, history, now_us)
