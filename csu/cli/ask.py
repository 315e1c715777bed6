"""Thin commands to a unit: `csu cancel`, `query`, `coverage`, `check`, `clips`."""

import argparse
from typing import Any

from pydantic import Field

from csu.cli.common import (
    FAILED,
    OK,
    Context,
    add_order,
    ask,
    camera_name,
    json_text,
    local_text,
    parse_time,
    printable,
    request_id,
    table,
    unit_id,
)
from csu.errors import ContractError
from edge_agent.contract.model import ContractModel
from edge_agent.contract.times import UtcText, format_utc

_QUERY_LIFETIME_S = 3600
_CANCEL_LIFETIME_S = 24 * 3600
_CHECK_LIFETIME_S = 30
_MAX_PAGES = 1000


class _Interval(ContractModel):
    """A `contract.messages.CoverageInterval` for display: a newer unit may know causes that we do not."""

    start_us: UtcText = Field(alias="from")
    end_us: UtcText = Field(alias="to")
    held: bool = False
    cause: str | None = None


def add_to(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The subcommands' arguments."""
    cancel = subcommands.add_parser("cancel", help="end a clip request")
    _add_unit(cancel)
    cancel.add_argument("clip", type=request_id, metavar="CLIP", help="the id that csu clip printed")
    cancel.set_defaults(run=run_cancel)
    query = subcommands.add_parser("query", help="ask a unit what became of a command")
    _add_unit(query)
    query.add_argument("command", type=request_id, metavar="COMMAND", help="its id")
    query.set_defaults(run=run_query)
    coverage = subcommands.add_parser("coverage", help="what a camera's ring holds, and its gaps")
    _add_unit(coverage)
    coverage.add_argument("camera", type=camera_name, metavar="CAMERA")
    coverage.add_argument("--from", dest="start", default="-24h", metavar="T", help="default: -24h")
    coverage.add_argument("--to", dest="end", default="now", metavar="T", help="default: now")
    coverage.add_argument("--zone", metavar="NAME", help="of times without offset (default: this machine's)")
    coverage.add_argument("--json", action="store_true", help="one JSON object a line")
    coverage.set_defaults(run=run_coverage)
    check = subcommands.add_parser("check", help="let a unit run all its probes now")
    _add_unit(check, _CHECK_LIFETIME_S)
    check.add_argument("--json", action="store_true", help="as JSON")
    check.set_defaults(run=run_check)
    clips = subcommands.add_parser("clips", help="the clips that a unit knows, newest first")
    _add_unit(clips)
    clips.set_defaults(run=run_clips)


def run_cancel(context: Context) -> int:
    """End a clip request."""
    clip_id = context.arguments.clip
    result = ask(context, "clip.cancel", {"clip_id": clip_id}, _CANCEL_LIFETIME_S)
    if result.get("cancelled") is False:
        print(f"clip {clip_id} had ended already: {printable(result.get('state'))}")
        return FAILED
    print(f"clip {clip_id} is cancelled")
    return OK


def run_query(context: Context) -> int:
    """Print what the unit says of a command."""
    result = ask(context, "command.query", {"command_id": context.arguments.command}, _QUERY_LIFETIME_S)
    print(json_text(result, 2))
    return OK


def run_clips(context: Context) -> int:
    """Print what the unit says of its clips."""
    print(json_text(ask(context, "clip.list", {}, _QUERY_LIFETIME_S), 2))
    return OK


def run_check(context: Context) -> int:
    """Run the unit's probes; 1 when one is critical."""
    result = ask(context, "unit.check", {}, _CHECK_LIFETIME_S)
    probes = {name: probe for name, probe in result.items() if isinstance(probe, dict) and "state" in probe}
    if context.arguments.json or not probes:
        print(json_text(result, 2))
    else:
        rows = [row for name in sorted(probes) for row in probe_rows(name, probes[name])]
        print(table([("PROBE", "STATE", "FIGURES"), *rows]))
    return FAILED if any(probe["state"] == "critical" for probe in probes.values()) else OK


def run_coverage(context: Context) -> int:
    """Print intervals and gaps, page after page."""
    arguments = context.arguments
    now_us = context.clock.wall_us()
    params: dict[str, Any] = {
        "camera": arguments.camera,
        "from": format_utc(parse_time(arguments.start, arguments.zone, now_us, "--from")),
        "to": format_utc(parse_time(arguments.end, arguments.zone, now_us, "--to")),
    }
    for _ in range(_MAX_PAGES):
        page = ask(context, "coverage.query", params, _QUERY_LIFETIME_S)
        intervals = page.get("intervals", ())
        if not isinstance(intervals, list | tuple):
            raise ContractError(f"{arguments.unit} answered with something else than a list of intervals")
        for interval in intervals:
            print(json_text(interval) if arguments.json else _interval_line(interval))
        if page.get("cursor") is None:
            return OK
        params["cursor"] = page["cursor"]
    return OK


def _add_unit(parser: argparse.ArgumentParser, silence_s: float = 120.0) -> None:
    parser.add_argument("unit", type=unit_id, metavar="UNIT")
    add_order(parser, silence_s)


def probe_rows(name: str, probe: dict[str, Any], indent: str = "") -> list[tuple[str, str, str]]:
    """A probe's row, and one for each thing inside it, such as a camera."""
    inner = [(key, value) for key, value in probe.items() if isinstance(value, dict)]
    figures = ", ".join(
        f"{key} {_value_text(value)}"
        for key, value in probe.items()
        if key != "state" and value is not None and not isinstance(value, dict)
    )
    rows = [(indent + name, str(probe.get("state", "")), figures)] if figures or "state" in probe else []
    for key, value in inner:
        rows += probe_rows(key, value, f"{indent}  ")
    return rows


def _value_text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _interval_line(answer: object) -> str:
    interval = _Interval.from_object(answer)
    start_us, end_us = interval.start_us, interval.end_us
    state = "held" if interval.held else f"gap ({printable(interval.cause or 'unknown')})"
    return f"{local_text(start_us)} – {local_text(end_us)}  {(end_us - start_us) / 1e6:9.1f} s  {state}"
