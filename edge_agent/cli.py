"""`edge-agent`: the command line of a unit.

Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 the recorder does not answer, 130 interrupted, 141 done as
far as told and nobody reads on.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edge_agent import __version__
from edge_agent.capture.table import check_scheme
from edge_agent.cli_output import run_read_or_not
from edge_agent.clock import Clock, SystemClock
from edge_agent.errors import EdgeAgentError, RingUnavailableError, SettingsError, UsageError
from edge_agent.logs import set_up_logging
from edge_agent.settings import Settings
from edge_agent.settings_file import check_camera_files, check_link_files, load_settings

DEFAULT_CONFIG = Path("/etc/edge-agent/unit.toml")
EXIT_FAILED = 1
EXIT_SETTINGS = 2
EXIT_UNAVAILABLE = 3
EXIT_INTERRUPTED = 130

Command = Callable[[argparse.Namespace, Settings, Clock], int]


def _run(options: argparse.Namespace, settings: Settings, clock: Clock) -> int:
    from edge_agent.supervise import run_unit

    set_up_logging("run", options.verbose)
    return run_unit(settings, options.config.resolve(), clock, verbose=options.verbose)


def _record(options: argparse.Namespace, settings: Settings, clock: Clock) -> int:
    from edge_agent.recorder import find_camera, run_recorder

    set_up_logging(f"record {options.camera}", options.verbose)
    if not options.take_over:  # a supervisor has looked before; whenever the file is there, the camera is recorded
        check_camera_files(find_camera(settings, options.camera))
    return run_recorder(settings, options.camera, clock, take_over=options.take_over)


def _link(options: argparse.Namespace, settings: Settings, clock: Clock) -> int:
    from edge_agent.link import main_link

    set_up_logging("link", options.verbose)
    if not options.take_over:
        check_link_files(settings)
    return main_link(settings, clock, take_over=options.take_over)


def _identity(_options: argparse.Namespace, settings: Settings, _clock: Clock) -> int:
    from edge_agent.cli_ask import print_identity

    return print_identity(settings)


def _check(options: argparse.Namespace, settings: Settings, clock: Clock) -> int:
    from edge_agent.cli_check import run_check

    return run_check(settings, clock, as_json=options.json)


def _status(options: argparse.Namespace, settings: Settings, clock: Clock) -> int:
    from edge_agent.cli_ask import print_status

    return print_status(settings, clock, as_json=options.json)


def _coverage(options: argparse.Namespace, settings: Settings, clock: Clock) -> int:
    from edge_agent.cli_ask import print_coverage

    return print_coverage(settings, clock, as_json=options.json)


def _clip(options: argparse.Namespace, settings: Settings, clock: Clock) -> int:
    from edge_agent.cli_clip import save_local_clip

    return save_local_clip(options, settings, clock)


def _still(options: argparse.Namespace, settings: Settings, clock: Clock) -> int:
    from edge_agent.cli_still import save_still

    return save_still(options, settings, clock)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(prog="edge-agent", description="Records, keeps and delivers a camera's footage.")
    parser.add_argument("--version", action="version", version=f"edge-agent {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="settings (%(default)s)")
    common.add_argument("--verbose", action="store_true", help="log what only a maintainer wants to see")
    lock = argparse.ArgumentParser(add_help=False)
    lock.add_argument("--take-over", action="store_true", help="as a child of run: end an orphan, wait for storage")
    reader = argparse.ArgumentParser(add_help=False)
    reader.add_argument("--json", action="store_true", help="for programs")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, function: Command, text: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text, parents=[common, *parents])
        added.set_defaults(function=function)
        return added

    add("run", _run, "run the unit: a recorder a camera and the link, kept alive")
    add("record", _record, "run one camera's recorder", lock).add_argument("camera")
    add("link", _link, "run the link to the supervision centre", lock)
    add("check", _check, "check settings, storage, clock, keys and cameras", reader)
    add("identity", _identity, "print the unit's public key for enrolment; made at the first call")
    add("status", _status, "what the recorders say of themselves", reader)
    add("coverage", _coverage, "what the rings hold, with gaps and their causes", reader)
    _add_clip(add("clip", _clip, "write a clip and its signed manifest into a folder or file"))
    _add_still(add("still", _still, "write a picture of what a camera records now into a file"))
    return parser


def _add_still(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("camera")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE.jpg", help="a JPEG; never overwritten"
    )
    parser.add_argument(
        "--wait", type=float, default=3.0, metavar="SECONDS", help="for a new picture, at most 8 (%(default)g)"
    )


def _add_clip(parser: argparse.ArgumentParser) -> None:
    times = "2026-03-29T02:10:00+01:00, local time of the site, now, or -90s, -5m, -2h"
    parser.add_argument("camera")
    parser.add_argument("--from", dest="start", required=True, metavar="TIME", help=times)
    parser.add_argument("--to", dest="end", required=True, metavar="TIME", help="as --from; not itself in the clip")
    parser.add_argument("--reference", required=True, help="of the requisition or case")
    parser.add_argument("--purpose", required=True, help="what the footage is for")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder, or FILE.mp4 for a clip of one part")


def _with_relative_times(arguments: Sequence[str]) -> list[str]:
    """`--from -5m` as `--from=-5m`: argparse takes what begins with a dash for an option."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] in {"--from", "--to"} and argument[:1] == "-" and argument[1:2].isdigit():
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    return run_read_or_not(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    options = build_parser().parse_args(_with_relative_times(sys.argv[1:] if arguments is None else arguments))
    try:
        settings = load_settings(options.config)
        with _naming(options.config):
            for camera in settings.rings:
                check_scheme(camera)
            return int(options.function(options, settings, SystemClock()))
    except (SettingsError, UsageError) as error:
        return _complain(error, EXIT_SETTINGS)
    except RingUnavailableError as error:
        return _complain(error, EXIT_UNAVAILABLE)
    except EdgeAgentError as error:
        return _complain(error, EXIT_FAILED)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


@contextmanager
def _naming(config: Path) -> Iterator[None]:
    """Settings that are refused later than they are read: the sentence begins with their file, too.

    Raises:
        SettingsError: what was raised, with the name of the file.
    """
    try:
        yield
    except SettingsError as error:
        raise SettingsError(f"{config}: {error}") from error


def _complain(error: EdgeAgentError, code: int) -> int:
    print(f"edge-agent: {error}", file=sys.stderr)
    return code
