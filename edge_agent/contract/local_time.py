"""Times as a person types them: with an offset, or as local time of the site.

A local time that happens twice (the end of summer time) or never (its beginning) is not guessed: the error names the
ways to say it.
"""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from edge_agent.contract.errors import ContractError
from edge_agent.contract.times import parse_utc

_LOCAL = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?")
_RELATIVE = re.compile(r"-(\d{1,7})(s|m|h)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def load_zone(name: str) -> ZoneInfo:
    """A time zone of the IANA database.

    Raises:
        ContractError: no such zone on this machine.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ContractError(f"time zone {name!r} is not known here; such as Europe/Paris (package tzdata)") from error


def parse_instant(text: str, zone: ZoneInfo, now_us: int) -> int:
    """Microseconds since 1970 of what a person typed.

    Args:
        text: `2026-03-29T02:10:00+01:00`, `2026-03-29 02:10` (local time), `now`, or `-90s`, `-5m`, `-2h`.
        zone: the site's time zone.
        now_us: the present, for the relative forms.

    Raises:
        ContractError: not readable, or a local time that happens twice or never.
    """
    relative = _RELATIVE.fullmatch(text)
    if text == "now":
        return now_us
    if relative:
        return now_us - int(relative[1]) * _SECONDS[relative[2]] * 1_000_000
    if _LOCAL.fullmatch(text):
        return _parse_local(text, zone)
    return parse_utc(text.replace(" ", "T", 1))


def _parse_local(text: str, zone: ZoneInfo) -> int:
    try:
        naive = datetime.fromisoformat(text)
    except ValueError as error:
        raise ContractError(f"{text!r} is not a date of the calendar: {error}") from error
    readings = [naive.replace(tzinfo=zone, fold=fold) for fold in (0, 1)]
    real = [moment for moment in readings if moment.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == naive]
    instants = sorted({(moment.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1) for moment in real})
    if not instants:
        raise ContractError(f"{text!r} does not exist in {zone.key}: clocks were put forward over it")
    if len(instants) > 1:
        choices = " or ".join(moment.isoformat() for moment in readings)
        raise ContractError(f"{text!r} happened twice in {zone.key}: write {choices}")
    return instants[0]
