"""`python -m csu.demo.relay DESCRIPTOR:PORT …`: hands on what comes to listening sockets to ports of this machine.

It is the road between a unit and its centre. Stopped (SIGSTOP), it is a network that has gone away without a word:
nothing is refused and nothing arrives; continued, it hands on what waited, as TCP does when a network returns.
"""

import asyncio
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

_CHUNK_BYTES = 65_536


async def relay(roads: Sequence[tuple[socket.socket, int]]) -> None:
    """Serve listening sockets until SIGTERM.

    Args:
        roads: each with the port on 127.0.0.1 that it leads to.
    """
    end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    servers = [await asyncio.start_server(partial(_join, port), sock=listener) for listener, port in roads]
    await end.wait()
    for server in servers:
        server.close()


async def _join(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, until either side ends it."""
    with suppress(OSError):
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_carry(reader, there_writer), _carry(there_reader, writer))
    writer.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction; the end of it ends the other one's writing side too."""
    try:
        while data := await reader.read(_CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


def _road(word: str) -> tuple[socket.socket, int]:
    descriptor, port = map(int, word.split(":"))
    return socket.socket(fileno=descriptor), port


if __name__ == "__main__":
    asyncio.run(relay([_road(word) for word in sys.argv[1:]]))
