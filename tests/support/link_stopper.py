"""The link, stopping itself: `python -m tests.support.link_stopper SETTINGS`.

It sends itself SIGSTOP before each statement that its database begins and at each step of a command, and before every
`EVERY`-th call on a socket. Whoever watches it sends SIGCONT.
"""

import os
import signal
import socket
import sqlite3
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from edge_agent.clock import SystemClock
from edge_agent.link import main_link
from edge_agent.logs import set_up_logging
from edge_agent.settings_file import load_settings

EVERY = 3
_SOCKET_CALLS = ("connect", "connect_ex", "send", "sendall", "sendmsg", "recv", "recv_into", "close")
_calls = count()


def stop(_what: object = None) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def stop_at_database() -> None:
    """Every connection stops the process before each statement, in transactions too."""
    connect = sqlite3.connect

    def connect_stopping(*arguments: Any, **options: Any) -> sqlite3.Connection:  # noqa: ANN401 -- passed on
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.set_trace_callback(stop)
        return connection

    sqlite3.connect = connect_stopping  # type: ignore[assignment]  # narrower than the overloads, and passed on


def stop_at_sockets() -> None:
    for name in _SOCKET_CALLS:
        setattr(socket.socket, name, _stopping(getattr(socket.socket, name)))


def _stopping(call: Callable[..., Any]) -> Callable[..., Any]:
    def stopping(self: socket.socket, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 -- passed on
        if next(_calls) % EVERY == 0:
            stop()
        return call(self, *arguments, **options)

    return stopping


def main(arguments: list[str]) -> int:
    set_up_logging("link")
    settings = load_settings(Path(arguments[0]))
    stop_at_database()
    stop_at_sockets()
    return main_link(settings, SystemClock(), step_hook=stop)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
