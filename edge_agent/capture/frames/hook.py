"""The one place between sensor and encoder where pictures are looked at and drawn on.

First the masks: a picture that they cannot be drawn on is not recorded. Then samples for image health, then the text:
white letters and a running clock in the samples would make a dead camera look alive. Both leave a picture out, and
count it, when the time that a picture may take is over. Nothing here waits: text is drawn ahead of time by a thread
of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edge_agent.camera_settings import Polygon
from edge_agent.capture.frames.masks import MaskPainter, geometry_of
from edge_agent.capture.frames.picture import Picture
from edge_agent.capture.frames.sampling import DECODED_FROZEN_AFTER_US, ImageHealth, ImageSampler
from edge_agent.capture.frames.text import TextLine
from edge_agent.clock import Clock

DEADLINE_US = 10_000
HEALTH_LASTS_US = 180_000_000
"""Cameras that encode may have a key picture a minute or two only."""
_MAX_GEOMETRIES = 8
_NO_SAMPLES = "samples cannot be taken"


@dataclass(frozen=True, slots=True)
class HookFigures:
    """Counted since the recorder began.

    Attributes:
        pictures: that came.
        unmasked: that were not recorded because the masks could not be drawn on them.
        text_skipped: recorded without their line of text.
        samples_skipped: that were due to be looked at and were not.
        fault: what kept the masks from being drawn, the last time; empty while nothing did.
    """

    pictures: int = 0
    unmasked: int = 0
    text_skipped: int = 0
    samples_skipped: int = 0
    fault: str = ""


class FrameHook:
    """Draws and looks; `apply` and `mask` are of the one thread that has the pictures, the rest any thread's."""

    def __init__(
        self,
        masks: Sequence[Polygon],
        clock: Clock,
        *,
        text: TextLine | None = None,
        sampler: ImageSampler | None = None,
        deadline_us: int = DEADLINE_US,
        grown_by_blocks: int = 1,
    ) -> None:
        """Nothing is worked out before the first picture; `grown_by_blocks` is as for `MaskPainter`."""
        self._grown_by_blocks = grown_by_blocks
        self._masks = tuple(masks)
        self._clock = clock
        self._text = text
        self._sampler = sampler
        self._deadline_us = deadline_us
        self._painters: dict[tuple[object, ...], MaskPainter] = {}
        self._figures = HookFigures()

    @property
    def draws(self) -> bool:
        """Whether anything is drawn, so that a stream cannot pass through as it comes."""
        return bool(self._masks) or self._text is not None

    @property
    def figures(self) -> HookFigures:
        """So far."""
        return self._figures

    @property
    def health(self) -> ImageHealth | None:
        """As last sampled; None when that is too long ago to say anything of now."""
        if self._sampler is None or self._clock.monotonic_us() - self._sampler.looked_us > HEALTH_LASTS_US:
            return None
        return self._sampler.health

    def apply(self, picture: Picture, capture_us: int) -> bool:
        """Draw on a picture of the main stream; False: it must not be recorded. Raises nothing."""
        begin_us = self._clock.monotonic_us()
        self._count(pictures=1)
        if not self.mask(picture):
            return False
        if self._sampler is not None and self._sampler.is_due(capture_us):
            self._sample(self._sampler, picture, capture_us, begin_us)
        if self._text is not None and not self._write_text(picture, capture_us, begin_us):
            self._count(text_skipped=1)
        return True

    def expect_decoded(self) -> None:
        """What comes was decoded from a camera's stream, in which a still scene may stand still for a while."""
        if self._sampler is not None:
            self._sampler.frozen_after_us = DECODED_FROZEN_AFTER_US

    def sample(self, picture: Picture, capture_us: int) -> None:
        """Look at a picture that passes as its camera encoded it, and at nothing else. Raises nothing."""
        if self._sampler is not None:
            self._sample(self._sampler, picture, capture_us, self._clock.monotonic_us())

    def skip_sample(self, fault: str) -> None:
        """A picture that was to be looked at could not be."""
        self._count(samples_skipped=1, fault=f"{_NO_SAMPLES}: {fault}")

    def mask(self, picture: Picture) -> bool:
        """Draw the masks alone, as on a proxy's own picture; False: it must not be recorded. Raises nothing."""
        if not self._masks:
            return True
        try:
            self._painter(picture).paint(picture)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the picture is not recorded, and it is told
            self._count(unmasked=1, fault=f"masks cannot be drawn: {type(error).__name__}: {error}")
            return False
        if self._figures.fault:
            self._figures = replace(self._figures, fault="")
        return True

    def _painter(self, picture: Picture) -> MaskPainter:
        geometry = geometry_of(picture)
        painter = self._painters.get(geometry)
        if painter is None:
            if len(self._painters) >= _MAX_GEOMETRIES:
                self._painters.pop(next(iter(self._painters)))
            painter = self._painters[geometry] = MaskPainter(self._masks, picture, self._grown_by_blocks)
        return painter

    def _is_late(self, begin_us: int) -> bool:
        return self._clock.monotonic_us() - begin_us > self._deadline_us

    def _write_text(self, picture: Picture, capture_us: int, begin_us: int) -> bool:
        if self._text is None or self._is_late(begin_us):
            return False
        try:
            return self._text.draw(picture, capture_us)
        except Exception as error:  # noqa: BLE001 -- text is no reason not to record; it is counted
            self._count(fault=f"text cannot be drawn: {type(error).__name__}: {error}")
            return False

    def _sample(self, sampler: ImageSampler, picture: Picture, capture_us: int, begin_us: int) -> None:
        if self._is_late(begin_us):
            self._count(samples_skipped=1)
            return
        try:
            sampler.look(picture, capture_us)
        except Exception as error:  # noqa: BLE001 -- nor are samples
            self.skip_sample(f"{type(error).__name__}: {error}")
        else:
            if self._figures.fault.startswith(_NO_SAMPLES):
                self._figures = replace(self._figures, fault="")

    def _count(
        self, pictures: int = 0, unmasked: int = 0, text_skipped: int = 0, samples_skipped: int = 0, fault: str = ""
    ) -> None:
        old = self._figures
        self._figures = HookFigures(
            old.pictures + pictures,
            old.unmasked + unmasked,
            old.text_skipped + text_skipped,
            old.samples_skipped + samples_skipped,
            fault or old.fault,
        )
