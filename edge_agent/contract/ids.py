"""Ids of commands, clips and events: UUIDs of version 7, so that they sort by the time they were made."""

import secrets
import uuid


def make_uuid7(wall_us: int) -> str:
    """A UUIDv7 in canonical text form (RFC 9562 §5.7): 48 bits of Unix milliseconds, the rest random.

    Args:
        wall_us: the present, microseconds since 1970.
    """
    milliseconds = wall_us // 1000 & 0xFFFF_FFFF_FFFF
    value = milliseconds << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0b11 << 62) | 0b10 << 62
    return str(uuid.UUID(int=value))
