"""What a capture holds, packet by packet and by kind: tshark reads it, with the TLS keys that the unit gave away."""

import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_FIELDS = ("frame.time_epoch", "ip.len", "ip.src", "tcp.len", "mqtt.msgtype", "mqtt.topic", "tls.record.content_type")
_PACKETS = {"1": "connect", "2": "connect", "4": "acknowledgement", "8": "subscribe", "9": "subscribe"}
"""MQTT control packets (MQTT 5 §2.1.2) by their place in a session's life."""
_PINGS = {"12", "13"}
_PUBLISH = "3"
_TOGETHER_S = 0.2
_TLS_DATA = "23"


@dataclass(frozen=True, slots=True)
class Packet:
    """One IP packet.

    Attributes:
        time_s: when it came by, seconds since 1970.
        size_bytes: of the whole packet, its IP and TCP headers included.
        from_unit: or from the centre.
        kind: what it carried: `ping`, `TCP alone`, `TLS alone`, `acknowledgement`, a topic's last word, …
    """

    time_s: float
    size_bytes: int
    from_unit: bool
    kind: str


def read_capture(file: Path, keys: Path, port: int, unit_address: str) -> list[Packet]:
    """Every TCP packet of the broker's port.

    Raises:
        subprocess.CalledProcessError: tshark cannot read the file.
    """
    fields = [word for field in _FIELDS for word in ("-e", field)]
    command = ["tshark", "-r", str(file), "-o", f"tls.keylog_file:{keys}", "-d", f"tls.port=={port},mqtt", "-n"]
    command += ["-Y", f"tcp.port=={port}", "-T", "fields", "-E", "separator=|", "-E", "occurrence=a", *fields]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return list(_with_pieces(_packet(line, unit_address) for line in done.stdout.splitlines()))


def _packet(line: str, unit_address: str) -> Packet:
    time_s, size, source, length, types, topics, records = line.split("|")
    return Packet(float(time_s), int(size), source == unit_address, _kind(length, types, topics, records))


def _kind(length: str, types: str, topics: str, records: str) -> str:
    if length == "0":
        return "TCP alone"
    found = [kind for kind in types.split(",") if kind]
    if _PUBLISH in found:
        return topics.split(",", maxsplit=1)[0].rpartition("/")[2] or "publish"
    if found:
        return "ping" if set(found) & _PINGS else _PACKETS.get(found[0], f"MQTT {found[0]}")
    if not records:
        return _PIECE
    return "TLS data" if set(records.split(",")) == {_TLS_DATA} else "TLS alone"


_PIECE = "piece"


def _with_pieces(packets: Iterable[Packet]) -> Iterator[Packet]:
    """Pieces of a message get the kind of the packet that completes it, which comes from the same end."""
    waiting: dict[bool, list[Packet]] = {True: [], False: []}
    for packet in packets:
        pieces = waiting[packet.from_unit]
        if packet.kind in {_PIECE, "TLS data"}:
            pieces.append(packet)
            continue
        if packet.kind != "TCP alone":
            for piece in pieces:
                yield Packet(piece.time_s, piece.size_bytes, piece.from_unit, packet.kind)
            pieces.clear()
        yield packet
    for pieces in waiting.values():
        yield from pieces


def bytes_by_kind(packets: Sequence[Packet]) -> Counter[str]:
    """IP bytes of each kind."""
    sums: Counter[str] = Counter()
    for packet in packets:
        sums[packet.kind] += packet.size_bytes
    return sums


def between(packets: Iterable[Packet], begin_s: float, end_s: float) -> list[Packet]:
    """Those of an interval."""
    return [packet for packet in packets if begin_s <= packet.time_s < end_s]


@dataclass(frozen=True, slots=True)
class Message:
    """What belongs together: packets of a kind that one end sent one after another.

    Attributes:
        kind: as the packets have it.
        size_bytes: of all of them.
    """

    kind: str
    size_bytes: int


def messages_of(packets: Iterable[Packet], without: frozenset[str]) -> list[Message]:
    """The messages of a capture.

    Args:
        packets: in the order of time.
        without: kinds that are no messages.
    """
    found: list[Message] = []
    last: Packet | None = None
    for packet in packets:
        if packet.kind in without:
            continue
        belongs = last is not None and last.kind == packet.kind and packet.time_s - last.time_s < _TOGETHER_S
        before = found.pop().size_bytes if belongs else 0
        found.append(Message(packet.kind, before + packet.size_bytes))
        last = packet
    return found
