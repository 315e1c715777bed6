"""What a demuxer or an encoder hands to the normaliser."""

from dataclasses import dataclass


@dataclass(slots=True)
class RawPacket:
    """A packet as it came, stamps unchecked.

    Attributes:
        data: coded bytes.
        pts: presentation stamp in the source's time base, if it has one.
        dts: decode stamp in the source's time base, if it has one.
        duration: in the source's time base; 0 when unknown.
        is_key: decoding can begin here, says the source.
        arrival_us: monotonic time at which it came, or began to come.
        capture_us: monotonic time at which the picture was taken, where the source knows it exactly; else None and
            it is estimated from arrivals.
        received_us: as `AccessUnit.received_us`.
        parameter_sets: those that stand before the first slice; the joiner fills them in.
        recovery_count: `recovery_frame_cnt` of its recovery point, 0 of every other picture; filled in likewise.
        is_idr: pictures are exact from it on, whatever its messages say; filled in likewise.
        is_reference: other pictures may need it; filled in likewise.
    """

    data: bytes
    pts: int | None
    dts: int | None
    duration: int
    is_key: bool
    arrival_us: int
    capture_us: int | None = None
    received_us: int | None = None
    parameter_sets: tuple[bytes, ...] = ()
    recovery_count: int = 0
    is_idr: bool = False
    is_reference: bool = True
