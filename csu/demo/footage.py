"""What the demonstration's unit holds, asked over MQTT, and what its camera complains of."""

from collections.abc import Sequence
from typing import Any

from csu.client import Client
from csu.records import UnitRecord
from edge_agent.contract.event_names import EventName
from edge_agent.contract.times import format_utc, parse_utc

Interval = tuple[int, int]
"""From and to, microseconds since 1970."""

_SECOND_US = 1_000_000
_ANSWER_S = 10.0
_LIFETIME_S = 30
_COMPLAINTS = {EventName.CAMERA_LOST: ("detail", "cause"), EventName.RECORDER_UNAVAILABLE: ("reason",)}
"""Alarms without whose end no footage comes, and where they say why."""


def find_interval(
    client: Client, unit_id: str, camera: str, span_us: Interval, seconds: int
) -> tuple[Interval | None, str]:
    """An interval of whole seconds that the unit holds from its first instant to its last.

    Footage begins with the camera's first picture, at any instant of a second. A clip that is asked for from the next
    whole second on begins there exactly.

    Args:
        client: of the centre.
        unit_id: the unit.
        camera: its camera.
        span_us: between when it is looked for, microseconds since 1970.
        seconds: how long it has to be.

    Returns:
        Its edges, None when there is none so far; and the unit's words, when it rejected the question.

    Raises:
        ServiceUnreachableError: the unit does not answer.
    """
    params = {"camera": camera, "from": format_utc(span_us[0]), "to": format_utc(span_us[1])}
    order: dict[str, Any] = {"unit_id": unit_id, "cmd": "coverage.query", "params": params, "lifetime_s": _LIFETIME_S}
    command = client.command(order | {"operator": "demo"})
    *_, (last, _clip) = client.follow(command.command_id, _ANSWER_S)
    result: dict[str, Any] = (last.reply or {}).get("result") or {}
    intervals = result.get("intervals", ())
    held = [(parse_utc(one["from"]), parse_utc(one["to"])) for one in intervals if one.get("held")]
    return choose(held, seconds), "" if last.error is None else last.error.message


def choose(held: Sequence[Interval], seconds: int) -> Interval | None:
    """The first whole seconds inside one of the held intervals; None when all are too short."""
    for from_us, to_us in held:
        start_us = -(-from_us // _SECOND_US) * _SECOND_US
        if start_us + seconds * _SECOND_US <= to_us:
            return start_us, start_us + seconds * _SECOND_US
    return None


def complaint_of(unit: UnitRecord, camera: str, since_us: int) -> str | None:
    """Why no footage comes, in the unit's words; None when it complains of nothing.

    Args:
        unit: as the centre knows it.
        camera: the camera.
        since_us: what was heard before then is of an earlier run.
    """
    heard = unit.states.get("alarms")
    if heard is None or heard.heard_us < since_us:
        return None
    for alarm in heard.body.get("alarms", ()):
        keys = _COMPLAINTS.get(alarm.get("name"))
        if keys is not None and alarm.get("camera") == camera:
            details = alarm.get("details") or {}
            why = next((str(details[key]) for key in keys if details.get(key)), "it does not say why")
            return f"{alarm['name']}: {why}"
    return None
