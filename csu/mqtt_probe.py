"""One MQTT handshake, to tell whether a broker is there and accepts a user; nothing else is sent."""

import socket
import struct

_CONNACK = 0x20
_DISCONNECT = b"\xe0\x00"


def _field(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">H", len(data)) + data


def _connect_packet(user: str, password: str) -> bytes:
    """CONNECT of MQTT 3.1.1 §3.1 with a clean session; short enough for a one-byte length."""
    flags = 0x80 | 0x40 | 0x02
    body = _field("MQTT") + bytes((4, flags)) + struct.pack(">H", 10) + _field(user) + _field(user) + _field(password)
    if len(body) > 127:
        raise ValueError(f"user and password of {len(body)} bytes are too long for a probe")
    return bytes((0x10, len(body))) + body


def accepts(host: str, port: int, user: str, password: str, timeout_s: float = 1.0) -> bool:
    """Whether a broker answers at the address and accepts the user; False too when nobody listens or it is silent."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            connection.sendall(_connect_packet(user, password))
            answer = connection.recv(4, socket.MSG_WAITALL)
            if len(answer) < 4 or answer[0] != _CONNACK or answer[3] != 0:
                return False
            connection.sendall(_DISCONNECT)
            return True
    except OSError:
        return False
