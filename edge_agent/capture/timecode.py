"""A time code that programs read from pixels: UTC in ms and a frame counter as black and white blocks.

Layout, so that anybody can write a reader: 64 square blocks in 4 rows of 16, most significant bit first, row by row,
white (luma 235) for 1 and black (luma 16) for 0, on a grey frame (luma 126) of one block's width. A block is 16
pixels wide where the picture is at least 640 wide and 360 high, else 8; the upper left block's corner lies one block
from the picture's left and upper edges. Bits 63..16 are UTC in ms since 1970, bits 15..8 the frame number modulo 256,
bits 7..0 the CRC-8 (polynomial 0x07, initial value 0xFF) of the seven bytes before.

Blocks align with macroblocks and carry luma only, so that the code survives strong compression and colour conversion.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COLUMNS = 16
ROWS = 4
_BLACK, _GREY, _WHITE = 16, 126, 235
_MARGIN = 20
"""A block whose mean is nearer to the middle of black and white than this is no block."""

Luma = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TimeCode:
    """What a picture says about when it was drawn."""

    utc_ms: int
    frame: int
    """Frame number modulo 256."""


def block_px(width_px: int, height_px: int) -> int:
    """Side of a block for a picture of that size."""
    return 16 if width_px >= 640 and height_px >= 360 else 8


def fits(width_px: int, height_px: int) -> bool:
    """Whether a picture of that size has room for the code and its frame."""
    side = block_px(width_px, height_px)
    return width_px >= (COLUMNS + 2) * side and height_px >= (ROWS + 2) * side


def draw(luma: Luma, code: TimeCode) -> None:
    """Draw into the luma plane of a picture, in place."""
    height_px, width_px = luma.shape
    side = block_px(width_px, height_px)
    payload = code.utc_ms.to_bytes(6, "big") + bytes([code.frame & 0xFF])
    word = np.frombuffer(payload + bytes([_crc8(payload)]), dtype=np.uint8)
    blocks = np.where(np.unpackbits(word).reshape(ROWS, COLUMNS), _WHITE, _BLACK).astype(np.uint8)
    luma[: (ROWS + 2) * side, : (COLUMNS + 2) * side] = _GREY
    area = luma[side : (ROWS + 1) * side, side : (COLUMNS + 1) * side]
    area.reshape(ROWS, side, COLUMNS, side)[...] = blocks[:, None, :, None]


def read(luma: Luma) -> TimeCode | None:
    """Read from a luma plane (limited or full range); None when there is no code or it is damaged."""
    height_px, width_px = luma.shape
    if not fits(width_px, height_px):
        return None
    side = block_px(width_px, height_px)
    area = luma[side : (ROWS + 1) * side, side : (COLUMNS + 1) * side]
    quarter = side // 4
    inner = area.reshape(ROWS, side, COLUMNS, side)[:, quarter : side - quarter, :, quarter : side - quarter]
    means = inner.mean(axis=(1, 3))
    if np.abs(means - _GREY).min() < _MARGIN:
        return None
    word = np.packbits(means > _GREY).tobytes()
    if _crc8(word[:7]) != word[7]:
        return None
    return TimeCode(int.from_bytes(word[:6], "big"), word[6])


def _crc8(data: bytes) -> int:
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07) & 0xFF if crc & 0x80 else crc << 1
    return crc
