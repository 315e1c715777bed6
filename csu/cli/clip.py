"""`csu clip`: ask a unit for footage, show how it comes, put the verified files where they are wanted."""

import argparse
import re
from pathlib import Path

from csu.cli.common import (
    Context,
    add_order,
    camera_name,
    local_text,
    parse_time,
    short_text,
    unit_id,
)
from csu.cli.fetch import SILENCE_S, check_folder, follow, telling_that_it_goes_on
from csu.errors import CsuSettingsError
from edge_agent.contract.times import format_utc

_LIFETIME_S = 7 * 24 * 3600
_DURATION = re.compile(r"[0-9]{1,7}[smh]")


def add_to(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The subcommand's arguments."""
    parser = subcommands.add_parser("clip", help="fetch footage of a unit, verified")
    parser.add_argument("unit", type=unit_id, metavar="UNIT")
    parser.add_argument("--camera", type=camera_name, required=True, help="such as main")
    parser.add_argument("--from", dest="start", metavar="T", help="2026-03-29T02:10:00+01:00, 2026-03-29T02:10, -5m")
    parser.add_argument("--to", dest="end", metavar="T", help="as --from; not part of the clip itself")
    parser.add_argument("--last", metavar="DURATION", help="instead of both: 10s, 5m or 2h up to now")
    parser.add_argument("--zone", metavar="NAME", help="of times without offset (default: this machine's)")
    parser.add_argument("--reference", type=short_text, required=True, help="of the requisition")
    parser.add_argument("--purpose", type=short_text, required=True, help="why the footage is needed")
    parser.add_argument("--priority", choices=("urgent", "normal", "background"), default="normal")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="where its files are put")
    add_order(parser, SILENCE_S)
    parser.set_defaults(run=run)


def run(context: Context) -> int:
    """Ask, follow, deliver; 0 when the clip was verified."""
    arguments = context.arguments
    start_us, end_us = interval_of(arguments, context.clock.wall_us())
    check_folder(arguments.out)
    command = context.client.command(
        {
            "unit_id": arguments.unit,
            "cmd": "clip.request",
            "params": {
                "camera": arguments.camera,
                "from": format_utc(start_us),
                "to": format_utc(end_us),
                "priority": arguments.priority,
            },
            "operator": arguments.operator,
            "role": arguments.role,
            "reference": arguments.reference,
            "purpose": arguments.purpose,
            "lifetime_s": _LIFETIME_S,
        }
    )
    with telling_that_it_goes_on(context, command):
        print(f"asked {arguments.unit} for {arguments.camera}, {local_text(start_us)} to {local_text(end_us)}")
        print(f"clip {command.command_id}", flush=True)
        if not any(unit.is_online for unit in context.client.units() if unit.unit_id == arguments.unit):
            print(f"{arguments.unit} is not online; the request waits for it", flush=True)
    return follow(context, command)


def interval_of(arguments: argparse.Namespace, now_us: int) -> tuple[int, int]:
    """The asked interval, microseconds since 1970.

    Raises:
        CsuSettingsError: unreadable, empty, or neither both ends nor `--last`.
    """
    if arguments.last is not None:
        if arguments.start or arguments.end:
            raise CsuSettingsError("give --from and --to, or --last alone")
        if not _DURATION.fullmatch(arguments.last):
            raise CsuSettingsError(f"--last {arguments.last!r:.30}: give a duration, such as 10s, 5m or 2h")
        start_us = parse_time(f"-{arguments.last}", arguments.zone, now_us, "--last")
        if start_us == now_us:
            raise CsuSettingsError(f"--last {arguments.last} is no time at all: give 10s, 5m or 2h")
        return start_us, now_us
    if not arguments.start or not arguments.end:
        raise CsuSettingsError("give --from and --to, or --last 10s")
    start_us = parse_time(arguments.start, arguments.zone, now_us, "--from")
    end_us = parse_time(arguments.end, arguments.zone, now_us, "--to")
    if end_us <= start_us:
        raise CsuSettingsError(f"--to {arguments.end} is not after --from {arguments.start}")
    return start_us, end_us
