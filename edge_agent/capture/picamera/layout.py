"""Which of the camera's streams is recorded, and what becomes of the other.

Usually the main stream is recorded, and the second one (`lores`) is the proxy. With full-size stills it is the way of
picamera2's examples/still_during_video.py: the main stream is large and for stills alone, what is recorded is the
second one, of the same shape, as it would be distorted otherwise. The sensor stays in one mode: nothing is switched
for a still, and nothing is missing from the recording.

Recording comes first: a layout that cannot be configured, is not given or is too slow makes way for the next one in
the same attempt; one with which the camera gave no picture is left alone for an hour.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from edge_agent.capture.picamera.full_size import Size, is_fast_enough, largest
from edge_agent.capture.picamera.unit_queue import StreamName
from edge_agent.capture.picamera.watch import Figures
from edge_agent.capture.report import CaptureReport
from edge_agent.capture.source import SourceContext
from edge_agent.clock import Clock
from edge_agent.errors import SourceFormatError

FORMAT = "YUV420"
"""Both encoders take it without a conversion."""
USABLE = ("YUV420", "NV12")
_VIEW_REMEDY = (
    "with masks nothing else is recorded: take camera.sensor.full_size_stills out, and look at the masks anew"
)
_LEFT_ALONE_US = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes that are asked for together.

    Attributes:
        main: of the camera's main stream.
        lores: of its second one; None when there is none.
        recorded: which of the two is recorded.
        mode: in which the sensor is read, as picamera2's `sensor`; None: picamera2 chooses.
    """

    main: Size
    lores: Size | None
    recorded: StreamName = "main"
    mode: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of a camera.

    Attributes:
        layouts: to try, one after the other.
        more: what is asked for with each of them.
        fps: which each but the last has to give.
        keeps_view: masks were drawn for what the sensor sees in the mode of these layouts; in another one they may
            lie beside what they are to hide.
    """

    layouts: Sequence[Layout]
    more: Mapping[str, object]
    fps: float
    keeps_view: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """A layout that the camera was configured to.

    Attributes:
        layout: it.
        number: in the list of those that were to be tried.
        is_last: there is none to be tried after it.
        faults: why it is none of those before.
    """

    layout: Layout
    number: int = 0
    is_last: bool = True
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Left:
    """Layouts that are left alone: so many, until when, and what was met."""

    count: int
    until_us: int
    fault: str


_left_alone: "WeakKeyDictionary[CaptureReport, _Left]" = WeakKeyDictionary()
"""For as long as the recorder lives: a source is made anew for every attempt."""


def with_large_stills(camera: Any, ordinary: Layout, fps: float) -> tuple[list[Layout], str]:  # noqa: ANN401 -- picamera2 has no types
    """What to try, `ordinary` last; and why it is nothing more.

    Before `ordinary` comes the same size with the sensor in the large size's mode: what is seen is the same then, and
    masks lie as they were drawn.
    """
    large, why = largest(camera, ordinary.main, fps)
    if large is None:
        return [ordinary], why
    same_mode = [] if large.mode is None else [Layout(ordinary.main, None, mode=large.mode)]
    return [Layout(large.size, ordinary.main, "lores", large.mode), *same_mode, ordinary], ""


def configure_one_of(camera: Any, wish: Wish, context: SourceContext) -> Choice:  # noqa: ANN401 -- picamera2 has no types
    """Configure an open camera to the first layout that it gives as asked, or to the last, however it is given.

    Raises:
        SourceFormatError: the sensor cannot be kept in the mode that was asked for, and has to be.
    """
    if not wish.keeps_view:
        return _configured(camera, wish, context)
    try:
        choice = _configured(camera, wish, context)
    except Exception as error:
        raise SourceFormatError(
            f"picamera2: {named(wish.layouts[0].main)} for stills cannot be configured ({type(error).__name__}:"
            f" {error}); {_VIEW_REMEDY}"
        ) from error
    asked = None if choice.layout.mode is None else choice.layout.mode.get("output_size")
    given = (camera.camera_configuration().get("sensor") or {}).get("output_size")
    if asked not in {None, given}:
        raise SourceFormatError(
            f"picamera2: the sensor's mode {asked} was asked for, and it took {given}; {_VIEW_REMEDY}"
        )
    return choice


def _configured(camera: Any, wish: Wish, context: SourceContext) -> Choice:  # noqa: ANN401 -- picamera2 has no types
    layouts, left, faults = wish.layouts, _left(context.report, context.clock), []
    if left is not None:
        faults.append(f"{named(layouts[0].main)} is left alone for an hour: {left.fault}")
    last = len(layouts) - 1
    for number in range(min(0 if left is None else left.count, last), last):
        fault = _tried(camera, layouts[number], wish)
        if not fault:
            return Choice(layouts[number], number, is_last=False, faults=tuple(faults))
        faults.append(fault)
    _ask(camera, layouts[last], wish.more)
    return Choice(layouts[last], last, is_last=True, faults=tuple(faults))


@contextlib.contextmanager
def blamed(choice: Choice, context: SourceContext, figures: Figures) -> Iterator[None]:
    """The camera runs inside: when it fails without a single picture, the next attempt tries the next layout.

    When the last one has none either, no layout is to blame.
    """
    try:
        yield
    except Exception as error:
        if figures.last_us is None and choice.is_last:
            _left_alone.pop(context.report, None)
        elif figures.last_us is None:
            until_us = context.clock.monotonic_us() + _LEFT_ALONE_US
            _left_alone[context.report] = _Left(choice.number + 1, until_us, f"the camera gave no picture ({error})")
        raise


def most_fps(camera: Any) -> float | None:  # noqa: ANN401 -- picamera2 has no types
    """What the camera gives in its configuration; None where it does not tell."""
    limits = camera.camera_controls.get("FrameDurationLimits")
    return 1e6 / limits[0] if limits and limits[0] else None


def named(size: Size) -> str:
    """For people."""
    return f"{size[0]}×{size[1]}"


def _left(report: CaptureReport, clock: Clock) -> _Left | None:
    left = _left_alone.get(report)
    return left if left is not None and clock.monotonic_us() < left.until_us else None


def _tried(camera: Any, layout: Layout, wish: Wish) -> str:  # noqa: ANN401 -- picamera2 has no types
    """Why it is not used; empty when it is."""
    try:
        _ask(camera, layout, wish.more)
    except Exception as error:  # noqa: BLE001 -- memory, as a rule; whatever it is, the next layout is asked for
        return f"{named(layout.main)} cannot be configured ({type(error).__name__}: {error})"
    found = camera.camera_configuration()
    for name, size in (("main", layout.main), ("lores", layout.lores)):
        if size is not None and found[name]["size"] != size:
            return f"asked for {named(size)}, the camera gives {named(found[name]['size'])}"
        if size is not None and found[name]["format"] not in USABLE:
            return f"at {named(size)} the camera gives {found[name]['format']}"
    most = most_fps(camera)
    if most is not None and not is_fast_enough(most, wish.fps):
        return (
            f"at {named(layout.main)} the camera gives {most:.1f} pictures a second, and {wish.fps:g} are asked for"
        )
    return ""


def _ask(camera: Any, layout: Layout, more: Mapping[str, object]) -> None:  # noqa: ANN401 -- picamera2 has no types
    lores = None if layout.lores is None else {"size": layout.lores, "format": FORMAT}
    # picamera2 would keep as many buffers of the sensor's own pixels as of pictures, and the board lacks memory.
    mode = {} if layout.mode is None else {"raw": None, "sensor": dict(layout.mode)}
    main = {"size": layout.main, "format": FORMAT}
    camera.configure(
        camera.create_video_configuration(main=main, lores=lores, encode=layout.recorded, **more, **mode)
    )
