import asyncio
import socket

from csu.errors import BrokerError
from csu.mqtt_connection import BusSettings, Connection
from tests.support.polling import until


async def test_what_is_sent_leaves_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        connection = Connection(BusSettings(f"mqtt://127.0.0.1:{silent.getsockname()[1]}", "csu"))
        opening = asyncio.create_task(connection.open())
        transport = await until(connection._connection._client.socket, what="connection")
        assert isinstance(transport, socket.socket)
        assert transport.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    await connection.close()
    (outcome,) = await asyncio.gather(opening, return_exceptions=True)
    assert isinstance(outcome, BrokerError)


async def test_the_broker_is_told_how_much_a_message_may_have() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        connection = Connection(BusSettings(f"mqtt://127.0.0.1:{silent.getsockname()[1]}", "csu"))
        opening = asyncio.create_task(connection.open())
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(20):
            accepted, _ = await loop.sock_accept(silent)
            accepted.setblocking(False)
            with accepted:
                said = await loop.sock_recv(accepted, 4096)
        # Maximum Packet Size, MQTT 5 §3.1.2.11.4
        assert b"\x27" + (262_144).to_bytes(4, "big") in said
    await connection.close()
    await asyncio.gather(opening, return_exceptions=True)
