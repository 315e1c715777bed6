"""Looks a host's name up in a thread that is left behind when it hangs, one at a time.

A resolver that does not answer takes tens of seconds (resolv.conf(5), `timeout` and `attempts`), and nothing ends a
lookup that is under way. In the event loop's own few threads a handful of them would hold up all that waits there.
"""

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

Ask = Callable[..., list[Any]]
"""As `socket.getaddrinfo`."""


class Lookup:
    """One name; a lookup that still hangs is waited for again rather than begun again.

    Args:
        host: name or address.
        port: of TCP.
        ask: answers; may block for long.
    """

    def __init__(self, host: str, port: int, ask: Ask = socket.getaddrinfo) -> None:
        self._host = host
        self._port = port
        self._ask = ask
        self._answer: asyncio.Future[list[str]] | None = None

    async def addresses(self) -> list[str]:
        """Addresses in the order in which they are to be tried, at least one.

        Raises:
            OSError: the name has none, is none, or cannot be looked up.
        """
        if self._answer is None or self._answer.done():
            self._answer = asyncio.get_running_loop().create_future()
            threading.Thread(target=self._run, args=(self._answer,), name="name lookup", daemon=True).start()
        return await asyncio.shield(self._answer)

    def _run(self, answer: asyncio.Future[list[str]]) -> None:
        try:
            found = [str(one[4][0]) for one in self._ask(self._host, self._port, type=socket.SOCK_STREAM)]
        except UnicodeError:  # of Python's IDNA codec: an empty label, or one of over 63 characters
            outcome: list[str] | OSError = OSError(f"{self._host!r} is no name of a host")
        except OSError as error:
            outcome = error
        else:
            outcome = found or OSError(f"{self._host} has no address")
        with suppress(RuntimeError):  # the loop ended before the resolver answered
            answer.get_loop().call_soon_threadsafe(_settle, answer, outcome)


def _settle(answer: asyncio.Future[list[str]], outcome: list[str] | OSError) -> None:
    if isinstance(outcome, OSError):
        answer.set_exception(outcome)
        answer.exception()  # nobody may be waiting any more
    else:
        answer.set_result(outcome)
