"""The command line of the demonstration."""

import argparse
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from csu.demo.demonstration import Demonstration, Options
from csu.errors import CsuError, CsuSettingsError
from edge_agent.clock import Clock, SystemClock
from edge_agent.contract.errors import ContractError

_SOURCES = frozenset({"file", "rtsp", "rtsps", "test"})
_DESCRIPTION = "A broker, the reference CSU and units on this machine; a clip of each is fetched over MQTT."


def check_source(text: str) -> str:
    """A file's path made absolute, since the unit runs elsewhere.

    Raises:
        CsuSettingsError: it is no camera, or names no file.
    """
    kind, colon, rest = text.partition(":")
    if not colon or kind not in _SOURCES:
        raise CsuSettingsError(f"--source {text}: expected file:street.mp4, rtsp://…, or test:")
    if kind != "file":
        return text
    path = Path(rest).expanduser().absolute()
    if not path.is_file():
        raise CsuSettingsError(f"--source {text}: no such file")
    return f"file:{path}"


def _seconds(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 600:
        raise argparse.ArgumentTypeError(f"{text!r}: expected 1 to 600 seconds")
    return int(text)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=_DESCRIPTION)
    add = parser.add_argument
    add("--dir", type=Path, default=Path("demo-data"), help="working directory (default: %(default)s)")
    add(
        "--source",
        help="each camera: test:, file:street.mp4, rtsp://… (default: test:, of several units a drawn file each)",
    )
    add("--seconds", type=_seconds, default=10, metavar="N", help="length of a clip (default: %(default)s)")
    add(
        "--units",
        type=int,
        choices=(1, 2, 3),
        default=1,
        help="how many; the last of several loses its camera and its network now and then (default: %(default)s)",
    )
    add("--once", action="store_true", help="fetch one clip of each unit, then end; of several after one such loss")
    return parser.parse_args(argv)


class _Interruption:
    """SIGTERM and Ctrl-C end the demonstration, whatever it is about to do."""

    def __init__(self) -> None:
        self.number: int | None = None
        """Which came; `csu clip` makes a code of its own of one that comes during it."""

    def arm(self) -> None:
        """From now on; a Ctrl-C that whoever started us wants ignored stays so."""
        signal.signal(signal.SIGTERM, self._interrupt)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._interrupt)

    def disarm(self) -> None:
        """The end has begun and goes on to its own end."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)

    def _interrupt(self, number: int, _frame: object) -> None:
        self.number = number
        raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None, clock: Clock | None = None) -> int:
    """Run the demonstration.

    Returns:
        0 when each clip was verified, also when a signal ended what runs on after them; 1 when one was not, 2 for
        usage or settings, 128 and the signal's number when one came before they were.
    """
    arguments = _parse(argv)
    interruption = _Interruption()
    interruption.arm()
    code_if_ended = None
    try:
        source = None if arguments.source is None else check_source(arguments.source)
        options = Options(arguments.dir, source, arguments.seconds, arguments.units)
        demonstration = Demonstration(options, clock or SystemClock())
        with ExitStack() as stack:
            stack.callback(demonstration.stop)
            stack.callback(interruption.disarm)
            folders = demonstration.run_cycle()
            if arguments.once:
                demonstration.trouble_once()
            code_if_ended = 0
            if not arguments.once:
                print(demonstration.commands_to_try(folders[0]), flush=True)
                demonstration.go_on()
            demonstration.say("ending the units and the centre")
    except (CsuError, ContractError, OSError, KeyboardInterrupt) as error:
        if interruption.number is None:
            print(f"demo: {error}", file=sys.stderr)
            return 2 if isinstance(error, CsuSettingsError) else 1
        print("\nended", flush=True)
        return 128 + interruption.number if code_if_ended is None else code_if_ended
    return 0
