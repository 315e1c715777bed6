"""What the subcommands share."""

import argparse
import getpass
import json
import math
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, get_args

from csu.client import Client
from csu.errors import CommandFailedError, ContractError, CsuSettingsError, ServiceUnreachableError
from csu.records import CommandRecord
from edge_agent.clock import Clock
from edge_agent.contract.commands import Role
from edge_agent.contract.local_time import load_zone, parse_instant
from edge_agent.contract.names import CAMERA_NAME_PATTERN, UNIT_ID_PATTERN, UUID_PATTERN
from edge_agent.contract.times import format_utc, parse_utc

OK, FAILED, USAGE, UNREACHABLE = 0, 1, 2, 3

DEFAULT_SILENCE_S = 120.0
_LOCALTIME = Path("/etc/localtime")
_MAX_COUNT = 1 << 63
_MAX_TEXT_CHARACTERS = 200
"""Of `contract.commands.ShortText`."""
_DATE_AND_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}")


@dataclass(frozen=True, slots=True)
class Context:
    """What a subcommand works with."""

    arguments: argparse.Namespace
    clock: Clock

    @property
    def client(self) -> Client:
        """Of the service on `--dir`."""
        return Client(self.arguments.dir, self.clock)


Run = Callable[[Context], int]


def default_dir() -> Path:
    """The service's directory when `--dir` does not name it."""
    return Path(os.environ.get("CSU_DIR", "csu-data"))


def add_dir(parser: argparse.ArgumentParser) -> None:
    """`--dir`: the service's directory."""
    default = default_dir()
    parser.add_argument(
        "--dir", type=Path, default=default, help=f"directory of the service (CSU_DIR; now {default})"
    )


def add_order(parser: argparse.ArgumentParser, silence_s: float = DEFAULT_SILENCE_S) -> None:
    """What every command to a unit takes."""
    add_dir(parser)
    parser.add_argument(
        "--operator", type=short_text, default=getpass.getuser(), help="who asks (default: %(default)s)"
    )
    parser.add_argument(
        "--role", choices=get_args(Role), default="operator", help="by what role (default: %(default)s)"
    )
    add_timeout(parser, silence_s)


def add_timeout(parser: argparse.ArgumentParser, silence_s: float) -> None:
    """`--timeout`: how long nothing may be heard."""
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=silence_s,
        metavar="SECONDS",
        help="give up after so long without a sign of the unit, or a verdict (default: %(default)s)",
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds) or seconds <= 0:
        raise argparse.ArgumentTypeError(f"{text!r:.30}: expected a number of seconds over 0, such as 300")
    return seconds


def unit_id(text: str) -> str:
    """A unit's id as an argument."""
    expected = "2 to 31 lower-case letters, digits and hyphens, such as nomad-07"
    return _matching(text, UNIT_ID_PATTERN, expected)


def camera_name(text: str) -> str:
    """A camera's name as an argument."""
    return _matching(text, CAMERA_NAME_PATTERN, "up to 31 lower-case letters, digits and hyphens, such as main")


def request_id(text: str) -> str:
    """The id of a clip or command as an argument; capitals are as good as small letters (RFC 9562 §4)."""
    expected = "the id that csu clip printed, such as 0197a1b2-0000-7000-8000-000000000001"
    return _matching(text.lower(), UUID_PATTERN, expected)


def _matching(text: str, pattern: str, expected: str) -> str:
    if not re.fullmatch(pattern, text):
        raise argparse.ArgumentTypeError(f"{printable(text)!r:.60}: expected {expected}")
    return text


def short_text(text: str) -> str:
    """A name or a reason as an argument: what a signed command takes of either."""
    if not 1 <= len(text) <= _MAX_TEXT_CHARACTERS:
        raise argparse.ArgumentTypeError(
            f"{printable(text)!r:.60}: expected 1 to {_MAX_TEXT_CHARACTERS} characters, not {len(text)}"
        )
    return text


def ask(context: Context, cmd: str, params: dict[str, Any], lifetime_s: int) -> dict[str, Any]:
    """Give a command and wait for the unit's last word: the reply's result.

    Raises:
        CommandFailedError: rejected, failed or cancelled.
        ServiceUnreachableError: no answer in time.
    """
    arguments = context.arguments
    order = {
        "unit_id": arguments.unit,
        "cmd": cmd,
        "params": params,
        "operator": arguments.operator,
        "role": arguments.role,
        "lifetime_s": lifetime_s,
    }
    command = context.client.command(order)
    *_, (last, _clip) = context.client.follow(command.command_id, arguments.timeout)
    check_end(last)
    return dict((last.reply or {}).get("result") or {})


def check_end(command: CommandRecord) -> None:
    """Raise unless the command was done.

    Raises:
        CommandFailedError: rejected, failed or cancelled; the message is the unit's.
        ServiceUnreachableError: the unit did not answer before the command expired.
    """
    if command.state == "done":
        return
    error = command.error
    if command.state == "expired" or (error is None and command.state == "waiting"):
        said = f"; it said last: {error.message}" if error else ""
        raise ServiceUnreachableError(
            f"{command.unit_id} did not answer before command {command.command_id} expired{said}"
        )
    if error is None:
        raise CommandFailedError(command.state, f"{command.cmd} was {command.state}")
    raise CommandFailedError(error.code, f"{command.cmd} {command.state}: {error.message}")


def local_zone_name() -> str:
    """The time zone of this machine: `TZ`, else what /etc/localtime points at, else UTC."""
    named = os.environ.get("TZ", "").lstrip(":")
    if named:
        return named
    _, found, name = str(_LOCALTIME.resolve()).partition("/zoneinfo/")
    return name if found else "UTC"


def local_zone() -> tzinfo:
    """The time zone of this machine, UTC when it is not known."""
    try:
        return load_zone(local_zone_name())
    except ContractError:
        return UTC


def parse_time(text: str, zone_name: str | None, now_us: int, option: str) -> int:
    """Microseconds since 1970 of a time with an offset, a local time, `now`, or `-30s`, `-5m`, `-2h`.

    Args:
        text: what was typed.
        zone_name: the zone of a time without offset; None for this machine's.
        now_us: the present.
        option: after which it was typed, for the error.

    Raises:
        CsuSettingsError: not readable, or a local time that happens twice or never.
    """
    try:
        return parse_utc(text)
    except ContractError:
        pass  # not with an offset; the other forms follow
    try:
        return parse_instant(text, load_zone(zone_name or local_zone_name()), now_us)
    except ContractError as error:
        if not _DATE_AND_TIME.match(text):
            forms = "2026-03-29T02:10:00+01:00, 2026-03-29T02:10 (local time), now, or -90s, -5m, -2h before now"
            raise CsuSettingsError(f"{option} {text!r:.60} is not a time; write {forms}") from error
        raise CsuSettingsError(f"{option}: {error}") from error


def local_text(instant_us: int) -> str:
    """An instant for people: local date and time to the second, with the zone's name."""
    return _local(instant_us).strftime("%Y-%m-%d %H:%M:%S %Z")


def clock_text(instant_us: int) -> str:
    """Local time of day, `10:31:07`."""
    return _local(instant_us).strftime("%H:%M:%S")


def _local(instant_us: int) -> datetime:
    """In this machine's zone; at the edges of the calendar, where the zone's offset leads out of it, in UTC."""
    moment = datetime.fromisoformat(format_utc(instant_us))
    try:
        return moment.astimezone(local_zone())
    except OverflowError:
        return moment


def count_of(value: object) -> int | None:
    """A number of bytes that a unit sent; None for what no disk has."""
    return value if isinstance(value, int) and 0 <= value < _MAX_COUNT else None


def size_text(value: object, digits: int = 0) -> str:
    """Bytes that a unit told of as megabytes; `? MB` for what no disk has."""
    size_bytes = count_of(value)
    return "? MB" if size_bytes is None else f"{size_bytes / 1e6:.{digits}f} MB"


def percent_of(done: object, total: object) -> int:
    """How much a unit has sent, 0 to 100; 0 for numbers that no disk has."""
    done_bytes, total_bytes = count_of(done), count_of(total)
    return min(100, 100 * done_bytes // total_bytes) if done_bytes and total_bytes else 0


def printable(text: object) -> str:
    r"""A text that a unit sent, for a terminal: what is no visible character becomes `\x1b`, `\u202e` and the like.

    Escape sequences would otherwise let a unit rewrite what an operator sees, or make the terminal type for them.
    """
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in str(text))


def json_text(value: object, indent: int | None = None) -> str:
    """JSON for people and programs: legible, without characters that a terminal obeys."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return "".join(one if one.isprintable() or one == "\n" else _json_escape(one) for one in text)


def _json_escape(character: str) -> str:
    """RFC 8259 §7: UTF-16 code units."""
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


def table(rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns; the first row is the head."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def complain(message: str) -> None:
    """A sentence on standard error."""
    print(f"csu: {printable(message)}", file=sys.stderr)
