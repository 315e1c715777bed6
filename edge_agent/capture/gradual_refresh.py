"""Gradual decoder refresh: key pictures from which pictures become exact only after a while.

A stream without I pictures (x264 and cameras call it intra refresh) says by recovery point SEI messages where
decoding may begin, and by `recovery_frame_cnt` how many reference pictures later what comes out is exact (ITU-T H.264
D.1.8 and D.2.8: it counts `frame_num`, which rises after each reference picture, 7.4.3). That may be longer than the
distance of two such points: x264 with B-frames writes such streams. So a picture behind one is exact only when
decoding began at an earlier one, far enough back.

One more than the count asks for is taken: x264, where a picture has more columns of macroblocks than its interval has
pictures, ends its wave of refreshes a few pictures later than it says.

Assumed: a packet is a frame, not one of two fields in packets of their own.
"""

from collections import deque
from collections.abc import Iterable

from edge_agent.capture.nal import unescape
from edge_agent.capture.sps import BitReader
from edge_agent.contract.access_unit import MAX_KEYS_BACK, NEVER_EXACT
from edge_agent.contract.errors import FormatError

_AT_ONCE = -1
_RECOVERY_POINT = 6  # payloadType, D.1.1
_LONGEST_COUNT_BYTES = 9  # a code of ue(v) is at most 65 bits long


def recovery_count(messages: Iterable[bytes]) -> int:
    """`recovery_frame_cnt` of a picture's SEI NAL units; 0 when they hold no recovery point, or are damaged."""
    for message in messages:
        payload = _payload_of(unescape(message[1:]), _RECOVERY_POINT)
        if payload is None:
            continue
        try:
            return BitReader(payload[:_LONGEST_COUNT_BYTES]).ue()
        except FormatError:
            continue
    return 0


def _payload_of(data: bytes, wanted: int) -> bytes | None:
    """The payload of the first message of a type (7.3.2.3.1)."""
    at = 0
    while at + 2 < len(data):  # behind the last message stands a byte of trailing bits
        kind, at = _number(data, at)
        size, at = _number(data, at)
        if kind == wanted:
            return data[at : at + size]
        at += size
    return None


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A type or a size: bytes of 255, and one that is less, add up."""
    value = 0
    while data[at : at + 1] == b"\xff":
        value += 255
        at += 1
    return value + (data[at] if at < len(data) else 0), at + 1


class GradualRefresh:
    """Follows one stream's pictures in decode order."""

    def __init__(self) -> None:
        self._left: deque[int] = deque(maxlen=MAX_KEYS_BACK)
        """Of each key picture so far: how many reference pictures are still to come until decoding from it is exact;
        `_AT_ONCE` of those that are exact themselves."""

    def keys_back(self, *, is_key: bool, is_reference: bool, count: int) -> int:
        """Take the next picture.

        Args:
            is_key: decoding may begin here.
            is_reference: `nal_ref_idc` is not 0.
            count: its `recovery_frame_cnt`; 0 when it is exact itself.

        Returns:
            `AccessUnit.keys_back` of this picture.
        """
        if is_reference and any(left > 0 for left in self._left):
            self._left = deque((left - 1 if left > 0 else left for left in self._left), maxlen=MAX_KEYS_BACK)
        if not is_key:
            return 0
        if not count:
            self._left.clear()
        back = self._distance() if count else 0
        self._left.append(count or _AT_ONCE)
        return back

    def _distance(self) -> int:
        for back, left in enumerate(reversed(self._left), start=1):
            if left == _AT_ONCE:
                return back
            if left == 0:
                return back + 1 if back < len(self._left) else NEVER_EXACT
        return NEVER_EXACT
