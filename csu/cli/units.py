"""`csu units` and `csu watch`: what the units said last, and what they say now."""

import argparse
import json
from typing import Any

from csu.cli.common import (
    OK,
    Context,
    add_dir,
    clock_text,
    complain,
    json_text,
    percent_of,
    printable,
    size_text,
    table,
    unit_id,
)
from csu.records import UnitRecord
from csu.views import Reason, UnitSummary
from edge_agent.contract.times import parse_utc

_MAX_REASONS = 3
_PROBES = ("camera", "storage", "power", "network", "clock", "system")


def add_to(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The subcommands' arguments."""
    units = subcommands.add_parser("units", help="the units and what they said last")
    add_dir(units)
    units.add_argument("--json", action="store_true", help="everything, as JSON")
    units.set_defaults(run=run_units)
    watch = subcommands.add_parser("watch", help="what units say, as they say it")
    add_dir(watch)
    watch.add_argument("unit", type=unit_id, metavar="UNIT", nargs="?", help="only this one")
    watch.add_argument("--json", action="store_true", help="one JSON object a line")
    watch.set_defaults(run=run_watch)


def run_units(context: Context) -> int:
    """Print a table, or JSON."""
    client = context.client
    records = {unit.unit_id: unit for unit in client.units()}
    fleet = client.fleet()
    if context.arguments.json:
        standing = {unit.unit_id: {"summary": unit.to_object()} for unit in fleet.units}
        print(json_text([unit.to_object() | standing.get(unit.unit_id, {}) for unit in records.values()], 2))
    elif not fleet.units:
        print("no unit is enrolled; see: csu enrol --help")
    else:
        now_us = context.clock.wall_us()
        rows = [_row(unit, records.get(unit.unit_id), now_us) for unit in fleet.units]
        print(table([("UNIT", "STANDS", "WHY", "HEARD", "ALARMS", "HELD"), *rows]))
    if not fleet.broker_connected:
        complain("the centre has no broker: it hears nobody")
    return OK


def run_watch(context: Context) -> int:
    """Print lines until the service or the person ends it."""
    for item in context.client.watch(context.arguments.unit):
        print(json_text(item) if context.arguments.json else line_of(item), flush=True)
    return OK


def _row(unit: UnitSummary, record: UnitRecord | None, now_us: int) -> tuple[str, ...]:
    return (
        unit.unit_id,
        unit.standing,
        ", ".join(map(reason_text, unit.reasons[:_MAX_REASONS])) or "-",
        "-" if unit.heard_us is None else _ago(now_us - unit.heard_us),
        f"{unit.open_alarms} open, {unit.unacknowledged_alarms} new" if unit.unacknowledged_alarms else "-",
        "-" if record is None else _held(record),
    )


def reason_text(reason: Reason) -> str:
    """A reason in a few words: its code, of what, and which."""
    of = f" {reason.camera}" if reason.camera else ""
    which = next((reason.details[name] for name in ("name", "probe", "cause") if name in reason.details), None)
    figures = reason.details.get("figures")
    beyond = ": " + ", ".join(map(str, figures)) if isinstance(figures, list) and figures else ""
    return f"{reason.code}{of}" + ("" if which is None else f" ({which}{beyond})")


def _ago(age_us: int) -> str:
    age_s = max(0, age_us // 1_000_000)
    for unit_s, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if age_s >= unit_s:
            return f"{age_s // unit_s} {name} ago"
    return f"{age_s} s ago"


def _held(unit: UnitRecord) -> str:
    body = unit.states["coverage"].body if "coverage" in unit.states else {}
    return ", ".join(_held_by(camera) for camera in body.get("cameras", ())) or "-"


def _held_by(camera: dict[str, Any]) -> str:
    if camera.get("oldest") is None or camera.get("newest") is None:
        return f"{camera['camera']}: nothing"
    held_s = (parse_utc(camera["newest"]) - parse_utc(camera["oldest"])) / 1e6
    span = f"{held_s / 3600:.1f} h" if held_s >= 3600 else f"{held_s / 60:.1f} min"
    return f"{camera['camera']}: {span}, {size_text(camera.get('size_bytes'))}"


def line_of(item: dict[str, Any]) -> str:
    """One thing that happened, for people."""
    describe = _DESCRIBE.get(str(item.get("kind")), _describe_state)
    at = item.get("at") or item.get("replied_at") or item.get("issued_at") or item.get("completed_at")
    time_text = clock_text(parse_utc(str(at))) if at else "--:--:--"
    return printable(f"{time_text}  {item.get('unit_id', '-')}  {item.get('kind')}: {describe(item)}")


def _describe_event(item: dict[str, Any]) -> str:
    camera = f" {item['camera']}" if item.get("camera") else ""
    details = json.dumps(item["details"], ensure_ascii=False) if item.get("details") else ""
    return f"{item['name']} {item['state']}{camera} {details}".rstrip()


def _describe_reply(item: dict[str, Any]) -> str:
    progress, error = item.get("progress"), item.get("error")
    words = f"{item['command']} {item['state']}"
    if progress and progress.get("total_bytes"):
        words += f" {percent_of(progress.get('sent_bytes'), progress['total_bytes'])} %"
    return words + (f" [{error['code']}] {error['message']}" if error else "")


def _describe_command(item: dict[str, Any]) -> str:
    return f"{item['cmd']} {item['state']} (sent {item['sent']} times) {item['command_id']}"


def _describe_clip(item: dict[str, Any]) -> str:
    return f"{item['verdict']} {item['folder']}" + (f": {item['reason']}" if item.get("reason") else "")


def _describe_state(item: dict[str, Any]) -> str:
    body = item.get("body", {})
    if item.get("kind") == "status":
        return f"{body.get('state')}, version {body.get('software_version', '-')}"
    if item.get("kind") == "alarms":
        return ", ".join(alarm["name"] for alarm in body.get("alarms", ())) or "none"
    if item.get("kind") == "health":
        return ", ".join(f"{name} {body[name].get('state')}" for name in _PROBES if isinstance(body.get(name), dict))
    return "new"


def _describe_unit(item: dict[str, Any]) -> str:
    reasons = ", ".join(reason_text(Reason.from_object(reason)) for reason in item.get("reasons", ()))
    return f"{item['standing']}" + (f": {reasons}" if reasons else "")


def _describe_alarm(item: dict[str, Any]) -> str:
    camera = f" {item['camera']}" if item.get("camera") else ""
    state = "over" if item.get("cleared_at") else "raised"
    by = f", acknowledged by {item['acknowledged_by']}" if item.get("acknowledged_by") else ""
    return f"{item['severity']} {item['name']}{camera} {state}{by}"


def _describe_service(item: dict[str, Any]) -> str:
    return "connected to the broker" if item.get("broker_connected") else "without a broker: nobody is heard"


_DESCRIBE = {
    "unit": _describe_unit,
    "unit-removed": lambda _item: "is shut out",
    "alarm": _describe_alarm,
    "service": _describe_service,
    "event": _describe_event,
    "reply": _describe_reply,
    "command": _describe_command,
    "clip": _describe_clip,
}
