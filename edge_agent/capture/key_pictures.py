"""The newest key picture of a stream that a camera encoded, with what a decoder needs for it, and its decoding.

Of a stream with gradual refresh a key picture is exact only when decoding begins some key pictures earlier
(`AccessUnit.keys_back`): what lies between is kept then, within bounds.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import av

from edge_agent.capture.libav import reason_of
from edge_agent.contract.access_unit import MAX_KEYS_BACK, AccessUnit, CodecConfig
from edge_agent.errors import SourceFormatError

MAX_KEPT_BYTES = 16_000_000


@dataclass(frozen=True, slots=True)
class KeyPicture:
    """A key picture, still coded.

    Attributes:
        config: of its stream.
        units: from where decoding has to begin up to it, in decode order; its own is the last.
    """

    config: CodecConfig
    units: Sequence[AccessUnit]

    @property
    def capture_us(self) -> int:
        """When it was taken, monotonic."""
        return self.units[-1].capture_us


class KeyKeeper:
    """Keeps what the newest key picture needs; one thread's."""

    def __init__(self) -> None:
        """Nothing came yet."""
        self._config: CodecConfig | None = None
        self._groups: deque[list[AccessUnit]] = deque()
        self._size_bytes = 0

    def start(self, config: CodecConfig) -> None:
        """A stream begins."""
        self._config = config
        self._forget()

    def add(self, unit: AccessUnit) -> KeyPicture | None:
        """The next access unit; the key picture that it is, None of any other and where a decoder would need more."""
        if self._config is None:
            return None
        if not unit.is_key:
            self._keep(unit)
            return None
        if unit.keys_back == 0:
            self._forget()
            self._groups.append([unit])
            self._size_bytes = len(unit.data)
            return KeyPicture(self._config, (unit,))
        return self._add_gradual(self._config, unit)

    def _add_gradual(self, config: CodecConfig, unit: AccessUnit) -> KeyPicture | None:
        if self._groups and self._groups[-1][0].keys_back == 0:
            self._forget()  # what came behind an ordinary one was not kept
        needed = unit.keys_back + 1
        while len(self._groups) >= min(needed, MAX_KEYS_BACK + 1):
            self._size_bytes -= sum(len(old.data) for old in self._groups.popleft())
        self._groups.append([unit])
        self._size_bytes += len(unit.data)
        if self._size_bytes > MAX_KEPT_BYTES or len(self._groups) < needed:
            return None
        return KeyPicture(config, tuple(kept for group in self._groups for kept in group))

    def _keep(self, unit: AccessUnit) -> None:
        """Only behind a key picture that refreshes gradually does anything else count."""
        if not self._groups or self._groups[-1][0].keys_back == 0:
            return
        if self._size_bytes > MAX_KEPT_BYTES:
            self._forget()
            return
        self._groups[-1].append(unit)
        self._size_bytes += len(unit.data)

    def _forget(self) -> None:
        self._groups.clear()
        self._size_bytes = 0


def decoded(key: KeyPicture) -> av.VideoFrame:
    """The picture.

    Raises:
        SourceFormatError: it cannot be decoded.
    """
    decoder = av.CodecContext.create(key.config.codec, "r")
    decoder.extradata = key.config.extradata or None
    decoder.thread_count = 1
    frames: list[av.VideoFrame] = []
    try:
        for unit in key.units:
            packet = av.Packet(unit.data)
            packet.pts, packet.dts = unit.pts_90k, unit.dts_90k
            frames += decoder.decode(packet)
        frames += decoder.decode(None)
    except av.FFmpegError as error:
        raise SourceFormatError(f"a key picture cannot be decoded: {reason_of(error)}") from error
    for frame in frames:
        if frame.pts == key.units[-1].pts_90k:
            return frame
    raise SourceFormatError("a key picture cannot be decoded: nothing came out")
