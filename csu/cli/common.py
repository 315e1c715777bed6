"""What the subcommands share."""

import argparse
import getpass
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

from csu.client import Client
from csu.errors import CommandFailedError, ContractError, CsuSettingsError, ServiceUnreachableError
from csu.records import CommandRecord
from edge_agent.clock import Clock
from edge_agent.contract.local_time import load_zone, parse_instant
from edge_agent.contract.times import parse_utc

OK, FAILED, USAGE, UNREACHABLE = 0, 1, 2, 3

DEFAULT_SILENCE_S = 120.0
_LOCALTIME = Path("/etc/localtime")
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


def add_dir(parser: argparse.ArgumentParser) -> None:
    """`--dir`: the service's directory."""
    default = Path(os.environ.get("CSU_DIR", "csu-data"))
    parser.add_argument(
        "--dir", type=Path, default=default, help=f"directory of the service (CSU_DIR; now {default})"
    )


def add_order(parser: argparse.ArgumentParser, silence_s: float = DEFAULT_SILENCE_S) -> None:
    """What every command to a unit takes."""
    add_dir(parser)
    parser.add_argument("--operator", default=getpass.getuser(), help="who asks (default: %(default)s)")
    parser.add_argument("--role", default="operator", help="by what role (default: %(default)s)")
    parser.add_argument(
        "--timeout",
        type=float,
        default=silence_s,
        metavar="SECONDS",
        help="give up after so long without a sign of the unit, or a verdict (default: %(default)s)",
    )


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
        raise ServiceUnreachableError(f"{command.unit_id} did not answer before the command expired{said}")
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


def parse_time(text: str, zone_name: str | None, now_us: int) -> int:
    """Microseconds since 1970 of a time with an offset, a local time, `now`, or `-30s`, `-5m`, `-2h`.

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
            raise CsuSettingsError(f"{text!r:.60} is not a time; write {forms}") from error
        raise CsuSettingsError(str(error)) from error


def local_text(instant_us: int) -> str:
    """An instant for people: local date and time to the second, with the zone's name."""
    moment = datetime.fromtimestamp(instant_us / 1e6, UTC).astimezone(local_zone())
    return moment.strftime("%Y-%m-%d %H:%M:%S %Z")


def clock_text(instant_us: int) -> str:
    """Local time of day, `10:31:07`."""
    return datetime.fromtimestamp(instant_us / 1e6, UTC).astimezone(local_zone()).strftime("%H:%M:%S")


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
