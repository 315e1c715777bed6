"""Asking over MQTT and timing the answer."""

import queue
import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

_TIMEOUT_S = 30.0

IsAnswer = Callable[[bytes], bool]


def send_at_once(_client: mqtt.Client, _userdata: object, connection: object) -> None:
    """No waiting for acknowledgements (RFC 896) before small packets: 40 ms each that nobody means to measure."""
    if isinstance(connection, socket.socket):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Pinger:
    """A client that publishes and waits for the answer that fits.

    Args:
        host: of the broker.
        port: of the broker.
        user: name and client id.
        password: of the user.
        topics: where answers come.
    """

    def __init__(self, host: str, port: int, user: str, password: str, topics: list[str]) -> None:
        self._arrived: queue.Queue[tuple[int, bytes]] = queue.Queue()
        self._subscribed: queue.Queue[int] = queue.Queue()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=user, protocol=mqtt.MQTTv5)
        self._client.username_pw_set(user, password)
        self._client.on_socket_open = send_at_once
        self._client.on_message = self._take
        self._client.on_subscribe = self._note_subscription
        self._client.connect(host, port)
        self._client.loop_start()
        self._client.subscribe([(topic, 1) for topic in topics])
        self._subscribed.get(timeout=_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _take(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        self._arrived.put((time.perf_counter_ns(), bytes(message.payload)))

    def _note_subscription(self, *_: object) -> None:
        self._subscribed.put(1)

    def wait_until(self, is_awaited: IsAnswer) -> None:
        """Wait for a message; queue.Empty when nothing comes for 30 s."""
        while not is_awaited(self._arrived.get(timeout=_TIMEOUT_S)[1]):
            continue

    def ask_ms(self, topic: str, payload: bytes, is_answer: IsAnswer) -> float:
        """Milliseconds from the publication to the arrival of the answer.

        Raises:
            RuntimeError: no answer in 30 s.
        """
        elapsed_ms = self.try_ms(topic, payload, is_answer, _TIMEOUT_S)
        if elapsed_ms is None:
            raise RuntimeError(f"{topic}: no answer in {_TIMEOUT_S:g} s")
        return elapsed_ms

    def try_ms(self, topic: str, payload: bytes, is_answer: IsAnswer, timeout_s: float) -> float | None:
        """As `ask_ms`; None when nothing arrives for `timeout_s`."""
        asked_ns = time.perf_counter_ns()
        self._client.publish(topic, payload, qos=1)
        try:
            while True:
                arrived_ns, answer = self._arrived.get(timeout=timeout_s)
                if is_answer(answer):
                    return (arrived_ns - asked_ns) / 1e6
        except queue.Empty:
            return None
