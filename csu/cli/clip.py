"""`csu clip`: ask a unit for footage, show how it comes, put the verified files where they are wanted."""

import argparse
import filecmp
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from csu.cli.common import FAILED, OK, Context, add_order, check_end, complain, local_text, parse_time, printable
from csu.cli.progress import ClipView, make_view
from csu.errors import CsuSettingsError
from csu.records import ClipRecord, CommandRecord
from edge_agent.contract.manifest import MANIFEST_FILE_NAME
from edge_agent.contract.times import format_utc
from edge_agent.durable import fsync_directory, make_directory

_LIFETIME_S = 7 * 24 * 3600
_SILENCE_S = 300.0
_DURATION = re.compile(r"[0-9]{1,7}[smh]")


def add_to(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The subcommand's arguments."""
    parser = subcommands.add_parser("clip", help="fetch footage of a unit, verified")
    parser.add_argument("unit", metavar="UNIT")
    parser.add_argument("--camera", required=True, help="such as main")
    parser.add_argument("--from", dest="start", metavar="T", help="2026-03-29T02:10:00+01:00, 2026-03-29T02:10, -5m")
    parser.add_argument("--to", dest="end", metavar="T", help="as --from; not part of the clip itself")
    parser.add_argument("--last", metavar="DURATION", help="instead of both: 10s, 5m or 2h up to now")
    parser.add_argument("--zone", metavar="NAME", help="of times without offset (default: this machine's)")
    parser.add_argument("--reference", required=True, help="of the requisition")
    parser.add_argument("--purpose", required=True, help="why the footage is needed")
    parser.add_argument("--priority", choices=("urgent", "normal", "background"), default="normal")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="where its files are put")
    add_order(parser, _SILENCE_S)
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
    with _telling_that_it_goes_on(command):
        print(f"asked {arguments.unit} for {arguments.camera}, {local_text(start_us)} to {local_text(end_us)}")
        print(f"clip {command.command_id}", flush=True)
        if not any(unit.is_online for unit in context.client.units() if unit.unit_id == arguments.unit):
            print(f"{arguments.unit} is not online; the request waits for it", flush=True)
    return follow(context, command)


@contextmanager
def _telling_that_it_goes_on(command: CommandRecord) -> Iterator[None]:
    """For who stops to listen before the end: by Ctrl-C, or by `csu clip … | head -1`."""
    try:
        yield
    except (KeyboardInterrupt, BrokenPipeError):
        complain(f"the request goes on; to end it: csu cancel {command.unit_id} {command.command_id}")
        raise


def follow(context: Context, command: CommandRecord) -> int:
    """Show a clip's way until its verdict, then put its files into `--out`."""
    last, clip = command, None
    with _telling_that_it_goes_on(command), make_view(context.clock) as view:
        for last, clip in context.client.follow(command.command_id, context.arguments.timeout):
            _show(view, last, clip)
    if clip is None:
        check_end(last)
        return FAILED
    if not Path(clip.folder).is_dir():
        print(f"NOT VERIFIED: {printable(clip.reason)}")
        return FAILED
    names = deliver(Path(clip.folder), context.arguments.out)
    for name in names:
        print(printable(context.arguments.out / name))
    if clip.verdict == "verified":
        print("verified: signature, digests, lengths, pictures and interval match the manifest")
        return OK
    print(f"NOT VERIFIED: {printable(clip.reason)}")
    return FAILED


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
        return parse_time(f"-{arguments.last}", arguments.zone, now_us), now_us
    if not arguments.start or not arguments.end:
        raise CsuSettingsError("give --from and --to, or --last 10s")
    start_us = parse_time(arguments.start, arguments.zone, now_us)
    end_us = parse_time(arguments.end, arguments.zone, now_us)
    if end_us <= start_us:
        raise CsuSettingsError(f"--to {arguments.end} is not after --from {arguments.start}")
    return start_us, end_us


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds a clip already, since two manifests would have one name, or that takes no file.

    Raises:
        CsuSettingsError: it does, is no folder, or cannot be made or written.
    """
    if (folder / MANIFEST_FILE_NAME).exists():
        raise CsuSettingsError(f"-o {folder} holds a clip already; name another folder")
    if folder.exists() and not folder.is_dir():
        raise CsuSettingsError(f"-o {folder} is not a folder")
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass  # it can be written; nothing is left
    except OSError as error:
        raise CsuSettingsError(f"-o {folder} cannot be written: {error}; name another folder") from error


def deliver(source: Path, folder: Path) -> list[str]:
    """Put a clip's files into a folder: hard links where the file system allows, else copies. Their names.

    Raises:
        CsuSettingsError: the folder cannot be written, or another file has the name of one.
    """
    try:
        make_directory(folder)
        names = sorted(path.name for path in source.iterdir() if path.is_file())
        for name in names:
            _link_or_copy(source / name, folder / name)
        fsync_directory(folder)
    except OSError as error:
        raise CsuSettingsError(f"the clip lies in {source}, but -o {folder} cannot be written: {error}") from error
    return names


def _link_or_copy(source: Path, target: Path) -> None:
    if target.exists():
        if filecmp.cmp(source, target, shallow=False):
            return
        raise CsuSettingsError(f"{target} is there with other content; the clip lies in {source.parent}")
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
        with target.open("rb") as copied:
            os.fsync(copied.fileno())


def _show(view: ClipView, command: CommandRecord, clip: ClipRecord | None) -> None:
    progress: dict[str, Any] = (command.reply or {}).get("progress") or {}
    total_bytes = int(progress.get("total_bytes", 0))
    if total_bytes:
        view.bytes(int(progress.get("sent_bytes", 0)) if clip is None else total_bytes, total_bytes)
    if clip is not None:
        view.state("verifying" if clip.verdict == "pending" else clip.verdict)
    elif command.error is not None and command.state == "waiting":
        view.state(f"waiting: {command.error.message}")
    else:
        view.state(command.state)
