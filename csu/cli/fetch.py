"""`csu fetch`: the files of a clip that was asked for before; and what `csu clip` does once it has asked."""

import argparse
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from csu.cli.common import (
    FAILED,
    OK,
    Context,
    add_dir,
    add_timeout,
    check_end,
    complain,
    default_dir,
    printable,
    request_id,
    unit_id,
)
from csu.cli.deliver import deliver
from csu.cli.progress import ClipProgress, make_view
from csu.errors import CsuError, CsuSettingsError, ServiceUnreachableError
from csu.records import ClipRecord, CommandRecord
from edge_agent.contract.manifest import MANIFEST_FILE_NAME

SILENCE_S = 300.0


def add_to(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The subcommand's arguments."""
    parser = subcommands.add_parser("fetch", help="fetch a clip that csu clip asked for before")
    parser.add_argument("unit", type=unit_id, metavar="UNIT")
    parser.add_argument("clip", type=request_id, metavar="CLIP", help="the id that csu clip printed")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="where its files are put")
    add_dir(parser)
    add_timeout(parser, SILENCE_S)
    parser.set_defaults(run=run)


def run(context: Context) -> int:
    """Wait for the verdict if there is none, then deliver; 0 when the clip was verified."""
    arguments = context.arguments
    check_folder(arguments.out)
    command, _ = context.client.look(arguments.clip)
    if command.cmd != "clip.request":
        raise CsuSettingsError(f"{arguments.clip} is the id of a {command.cmd}, not of a clip")
    if command.unit_id != arguments.unit:
        raise CsuSettingsError(f"clip {arguments.clip} was asked of {command.unit_id}, not of {arguments.unit}")
    return follow(context, command)


def follow(context: Context, command: CommandRecord) -> int:
    """Show a clip's way until its verdict, then put its files into `--out`.

    Raises:
        CommandFailedError: the unit did not deliver, and said why.
        ServiceUnreachableError: nothing was heard for `--timeout`, or the command expired.
        CsuSettingsError: `--out` cannot be written.
    """
    last, clip = command, None
    with telling_that_it_goes_on(context, command), make_view(context.clock) as view:
        progress = ClipProgress(view)
        for last, clip in context.client.follow(command.command_id, context.arguments.timeout):
            progress.show(last, clip)
    if clip is None:
        check_end(last)
        return FAILED
    with _telling_how_to_fetch(context, clip):
        return _hand_out(context, clip)


def _hand_out(context: Context, clip: ClipRecord) -> int:
    folder, out = Path(clip.folder), context.arguments.out
    verified = clip.verdict == "verified"
    if folder.is_dir():
        for name in deliver(folder, out):
            print(printable(out / name), flush=True)
    elif verified:
        raise CsuError(f"clip {clip.clip_id} was verified; its files are no longer in {folder}")
    if verified:
        print("verified: signature, digests, lengths, pictures and interval match the manifest", flush=True)
        return OK
    print(f"NOT VERIFIED: {printable(clip.reason)}", flush=True)
    return FAILED


@contextmanager
def telling_that_it_goes_on(context: Context, command: CommandRecord) -> Iterator[None]:
    """For who ends before the request does: after `--timeout`, by Ctrl-C, or by `csu clip … | head -1`."""
    try:
        yield
    except ServiceUnreachableError as error:
        complain(str(error))
        raise ServiceUnreachableError(_what_goes_on(context, command)) from error
    except (KeyboardInterrupt, BrokenPipeError):
        complain(_what_goes_on(context, command))
        raise


@contextmanager
def _telling_how_to_fetch(context: Context, clip: ClipRecord) -> Iterator[None]:
    """For who ends after the verdict, or gave a folder that takes no more."""
    try:
        yield
    except (KeyboardInterrupt, BrokenPipeError, CsuSettingsError):
        again = _words(context, "fetch", clip.unit_id, clip.clip_id, "-o", "DIR")
        complain(f"clip {clip.clip_id} is {clip.verdict}; what is missing in {context.arguments.out}: {again}")
        raise


def _what_goes_on(context: Context, command: CommandRecord) -> str:
    ids = command.unit_id, command.command_id
    fetch = _words(context, "fetch", *ids, "-o", str(context.arguments.out))
    return (
        f"request {command.command_id} goes on; its clip later: {fetch}; to end it: {_words(context, 'cancel', *ids)}"
    )


def _words(context: Context, *words: str) -> str:
    """A command as it is to be typed here."""
    directory = context.arguments.dir
    more = () if directory == default_dir() else ("--dir", str(directory))
    return shlex.join(("csu", *words, *more))


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
