"""A session alone: `python -m tests.support.session_main URL USER PASSWORD_FILE`; says `online` whenever it is."""

import asyncio
import sys
from pathlib import Path

from edge_agent.clock import SystemClock
from edge_agent.settings import MqttSettings
from edge_agent.uplink.paho_wire import PahoWire
from edge_agent.uplink.session import Session
from edge_agent.uplink.wire import Outgoing, WireOptions


class Crier:
    """Says that a connection is there."""

    async def on_online(self, session_present: bool) -> None:
        sys.stdout.write("online\n")
        sys.stdout.flush()


async def main(url: str, username: str, password_file: str) -> None:
    settings = MqttSettings(url=url, username=username, password_file=Path(password_file))
    will = Outgoing(f"csu/v1/{username}/up/status", b'{"state":"offline"}', retain=True)
    session = Session(
        WireOptions(username, will),
        f"csu/v1/{username}/down/#",
        lambda options, events, generation: PahoWire(settings, options, events, generation),
        SystemClock(),
    )
    await session.run(Crier())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
