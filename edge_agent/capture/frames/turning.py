"""Turns and mirrors pictures, by libavfilter, for cameras that cannot do it themselves."""

from fractions import Fraction
from typing import Literal

import av
from av.filter import Graph

TIME_BASE = Fraction(1, 90_000)
Rotation = Literal[0, 90, 180, 270]

_TURNS: dict[int, tuple[tuple[str, str], ...]] = {
    0: (),
    90: (("transpose", "clock"),),
    180: (("hflip", ""), ("vflip", "")),
    270: (("transpose", "cclock"),),
}


def turned_size(width_px: int, height_px: int, rotation_deg: int) -> tuple[int, int]:
    """The size after turning."""
    return (height_px, width_px) if rotation_deg in {90, 270} else (width_px, height_px)


class Turner:
    """Mirrors, then turns clockwise; one thread's."""

    def __init__(self, rotation_deg: Rotation, *, hflip: bool, vflip: bool) -> None:
        mirrors = [("hflip", "")] * hflip + [("vflip", "")] * vflip
        steps = (*mirrors, *_TURNS[rotation_deg])
        # Alone it only has the rows read from the last to the first; whoever draws takes them to lie in their order.
        self._steps = (*steps, ("copy", "")) if steps == (("vflip", ""),) else steps
        self._graph: Graph | None = None
        self._geometry: tuple[int, int, str] | None = None

    def turn(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The picture turned; the same object where nothing is to be turned."""
        if not self._steps:
            return frame
        geometry = (frame.width, frame.height, frame.format.name)
        if self._graph is None or geometry != self._geometry:
            self._graph, self._geometry = _graph(self._steps, geometry), geometry
        self._graph.push(frame)
        turned = self._graph.pull()
        assert isinstance(turned, av.VideoFrame)  # noqa: S101 -- of a graph of pictures: narrows the type
        return turned


def _graph(steps: tuple[tuple[str, str], ...], geometry: tuple[int, int, str]) -> Graph:
    graph = Graph()
    width, height, layout = geometry
    nodes = [graph.add_buffer(width=width, height=height, format=av.VideoFormat(layout), time_base=TIME_BASE)]
    nodes += [graph.add(name, arguments) for name, arguments in steps]
    nodes.append(graph.add("buffersink"))
    graph.link_nodes(*nodes).configure()
    return graph
