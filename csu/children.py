"""Processes that end with the one that started them, what they inherit, and those that a killed one left behind."""

import logging
import os
import resource
import select
import shutil
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from csu.errors import CsuError

_log = logging.getLogger(__name__)

_END_TIMEOUT_S = 5.0
_IF_PARENT_LIVES = 'parent=$1; shift; [ "$PPID" = "$parent" ] && exec "$@"'


def bound(command: Sequence[str | Path], number: signal.Signals = signal.SIGTERM) -> list[str]:
    """The command so that the kernel signals it when the thread that starts it ends (prctl(2), PR_SET_PDEATHSIG).

    setpriv(1) of util-linux sets it, since Python may not run code between fork and exec; a shell then makes sure
    that the parent did not end before that. Without setpriv the command is unchanged. It replaces both, so that the
    process id is the command's own.
    """
    words = list(map(str, command))
    setpriv = shutil.which("setpriv") or shutil.which("setpriv", path="/usr/bin:/bin")
    if setpriv is None:
        return words
    guard = [setpriv, "--pdeathsig", number.name.removeprefix("SIG")]
    return [*guard, "/bin/sh", "-c", _IF_PARENT_LIVES, "sh", str(os.getpid()), *words]


def allow_open_files(pid: int) -> None:
    """Raise a child's limit of open files as far as its hard limit lets it (prlimit(2)).

    The usual soft limit is 1024 (systemd.exec(5)), for the sake of programs that use select(2). mosquitto does not,
    and would refuse the 1,017th unit; paho does, so that our own limit stays as it is.

    Raises:
        OSError: the child is gone.
    """
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))


def wait_readable(descriptors: Sequence[int], timeout_s: float) -> bool:
    """Whether one of them has something to say before the time is over; of any number, unlike select(2)'s 1023."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


def end_leftover(pid_file: Path, argument: Path) -> None:
    """End the process that a pid file names, if it really was started with `argument` among its words.

    Raises:
        CsuError: it does not end.
    """
    try:
        pid = int(pid_file.read_text(encoding="ascii"))
        descriptor = os.pidfd_open(pid)
    except (OSError, ValueError, OverflowError):
        return  # no pid file, no such process
    try:
        if _runs_with(pid, argument):
            _log.warning("ending process %d, which was left behind", pid)
            _end(descriptor, pid)
    finally:
        os.close(descriptor)


def _runs_with(pid: int, argument: Path) -> bool:
    try:
        return str(argument).encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def _end(descriptor: int, pid: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, number)
        if wait_readable([descriptor], _END_TIMEOUT_S):
            return
    raise CsuError(f"process {pid}, left behind by an earlier run, does not end; end it and start again")
