"""From the pipeline's sink to the recorder."""

from .bindings import Bound
from .pipeline import Pipeline
from .records import CAPS, DAMAGED, DISCONTINUOUS, KEY, UNIT, UNKNOWN, Records
from .rhythm import Rhythm

PULL_NS = 200_000_000


class Pump:
    """Pulls units from the sink and writes them."""

    def __init__(self, line: Pipeline, records: Records) -> None:
        self._line = line
        self._records = records
        self._gst = line.gst
        self._caps: Bound = None
        self._rhythm = Rhythm(line.clock)

    def run(self) -> None:
        """Until the pipeline ends or fails."""
        sink = self._line.sink
        gathers = self._line.codec != "raw" and self._line.source is None
        while True:
            sample = sink.emit("try-pull-sample", PULL_NS)
            if sample is None and sink.get_property("eos"):
                self._line.over.set()
                return
            while sample is not None:
                following = sink.emit("try-pull-sample", 0) if gathers else None
                self._pass_on(sample, following is None)
                sample = following
            if gathers:
                self._line.hurry.wait(self._rhythm.pause_s())

    def _pass_on(self, sample: Bound, is_last: bool) -> None:
        caps = sample.get_caps()
        if self._caps is None or (hash(caps) != hash(self._caps) and not caps.is_equal(self._caps)):
            self._tell_caps(caps)
        self._caps = caps
        unit = sample.get_buffer()
        segment = sample.get_segment()
        shown = self._running(segment, unit.pts)
        capture = UNKNOWN if shown == UNKNOWN else self._line.pipeline.get_base_time() + shown
        length = UNKNOWN if unit.duration == self._gst.CLOCK_TIME_NONE else unit.duration
        times = (shown, self._running(segment, unit.dts), length, capture)
        flags, gst = int(unit.get_flags()), self._gst.BufferFlags
        said = 0 if flags & gst.DELTA_UNIT else KEY
        said |= DISCONTINUOUS if flags & gst.DISCONT else 0
        said |= DAMAGED if flags & gst.CORRUPTED else 0
        self._rhythm.note(capture, said & KEY != 0, is_last)
        is_mapped, view = unit.map(self._gst.MapFlags.READ)
        if is_mapped:
            self._records.write(UNIT, bytes(view.data), said, times, is_last)
            unit.unmap(view)

    def _running(self, segment: Bound, stamp: int) -> int:
        if stamp == self._gst.CLOCK_TIME_NONE:
            return UNKNOWN
        sign, running = segment.to_running_time_full(self._gst.Format.TIME, stamp)
        return UNKNOWN if not sign else sign * running

    def _tell_caps(self, caps: Bound) -> None:
        structure = caps.get_structure(0)
        found, numerator, denominator = structure.get_fraction("framerate")
        self._records.tell(
            CAPS,
            codec=self._line.codec,
            caps=caps.to_string()[:2000],
            width=structure.get_int("width")[1],
            height=structure.get_int("height")[1],
            rate=[numerator, denominator] if found and denominator else [0, 1],
            layout=structure.get_string("format") or "",
            elements=self._elements(),
        )

    def _elements(self) -> list[str]:
        """Factories in the pipeline, so that the recorder can say what camera and encoder it got."""
        names: list[str] = []
        found = self._line.pipeline.iterate_recurse()
        found.foreach(lambda element: names.append(element.get_factory().get_name() if element.get_factory() else ""))
        return sorted(set(names) - {""})
