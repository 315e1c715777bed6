"""`csu alarms`, `csu acknowledge` and `csu summary`: what went wrong, who took notice, and how a day was."""

import argparse
import getpass
import re
from contextlib import suppress
from datetime import date

from csu.cli.common import (
    OK,
    Context,
    add_dir,
    json_text,
    local_text,
    printable,
    request_id,
    short_text,
    table,
    unit_id,
)
from csu.views import AlarmRecord, DaySummary

_MAX_LIST = 1000
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def add_to(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The subcommands' arguments."""
    alarms = subcommands.add_parser("alarms", help="what went wrong, newest first")
    add_dir(alarms)
    alarms.add_argument("unit", type=unit_id, metavar="UNIT", nargs="?", help="only of this one")
    alarms.add_argument("--open", action="store_true", help="only what is wrong now")
    alarms.add_argument("--limit", type=_count, default=50, metavar="N", help="at most so many (%(default)s)")
    alarms.add_argument("--json", action="store_true", help="everything, as JSON")
    alarms.set_defaults(run=run_alarms)
    acknowledge = subcommands.add_parser("acknowledge", help="take notice of an alarm")
    add_dir(acknowledge)
    acknowledge.add_argument("alarm", type=request_id, metavar="ALARM", help="the id that csu alarms prints")
    acknowledge.add_argument(
        "--operator", type=short_text, default=getpass.getuser(), help="who takes notice (default: %(default)s)"
    )
    acknowledge.add_argument("--note", metavar="TEXT", help="what is done about it")
    acknowledge.set_defaults(run=run_acknowledge)
    summary = subcommands.add_parser("summary", help="a day of the fleet, in the centre's time zone")
    add_dir(summary)
    summary.add_argument("--day", type=_day, metavar="YYYY-MM-DD", help="which (default: today, as far as it went)")
    summary.add_argument("--json", action="store_true", help="everything, as JSON")
    summary.set_defaults(run=run_summary)


def run_alarms(context: Context) -> int:
    """Print a table, or JSON."""
    arguments = context.arguments
    alarms = context.client.alarms(arguments.unit, True if arguments.open else None, arguments.limit)
    if arguments.json:
        print(json_text([alarm.to_object() for alarm in alarms], 2))
    elif not alarms:
        print("no alarm")
    else:
        head = ("RAISED", "UNIT", "SEVERITY", "ALARM", "OVER", "ACKNOWLEDGED", "ID")
        print(table([head, *map(_alarm_row, alarms)]))
    return OK


def run_acknowledge(context: Context) -> int:
    """Keep who took notice."""
    arguments = context.arguments
    alarm = context.client.acknowledge(arguments.alarm, arguments.operator, arguments.note)
    print(printable(f"{alarm.unit_id}  {_name_of(alarm)}  acknowledged by {alarm.acknowledged_by}"))
    return OK


def run_summary(context: Context) -> int:
    """Print the day's figures and a row a unit, or JSON."""
    summary = context.client.summary(context.arguments.day)
    print(json_text(summary.to_object(), 2) if context.arguments.json else summary_text(summary))
    return OK


def summary_text(summary: DaySummary) -> str:
    """A day for people."""
    share = "unknown" if summary.recorded_share is None else f"{summary.recorded_share * 100:.2f} %"
    alarms = f"{summary.alarms_raised} raised, {summary.alarms_open} open now"
    lines = [
        f"{summary.day} ({summary.zone}): {summary.units} units",
        f"recorded {share}, lost {hours_text(summary.lost_s)}",
        f"alarms: {alarms}, {summary.alarms_unacknowledged} not acknowledged",
        f"clips: {summary.clips_delivered} delivered, {summary.clips_failed} failed",
        f"not recording now: {', '.join(summary.not_recording) or 'none'}",
        f"not heard from now: {', '.join(summary.not_heard) or 'none'}",
    ]
    head = ("UNIT", "STANDS", "HELD", "LOST", "ALARMS", "CLIPS", "NOT HEARD")
    rows = [
        (
            str(row["unit_id"]),
            str(row["standing"]),
            *(hours_text(int(row[name])) for name in ("held_s", "lost_s")),
            *(str(row[name]) for name in ("alarms", "clips")),
            hours_text(int(row["offline_s"])),
        )
        for row in summary.rows
    ]
    return "\n".join([*map(printable, lines), *([table([head, *rows])] if rows else [])])


def hours_text(seconds: int) -> str:
    """Seconds as `6 h 05 min`."""
    return f"{seconds // 3600} h {seconds % 3600 // 60:02} min"


def _alarm_row(alarm: AlarmRecord) -> tuple[str, ...]:
    return (
        local_text(alarm.raised_us),
        alarm.unit_id,
        alarm.severity,
        _name_of(alarm),
        "-" if alarm.cleared_us is None else local_text(alarm.cleared_us),
        alarm.acknowledged_by or "-",
        alarm.alarm_id,
    )


def _name_of(alarm: AlarmRecord) -> str:
    return f"{alarm.name} ({alarm.camera})" if alarm.camera else alarm.name


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= _MAX_LIST:
        raise argparse.ArgumentTypeError(f"{text!r:.20}: expected a number from 1 to {_MAX_LIST}")
    return int(text)


def _day(text: str) -> str:
    with suppress(ValueError):  # of a day that the calendar lacks
        if _DAY.fullmatch(text):
            return date.fromisoformat(text).isoformat()
    raise argparse.ArgumentTypeError(f"{text!r:.20} is not a day; write 2026-03-29")
