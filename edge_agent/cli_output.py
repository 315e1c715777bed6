"""The end of a command whose output nobody reads any more: `edge-agent clip … | head -1`.

Python ignores SIGPIPE, and has to: a connection that ends must not end a recorder. So what ends other tools comes as
BrokenPipeError, at some `print` or at the interpreter's last flush. A command of ours then ends as those do, without
a word, with the code that a shell shows for a tool which SIGPIPE ended. What it told of was done before.
"""

import os
import select
import signal
import sys
from collections.abc import Callable
from typing import TextIO

EXIT_UNREAD = 128 + signal.SIGPIPE


def run_read_or_not(command: Callable[[], int]) -> int:
    """Run a command and bring its output out; its exit code, or `EXIT_UNREAD` when nobody reads that.

    Raises:
        BrokenPipeError: of another pipe than standard output and standard error.
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
    return code


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
