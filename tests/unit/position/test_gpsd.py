"""The client of gpsd, against servers that are not."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from edge_agent.clock import FakeClock
from edge_agent.position.gpsd import MAX_BAD_LINES, MAX_BYTES_PER_S, MAX_LINE_BYTES, MAX_LINES_PER_S, GpsdClient
from edge_agent.position.lookup import Lookup
from edge_agent.position.reports import Report, Tpv, Version
from tests.support.polling import until
from tests.unit.position.reports import line

GREETING = line(cls="VERSION", release="3.22", rev="3.22", proto_major=3, proto_minor=14)
LONG_SKY = line(cls="SKY", satellites=[{"PRN": number, "used": True} for number in range(4000)])
FIX = line(mode=3, lat=45.7, lon=4.8)

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Ears:
    """What the client told (`gpsd.ReportSink`)."""

    reports: list[Report] = field(default_factory=list)
    bad_lines: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)

    def on_report(self, report: Report, arrived_us: int) -> None:
        self.reports.append(report)

    def on_bad_line(self, reason: str) -> None:
        self.bad_lines.append(reason)

    def on_gone(self, reason: str) -> None:
        self.ends.append(reason)

    def fixes(self) -> int:
        return sum(isinstance(report, Tpv) for report in self.reports)


class ThreeTries(FakeClock):
    """After three pauses the client is left waiting, so that no connection is being made when a test ends."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses = 0

    async def async_sleep(self, seconds: float) -> None:
        self.pauses += 1
        if self.pauses >= 3:
            await asyncio.Event().wait()
        await super().async_sleep(seconds)


@asynccontextmanager
async def listening(
    script: Script, silence_timeout_s: float = 5.0, addresses: tuple[str, ...] = ("127.0.0.1",)
) -> AsyncIterator[Ears]:
    """A client of a server that does what the script says at each connection."""

    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError):
            await script(reader, writer)
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        serving.add(task)
        task.add_done_callback(serving.discard)

    ears = Ears()
    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    clock = ThreeTries()
    lookup = Lookup("gps.example", port, lambda *_name, **_kind: [(0, 0, 0, "", (found,)) for found in addresses])
    client = GpsdClient("gps.example", port, ears, clock, silence_timeout_s, lookup)
    running = asyncio.create_task(client.run())
    try:
        yield ears
        assert not running.done()
    finally:
        if ears.ends:
            await until(lambda: clock.pauses >= 3, what="the client left waiting")
        running.cancel()
        await asyncio.wait({running})
        await until(lambda: not serving, what="every connection served to its end")
        server.close()


async def say(writer: asyncio.StreamWriter, *lines: bytes) -> None:
    writer.writelines(lines)
    await writer.drain()


async def hold(reader: asyncio.StreamReader) -> None:
    """Until the client leaves."""
    while await reader.read(4096):
        continue


async def test_it_asks_to_watch_after_the_greeting_and_takes_what_comes() -> None:
    asked: list[bytes] = []

    async def gpsd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await say(writer, GREETING)
        asked.append(await reader.readline())
        await say(writer, FIX, FIX)
        await hold(reader)

    async with listening(gpsd) as ears:
        await until(lambda: ears.fixes() == 2, what="both fixes")
        assert asked == [b'?WATCH={"enable":true,"json":true,"pps":true};\n']
        assert ears.reports[0] == Version("3.22")
        assert ears.ends == []


async def test_garbage_between_reports_is_counted_and_passed_over() -> None:
    async def gpsd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await say(writer, GREETING, b"\x00\xff\n", FIX, b'{"class":"TPV","mode":3,"lat":nan,"lon":1}\n', FIX, b"\n")
        await hold(reader)

    async with listening(gpsd) as ears:
        await until(lambda: len(ears.bad_lines) == 3, what="three bad lines")
        assert ears.fixes() == 2
        assert ears.ends == []


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "no gpsd"),
        (b"+OK Dovecot ready.\r\n", "no gpsd"),
        (FIX, "no VERSION"),
        (line(cls="VERSION", release="9", proto_major=4), "another version"),
        (b"x" * (MAX_LINE_BYTES + 10), "over"),
        (b"", "closed the connection"),
        (b"\x16\x03\x01 no line ends here", "closed the connection"),
    ],
)
async def test_another_protocol_on_the_port_is_told_and_tried_again(greeting: bytes, words: str) -> None:
    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await say(writer, greeting)

    async with listening(other) as ears:
        await until(lambda: len(ears.ends) >= 3, what="three attempts")
        assert all(words in reason for reason in ears.ends)
        assert ears.fixes() == 0


async def test_a_server_that_waits_to_be_spoken_to_is_no_gpsd() -> None:
    async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hold(reader)

    async with listening(http, silence_timeout_s=0.2) as ears:
        await until(lambda: len(ears.ends) >= 2, what="two attempts")
        assert all("silent" in reason for reason in ears.ends)


async def test_one_that_falls_silent_is_left_and_connected_to_again() -> None:
    connections = 0

    async def gpsd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await say(writer, GREETING, FIX)
        await hold(reader)

    async with listening(gpsd, silence_timeout_s=0.2) as ears:
        await until(lambda: ears.fixes() >= 2, what="a fix over a second connection")
        assert connections >= 2
        assert "silent" in ears.ends[0]


@pytest.mark.parametrize(
    ("babble", "words"),
    [
        ([b"noise\n"] * MAX_BAD_LINES, "in a row"),
        ([b"y" * (MAX_LINE_BYTES + 1)], "a line of over"),
        ([FIX] * (MAX_LINES_PER_S + 2), "lines a second"),
        ([LONG_SKY] * (MAX_BYTES_PER_S // len(LONG_SKY) + 2), "MB a second"),
    ],
    ids=["noise", "endless line", "flood", "flood of long lines"],
)
async def test_babble_ends_the_connection_and_nothing_else(babble: list[bytes], words: str) -> None:
    async def gpsd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await say(writer, GREETING, *babble)
        await hold(reader)

    async with listening(gpsd) as ears:
        await until(lambda: len(ears.ends) >= 2, what="two attempts")
        assert all(words in reason for reason in ears.ends)


async def test_nobody_at_the_port_is_told_at_each_attempt() -> None:
    ears = Ears()
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    running = asyncio.create_task(GpsdClient("127.0.0.1", port, ears, ThreeTries()).run())
    await until(lambda: len(ears.ends) >= 3, what="three attempts")
    running.cancel()
    await asyncio.wait({running})
    assert all("cannot be reached" in reason for reason in ears.ends)


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example", "."])
async def test_a_name_that_is_none_is_told_and_ends_nothing(host: str) -> None:
    ears = Ears()
    running = asyncio.create_task(GpsdClient(host, 2947, ears, ThreeTries()).run())
    await until(lambda: len(ears.ends) >= 3, what="three attempts")
    assert not running.done()
    running.cancel()
    await asyncio.wait({running})
    assert all("is no name of a host" in reason for reason in ears.ends)


async def test_lookups_that_hang_take_one_thread_and_nobody_elses() -> None:
    answers, asked = threading.Event(), []

    def hang(host: str, port: int, **_kind: int) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        asked.append(threading.current_thread())
        answers.wait(30)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("192.0.2.1", port))]

    lookup = Lookup("gps.example", 2947, hang)
    for _ in range(40):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await lookup.addresses()
    try:
        assert await asyncio.to_thread(lambda: "at once") == "at once"
        assert len(asked) == 1
    finally:
        answers.set()
    assert await lookup.addresses() == ["192.0.2.1"]


async def test_every_address_of_a_name_is_tried() -> None:
    async def gpsd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await say(writer, GREETING)
        await hold(reader)

    async with listening(gpsd, addresses=("::1", "127.0.0.2", "127.0.0.1")) as ears:
        await until(lambda: bool(ears.reports), what="the greeting")
