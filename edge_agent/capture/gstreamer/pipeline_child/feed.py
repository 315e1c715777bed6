"""From the recorder to a pipeline that encodes."""

import zlib

from .pipeline import Pipeline
from .records import CHECK, HEAD, KEY, MAGIC, PICTURE

MAX_PICTURE_BYTES = 64 << 20


class Feed:
    """Reads pictures and gives them to the pipeline, in a thread of its own."""

    def __init__(self, line: Pipeline, descriptor: int) -> None:
        self._line = line
        self._stream = open(descriptor, "rb", buffering=0)  # noqa: SIM115 -- a descriptor; lives as long as we

    def run(self) -> None:
        """Until the recorder closes its end, or writes what is no picture."""
        gst = self._line.gst
        while True:
            head = self._read(HEAD.size + CHECK.size)
            if head is None:
                break
            magic, kind, flags, _, size, _, shown, _, length, _ = HEAD.unpack_from(head)
            check = CHECK.pack(zlib.crc32(head[: HEAD.size]))
            sound = magic == MAGIC and kind == PICTURE and size <= MAX_PICTURE_BYTES
            data = self._read(size) if sound and head[HEAD.size :] == check else None
            if data is None or self._read(CHECK.size) != check:
                break
            picture = gst.Buffer.new_wrapped(data)
            picture.pts, picture.duration = shown, length
            if flags & KEY:
                self._line.ask_key(shown)
            if self._line.source.emit("push-buffer", picture) != gst.FlowReturn.OK:
                break
        self._line.end()

    def _read(self, size: int) -> "bytes | None":
        data, filled = bytearray(size), 0
        with memoryview(data) as view:
            while filled < size:
                count = self._stream.readinto(view[filled:])
                if not count:
                    return None
                filled += count
        return bytes(data)
