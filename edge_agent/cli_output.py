"""The end of a command whose output nobody reads any more: `edge-agent clip … | head -1`.

Python ignores SIGPIPE, and has to: a connection that ends must not end a recorder. So what ends other tools comes as
BrokenPipeError, at some `print` or at the interpreter's last flush. A command of ours then ends as those do, without
a word, with the code that a shell shows for a tool which SIGPIPE ended. What it told of was done before.

Output that goes to a file on a full disk ends a command with one sentence.
"""

import errno
import os
import select
import signal
import sys
from collections.abc import Callable
from typing import TextIO

EXIT_UNREAD = 128 + signal.SIGPIPE
EXIT_UNWRITTEN = 1
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def run_read_or_not(command: Callable[[], int]) -> int:
    """Run a command and bring its output out; its exit code, or the one for output that does not get there.

    That is `EXIT_UNREAD` when nobody reads it, `EXIT_UNWRITTEN` when no room is left for it.

    Raises:
        BrokenPipeError: of another pipe than standard output and standard error.
        OSError: the command's own.
    """
    try:
        try:
            code = command()
        except SystemExit:  # as argparse ends after --help
            _flush()
            raise
        _flush()
    except BrokenPipeError:
        unread = [stream for stream in (sys.stdout, sys.stderr) if stream is not None and _is_unread(stream)]
        if not unread:
            raise
        for stream in unread:
            _drop(stream)
        return EXIT_UNREAD
    except OSError as error:
        if error.errno not in _NO_ROOM or sys.stdout is None or not _takes_no_more(sys.stdout):
            raise
        _drop(sys.stdout)
        print(f"standard output cannot be written: {error.strerror}", file=sys.stderr)
        return EXIT_UNWRITTEN
    return code


def _takes_no_more(stream: TextIO) -> bool:
    """Whether a further line cannot be written either."""
    try:
        print(file=stream, flush=True)
    except OSError:
        return True
    return False


def _flush() -> None:
    if sys.stdout is not None:  # closed by whoever started us
        sys.stdout.flush()


def _is_unread(stream: TextIO) -> bool:
    """Whether the other end of a pipe or socket is closed (poll(2), POLLERR)."""
    watch = select.poll()
    watch.register(stream.fileno(), 0)
    return any(state & (select.POLLERR | select.POLLHUP) for _, state in watch.poll(0))


def _drop(stream: TextIO) -> None:
    """What is still buffered goes nowhere, and the flush at the interpreter's end has nothing to complain of."""
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
