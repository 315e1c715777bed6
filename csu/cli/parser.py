"""The arguments, and what an error means for the exit code."""

import argparse
import logging
import re
import sys
from collections.abc import Sequence

from csu.cli import alarms, ask, clip, enrol, expel, fetch, page, serve, units, verify
from csu.cli.common import FAILED, UNREACHABLE, USAGE, Context, complain
from csu.errors import (
    BrokerError,
    CommandFailedError,
    ContractError,
    CsuError,
    CsuSettingsError,
    RegistryError,
    RequestRefusedError,
    ServiceUnreachableError,
)
from edge_agent import __version__
from edge_agent.cli_output import run_read_or_not
from edge_agent.clock import Clock, SystemClock

_RELATIVE = re.compile(r"-\d+[smh]")
_EPILOG = (
    "exit codes: 0 done (a clip: verified), 1 rejected, failed or not verified, 2 usage, 3 no answer in time,"
    " 141 nobody read what it said"
)


def build_parser() -> argparse.ArgumentParser:
    """All subcommands."""
    parser = argparse.ArgumentParser(
        prog="csu", description="Supervision centre: units, commands, clips.", epilog=_EPILOG
    )
    parser.add_argument("--version", action="version", version=f"csu {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="log more, on standard error")
    subcommands = parser.add_subparsers(metavar="COMMAND", required=True)
    for room in (serve, page, enrol, expel, units, alarms, clip, fetch, ask, verify):
        room.add_to(subcommands)
    return parser


def main(argv: Sequence[str] | None = None, clock: Clock | None = None) -> int:
    """Run one subcommand; the exit code."""
    return run_read_or_not(lambda: _run(argv, clock))


def _run(argv: Sequence[str] | None, clock: Clock | None) -> int:
    arguments = build_parser().parse_args(join_times(sys.argv[1:] if argv is None else argv))
    logging.basicConfig(
        level=logging.DEBUG if arguments.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        stream=sys.stderr,
    )
    try:
        return int(arguments.run(Context(arguments, clock or SystemClock())))
    except KeyboardInterrupt:
        return FAILED
    except (CsuError, ContractError) as error:
        complain(str(error) if not isinstance(error, CommandFailedError) else f"{error} [{error.code}]")
        return exit_code(error)


def join_times(argv: Sequence[str]) -> list[str]:
    """`--from -5m` as `--from=-5m`: argparse would take the time for an option."""
    joined: list[str] = []
    for word in argv:
        if joined and joined[-1] in {"--from", "--to"} and _RELATIVE.fullmatch(word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def exit_code(error: CsuError | ContractError) -> int:
    """What an error means to scripts."""
    if isinstance(error, CommandFailedError):
        return FAILED
    if isinstance(error, CsuSettingsError | RequestRefusedError | BrokerError | RegistryError):
        return USAGE
    if isinstance(error, ServiceUnreachableError):
        return UNREACHABLE
    return FAILED
