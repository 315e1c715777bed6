"""Packets become whole access units.

Some sources hand out parameter sets, or single slices, as packets of their own (seen: GStreamer's RTP payloader puts
parameter sets before every slice of a key picture, and libav's parser cuts there). A packet without a slice is put
before the next one. A further slice of the same picture (its stamp is missing or repeated, and its slice header says
so) is put behind the one before it; that takes a hold of one packet, which is kept up only for sources that are seen
to need it: the first packet of a stream waits for the second, and that decides.
"""

from dataclasses import replace

from edge_agent.capture.gradual_refresh import recovery_count
from edge_agent.capture.nal import Framing, Picture, look
from edge_agent.capture.packet import RawPacket

_MAX_PREFIX_BYTES = 65_536  # beyond that it is not parameter sets and SEI, whatever it says


class Joiner:
    """One stream's packets in, its access units out."""

    def __init__(self, framing: Framing) -> None:
        self._framing = framing
        self._prefix: RawPacket | None = None
        self._held: RawPacket | None = None
        self._splits: bool | None = None
        """Whether this source splits pictures; None until the second packet told."""
        self._last_pts: int | None = None

    def push(self, packet: RawPacket) -> list[RawPacket]:
        """The access units that are whole now: none, one, or at most two."""
        seen = look(self._framing, packet.data)
        packet.parameter_sets = seen.parameter_sets
        packet.is_reference = seen.is_reference
        packet.is_idr = seen.is_idr
        packet.recovery_count = recovery_count(seen.messages)
        if seen.picture is Picture.NO_SLICE and self._keep_prefix(packet):
            return []
        if seen.picture is Picture.CONTINUATION and self._same_picture(packet):
            return self._continue(packet)
        return self._begin(self._with_prefix(packet))

    def flush(self) -> list[RawPacket]:
        """What is held back, at the end of the stream; parameter sets without a picture are not footage."""
        held, self._held, self._prefix, self._splits = self._held, None, None, None
        return [held] if held else []

    def _keep_prefix(self, packet: RawPacket) -> bool:
        joined = _join(self._prefix, packet) if self._prefix else packet
        if len(joined.data) > _MAX_PREFIX_BYTES:
            return False
        self._prefix = joined
        return True

    def _with_prefix(self, packet: RawPacket) -> RawPacket:
        prefix, self._prefix = self._prefix, None
        if prefix is None:
            return packet
        joined = _join(prefix, packet)
        if packet.pts is not None or packet.dts is not None:
            joined.pts, joined.dts = packet.pts, packet.dts
        joined.duration, joined.capture_us = packet.duration, packet.capture_us
        return joined

    def _same_picture(self, packet: RawPacket) -> bool:
        """Whether its stamp allows a slice to belong to the picture before."""
        return packet.pts is None or self._last_pts is None or packet.pts == self._last_pts

    def _continue(self, packet: RawPacket) -> list[RawPacket]:
        if self._splits is False:
            # Its beginning was handed on already: this picture stays in two pieces, the next ones will not.
            self._splits = True
            return [packet]
        self._splits = True
        if self._held is None:
            self._held = packet
        else:
            self._held = _join(self._held, packet)
            if self._held.pts is None:
                self._held.pts, self._held.dts = packet.pts, packet.dts
        return []

    def _begin(self, packet: RawPacket) -> list[RawPacket]:
        self._last_pts = packet.pts
        held, self._held = self._held, packet
        if held is None:
            if self._splits is not False:
                return []
            self._held = None
            return [packet]
        if self._splits:
            return [held]
        self._splits, self._held = False, None
        return [held, packet]


def _join(first: RawPacket, second: RawPacket) -> RawPacket:
    return replace(
        first,
        data=first.data + second.data,
        is_key=first.is_key or second.is_key,
        arrival_us=second.arrival_us,
        received_us=second.received_us,
        parameter_sets=first.parameter_sets + second.parameter_sets,
        recovery_count=max(first.recovery_count, second.recovery_count),
        is_idr=first.is_idr or second.is_idr,
        is_reference=second.is_reference,
    )
