"""Frames to draw on, and what stands in them afterwards."""

import av

from edge_agent.capture.frames.picture import Picture, picture_of


def grey_frame(width_px: int = 320, height_px: int = 240, layout: str = "yuv420p", luma: int = 120) -> av.VideoFrame:
    frame = av.VideoFrame(width_px, height_px, "yuv420p")
    for index, plane in enumerate(frame.planes):
        plane.update(bytes([luma if index == 0 else 90]) * plane.buffer_size)
    return frame if layout == "yuv420p" else frame.reformat(format=layout)


def grey_picture(width_px: int = 320, height_px: int = 240, layout: str = "yuv420p", luma: int = 120) -> Picture:
    return picture_of(grey_frame(width_px, height_px, layout, luma))


def luma_at(picture: Picture, x: int, y: int) -> int:
    plane = picture.planes[0]
    return plane.memory[y * plane.stride_bytes + x]


def colour_at(picture: Picture, x: int, y: int) -> tuple[int, ...]:
    found: list[int] = []
    for plane in picture.planes[1:]:
        start = (y // 2) * plane.stride_bytes + (x // 2) * plane.sample_bytes
        found += plane.memory[start : start + plane.sample_bytes]
    return tuple(found)
