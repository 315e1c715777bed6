"""Times as text: RFC 3339 in UTC with milliseconds and `Z`; inside the software, integer microseconds since 1970."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from edge_agent.contract.errors import ContractError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PATTERN = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})")


def format_utc(instant_us: int) -> str:
    """RFC 3339 text with milliseconds (rounded down) and `Z`.

    Raises:
        ContractError: the instant is not between the years 1 and 9999.
    """
    try:
        moment = _EPOCH + timedelta(microseconds=instant_us // 1000 * 1000)
    except OverflowError as error:
        raise ContractError(f"instant {instant_us} µs is out of the calendar") from error
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def parse_utc(text: str) -> int:
    """Microseconds since 1970 of an RFC 3339 text with an offset.

    Raises:
        ContractError: not RFC 3339, no offset, or a date that the calendar lacks.
    """
    if not _PATTERN.fullmatch(text):
        raise ContractError(f"{text!r:.60} is not an RFC 3339 time with an offset, such as 2026-03-29T01:30:00.000Z")
    try:
        moment = datetime.fromisoformat(text.upper())
        return (moment.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError) as error:
        raise ContractError(f"{text!r:.60} is not a date of the calendar: {error}") from error


def _validate(value: object) -> int:
    if isinstance(value, str):
        return parse_utc(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ContractError(f"expected an RFC 3339 time as text, got {type(value).__name__}")


UtcMicros = Annotated[
    int,
    BeforeValidator(_validate),
    PlainSerializer(format_utc, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A model field that is RFC 3339 text in JSON and integer microseconds in Python."""


def _validate_text(value: object) -> int:
    if not isinstance(value, str):
        raise ContractError(f"expected an RFC 3339 time as text, got {type(value).__name__}")
    return parse_utc(value)


UtcText = Annotated[
    int,
    BeforeValidator(_validate_text),
    PlainSerializer(format_utc, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""As `UtcMicros`, of what others say: text alone is taken, so that every instant is one of the calendar."""
