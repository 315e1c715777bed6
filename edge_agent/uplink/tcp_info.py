"""What Linux tells of a TCP connection, and the rate that it is told: `TCP_INFO` and `SO_MAX_PACING_RATE`.

The layout is that of `struct tcp_info` in linux/tcp.h, which only ever grows at its end. The kernel spaces packets by
itself when a rate is set (tcp_output.c, since Linux 4.13): no queueing discipline is needed.
"""

import socket
import struct
from typing import Protocol

from edge_agent.uplink.pacing import Sight

_SO_MAX_PACING_RATE = 47
_UNLIMITED = 0xFFFF_FFFF
_FIELDS = struct.Struct("=8B 24I 4Q 6I")
"""Up to `tcpi_data_segs_out`, which Linux has since 4.6."""
_SND_MSS, _RTT, _RTTVAR = 10, 23, 24
_BYTES_ACKED = 34
_NOTSENT_BYTES, _MIN_RTT = 38, 39


class TcpSocket(Protocol):
    """A connected socket, or asyncio's view of one."""

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes:
        """As `socket.getsockopt`."""
        ...

    def setsockopt(self, level: int, option: int, value: bytes, /) -> None:
        """As `socket.setsockopt`."""
        ...


def see(connection: TcpSocket, at_us: int) -> Sight | None:
    """What a connection says of itself; None when it says nothing of use, or is none of TCP.

    Raises:
        OSError: it is closed.
    """
    told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _FIELDS.size)
    if len(told) < _FIELDS.size:
        return None
    fields = _FIELDS.unpack(told)
    if not fields[_RTT]:
        return None
    return Sight(
        at_us=at_us,
        rtt_us=fields[_RTT],
        least_rtt_us=min(fields[_MIN_RTT], fields[_RTT]) or fields[_RTT],
        variation_us=fields[_RTTVAR],
        acknowledged_bytes=fields[_BYTES_ACKED],
        packet_bytes=max(fields[_SND_MSS], 1),
        is_waiting=fields[_NOTSENT_BYTES] > 0,
    )


def limit(connection: TcpSocket, rate_bytes_per_s: float | None) -> None:
    """Have the kernel send no faster; None takes the limit off.

    Raises:
        OSError: it is closed.
    """
    rate = _UNLIMITED if rate_bytes_per_s is None else min(max(round(rate_bytes_per_s), 1), _UNLIMITED - 1)
    connection.setsockopt(socket.SOL_SOCKET, _SO_MAX_PACING_RATE, struct.pack("=I", rate))
