"""The pipeline of one order."""

import re
import threading
from typing import Any, TypeAlias

from .bindings import Bound, RefusedError

Order: TypeAlias = "dict[str, Any]"
Chain: TypeAlias = "list[tuple[str, dict[str, object]]]"
"""Elements by their factories, with properties as text."""

QUEUE_BUFFERS = 8
CODED_BUFFERS = 64
"""Pictures that wait for the recorder; a live source leaves pictures out when they are full, another one waits."""
B_FRAMES_NS = 200_000_000
"""What is played in real time comes so much later, so that no picture comes before its time by its B-frames."""

TRAILING_CAPS = re.compile(r"!\s*[a-z]+/[\w.+-]+(\([^()!]*\))?(\s*,[^!]*)?$")
PARSERS = {"video/x-h264": ("h264parse", "h264"), "video/x-h265": ("h265parse", "hevc")}
DEVICE_MEMORY = "memory:NVMM"


class Pipeline:
    """The technician's bin, what has to stand behind it, and a sink to pull from."""

    def __init__(self, gst: Bound, glib: Bound, order: Order) -> None:
        self.gst = gst
        self.hurry = threading.Event()
        """An end is wanted: nothing is gathered any more."""
        self.over = threading.Event()
        """It has failed, or everything that came was written."""
        self.pipeline = gst.Pipeline.new("recorder")
        # One clock, whatever an element offers: the capture time of a picture is base time plus running time.
        self.clock = gst.SystemClock.obtain()
        self.clock.set_property("clock-type", gst.ClockType.MONOTONIC)
        self.pipeline.use_clock(self.clock)
        body = self._parse(glib, order["description"])
        self.pipeline.add(body)
        self.codec, tail = self._tail(body)
        self.source = self._source(body, order["input_caps"])
        self.sink = self._link(body, tail)

    def _parse(self, glib: Bound, description: str) -> Bound:
        gst = self.gst
        if TRAILING_CAPS.search(description):  # the grammar has caps between two elements only
            description += " ! capsfilter"
        try:
            body = gst.parse_bin_from_description_full(description, True, None, gst.ParseFlags.FATAL_ERRORS)
        except glib.Error as error:
            raise RefusedError(error.code, error.message, domain=error.domain) from error
        return body

    def _tail(self, body: Bound) -> tuple[str, Chain]:
        """The codec of the bin's only open end, and the elements that make units of it.

        Raises:
            RefusedError: there is no such end, there are several, or what it gives cannot be recorded.
        """
        further = body.find_unlinked_pad(self.gst.PadDirection.SRC)  # one of each direction became the bin's own
        if further is not None or len(body.srcpads) != 1:
            name = "" if further is None else further.get_parent_element().get_name()
            raise RefusedError("open-ends", name, count=len(body.srcpads) + (further is not None))
        caps = body.srcpads[0].query_caps(None)
        kinds = {caps.get_structure(index).get_name() for index in range(caps.get_size())}
        if "video/x-raw" in kinds:
            kinds.discard("video/x-bayer")  # which everything that draws has beside
        if len(kinds) != 1:
            raise RefusedError("ambiguous", ", ".join(sorted(kinds)) or "anything")
        kind = kinds.pop()
        if kind in PARSERS:
            parser, codec = PARSERS[kind]
            stated = f"{kind},stream-format=(string)byte-stream,alignment=(string)au"
            return codec, [(parser, {"config-interval": -1}), ("capsfilter", {"caps": stated})]
        if kind == "image/jpeg":
            return "mjpeg", []
        if kind == "video/x-raw":
            features = [str(caps.get_features(index)) for index in range(caps.get_size())]
            on_device = all(DEVICE_MEMORY in text for text in features)
            stated = "video/x-raw,format=(string){I420,NV12}"
            return "raw", [("nvvidconv" if on_device else "videoconvert", {}), ("capsfilter", {"caps": stated})]
        raise RefusedError("not-video", kind)

    def _source(self, body: Bound, stated: "str | None") -> Bound:
        if len(body.sinkpads) != (0 if stated is None else 1):
            raise RefusedError("open-beginnings", ", ".join(pad.get_name() for pad in body.sinkpads))
        if stated is None:
            return None
        source = self._make("appsrc", {"caps": stated, "format": "time", "is-live": "true", "block": "true"})
        source.set_property("max-bytes", 0)
        source.set_property("max-buffers", QUEUE_BUFFERS)
        self.pipeline.add(source)
        self._join(source, body)
        return source

    def _link(self, body: Bound, tail: Chain) -> Bound:
        count = QUEUE_BUFFERS if self.codec == "raw" else CODED_BUFFERS
        sink = self._make("appsink", {"max-buffers": count, "sync": "false", "enable-last-sample": "false"})
        before = body
        for element in [*(self._make(name, properties) for name, properties in tail), sink]:
            self.pipeline.add(element)
            self._join(before, element)
            before = element
        return sink

    def _make(self, name: str, properties: dict[str, object]) -> Bound:
        element = self.gst.ElementFactory.make(name, None)
        if element is None:
            raise RefusedError(1, f'no element "{name}"', domain="gst_parse_error")
        for key, value in properties.items():
            self.gst.util_set_object_arg(element, key, str(value))
        return element

    def _join(self, before: Bound, after: Bound) -> None:
        if not before.link(after):
            names = f"{before.get_name()} and {after.get_name()}"
            raise RefusedError("not-linked", f"{names} have no format in common")

    def start(self, settle_s: float, is_free: bool) -> "bool | None":
        """Set the pipeline playing; whether it is live. What is not is played in real time, unless it is free."""
        gst = self.gst
        result = self.pipeline.set_state(gst.State.PAUSED)
        if result == gst.StateChangeReturn.ASYNC:
            result = self.pipeline.get_state(int(settle_s * gst.SECOND))[0]
        if result == gst.StateChangeReturn.FAILURE:
            return None
        is_live = result == gst.StateChangeReturn.NO_PREROLL
        self.sink.set_property("sync", not is_live and not is_free)
        self.sink.set_property("ts-offset", 0 if is_live else B_FRAMES_NS)
        if self.pipeline.set_state(gst.State.PLAYING) == gst.StateChangeReturn.FAILURE:
            return None
        return bool(is_live)

    def ask_key(self, running_ns: int = (1 << 64) - 1) -> None:
        """Ask the encoder for a key frame (GstForceKeyUnit, upstream): at a running time, or as soon as it can."""
        text = f"GstForceKeyUnit, running-time=(guint64){running_ns}, all-headers=(boolean)true, count=(uint)0"
        asked = self.gst.Structure.from_string(text)[0]
        event = self.gst.Event.new_custom(self.gst.EventType.CUSTOM_UPSTREAM, asked)
        self.sink.get_static_pad("sink").push_event(event)

    def end(self) -> None:
        """Have the pipeline end in order: what is being encoded still comes."""
        if self.source is None:
            self.pipeline.send_event(self.gst.Event.new_eos())
        else:
            self.source.emit("end-of-stream")
