"""Runs one GStreamer pipeline for a recorder, in a process of its own, and writes what comes out as framed records.

This file stands alone: the standard library and PyGObject (`gi`), syntax of Python 3.10. The system's Python runs it,
because GStreamer's bindings are the system's, while the agent's own Python may come from elsewhere (JetPack 6 has
3.10; docs/decisions/0021). It imports nothing of `edge_agent`.

    python3 -I child.py OUTPUT_FD CONTROL_FD [INPUT_FD]

- **Control** is read: one line of JSON, the order (the fields of `process.Order`), then `key` (ask the encoder
  for a key frame) and `stop` (end the stream in order). Its end means that the recorder is gone: this process ends at
  once. The description comes this way because it may hold a password, which a command line would show.
- **Output** gets records and nothing else; what libraries print goes to standard output and error.
- **Input**, where there is one, brings pictures for a pipeline that begins with an open pad: an encoder.

A record is a head of 52 bytes, a payload and the head's checksum once more, so that a stream into which anything was
written, or of which anything is missing, is noticed before a picture of it is used. Little endian:

    0  4  magic "EGS1"                    16  8  presentation stamp, running time in ns
    4  1  kind                            24  8  decode stamp, running time in ns, negative before B-frames
    5  1  flags (units)                   32  8  duration in ns
    6  2  0                               40  8  CLOCK_MONOTONIC in ns that the presentation stamp stands for
    8  4  payload bytes                   48  4  CRC-32 of bytes 0 to 47
    12 4  number, from 0, modulo 2^32

A time that is not known is -2^63. Kinds: 1 hello (JSON), 2 caps (JSON: what the units that follow are), 3 unit (one
coded picture, or one raw picture in GStreamer's default layout), 4 event (JSON: an error or warning of the pipeline),
5 end (JSON: the reason; nothing follows), 6 picture (input: one raw picture). Flags: 1 decoding can begin here, 2
data is missing before it, 4 damaged.

Written against GStreamer 1.20 (JetPack 6) to 1.22 and run with 1.22 on x86 alone; never on a Jetson.
"""

import ctypes
import json
import math
import os
import re
import signal
import struct
import sys
import threading
import zlib
from typing import Any, TextIO, TypeAlias

Bound: TypeAlias = Any
"""Something of GStreamer's; its bindings carry no types."""
Order: TypeAlias = "dict[str, Any]"
Times: TypeAlias = "tuple[int, int, int, int]"
Chain: TypeAlias = "list[tuple[str, dict[str, object]]]"
"""Elements by their factories, with properties as text."""

MAGIC = b"EGS1"
HEAD = struct.Struct("<4sBBHIIqqqq")
CHECK = struct.Struct("<I")
UNKNOWN = -(1 << 63)
NO_TIMES = (UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN)
HELLO, CAPS, UNIT, EVENT, END, PICTURE = range(1, 7)
KEY, DISCONTINUOUS, DAMAGED = 1, 2, 4

QUEUE_BUFFERS = 8
CODED_BUFFERS = 64
"""Pictures that wait for the recorder; a live source leaves pictures out when they are full, another one waits."""
GATHER_S = 0.4
"""Coded pictures are handed on so often, several at a time: each waking-up finds two processes' caches cold, and
costs five times as much as the picture behind it."""
RHYTHM_SLACK_NS = 20_000_000
RHYTHM_DRIFT_NS = 1_000_000
PULL_NS = 200_000_000
DRAIN_S = 2.0
B_FRAMES_NS = 200_000_000
"""What is played in real time comes so much later, so that no picture comes before its time by its B-frames."""
MAX_PICTURE_BYTES = 64 << 20
PR_SET_PDEATHSIG = 1

TRAILING_CAPS = re.compile(r"!\s*[a-z]+/[\w.+-]+(\([^()!]*\))?(\s*,[^!]*)?$")
PARSERS = {"video/x-h264": ("h264parse", "h264"), "video/x-h265": ("h265parse", "hevc")}
DEVICE_MEMORY = "memory:NVMM"


class Records:
    """Writes records, from any thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()  # protects the number, and keeps records whole
        self._number = 0
        self._left: list[memoryview] = []

    def write(
        self, kind: int, payload: bytes = b"", flags: int = 0, times: Times = NO_TIMES, is_last: bool = True
    ) -> None:
        """Write one record, unless another one follows at once; waits as long as the recorder does not read."""
        with self._lock:
            head = HEAD.pack(MAGIC, kind, flags, 0, len(payload), self._number, *times)
            check = CHECK.pack(zlib.crc32(head))
            self._number = (self._number + 1) & 0xFFFFFFFF
            left = self._left
            left += [memoryview(head + check), memoryview(payload), memoryview(check)]
            while left and is_last:
                written = os.writev(self._descriptor, left)
                while left and written >= len(left[0]):
                    written -= len(left.pop(0))
                if left:
                    left[0] = left[0][written:]

    def tell(self, kind: int, **fields: object) -> None:
        """Write a record of JSON."""
        self.write(kind, json.dumps(fields).encode())


class RefusedError(Exception):
    """The order cannot be carried out: `fields` are those of an event."""

    def __init__(self, code: int | str, message: str, **more: object) -> None:
        super().__init__(message)
        self.fields: dict[str, object] = {
            "severity": "error",
            "domain": "order",
            "code": code,
            "message": message,
            **more,
        }


def load_gstreamer() -> tuple[Bound, Bound]:
    """GStreamer's bindings, initialised.

    Raises:
        RefusedError: they are not installed.
    """
    try:
        import gi
    except ImportError as error:
        raise RefusedError("no-bindings", str(error)) from error
    try:
        gi.require_version("Gst", "1.0")
        from gi.repository import GLib, Gst
    except (ImportError, ValueError) as error:
        raise RefusedError("no-gstreamer", str(error)) from error
    try:
        Gst.init([])
    except GLib.Error as error:
        raise RefusedError("no-gstreamer", error.message) from error
    return Gst, GLib


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


class Rhythm:
    """When to wake up next: just after each key frame, where the recorder closes its fragments, and in between."""

    def __init__(self, clock: Bound) -> None:
        self._clock = clock
        self._key_ns = self._group_ns = 0
        self._late_ns = 1 << 62

    def note(self, capture_ns: int, is_key: bool, is_newest: bool) -> None:
        """A picture was pulled, which was taken then."""
        if is_newest:  # others have waited
            self._late_ns = min(self._late_ns + RHYTHM_DRIFT_NS, self._clock.get_time() - capture_ns)
        if is_key:
            self._group_ns = capture_ns - self._key_ns if self._key_ns else 0
            self._key_ns = capture_ns

    def pause_s(self) -> float:
        """For how long to sleep."""
        if not 0 < self._group_ns < 10 * 10**9:
            return GATHER_S
        step_ns = self._group_ns / math.ceil(self._group_ns / 1e9 / GATHER_S)
        since_ns = self._clock.get_time() - self._key_ns - self._late_ns - RHYTHM_SLACK_NS
        pause_s = float(step_ns - since_ns % step_ns) / 1e9
        return pause_s if pause_s > 0.02 else pause_s + step_ns / 1e9


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


class Listener:
    """Passes on what the pipeline says on its bus, in a thread of its own."""

    def __init__(self, line: Pipeline, records: Records) -> None:
        self._line = line
        self._records = records
        self.failed = threading.Event()
        """An error was passed on."""

    def run(self) -> None:
        """For ever."""
        kinds = self._line.gst.MessageType
        wanted = kinds.ERROR | kinds.WARNING | kinds.LATENCY
        bus = self._line.pipeline.get_bus()
        while True:
            message = bus.timed_pop_filtered(self._line.gst.CLOCK_TIME_NONE, wanted)
            if message.type == kinds.LATENCY:
                self._line.pipeline.recalculate_latency()
            else:
                self._tell(message, message.type == kinds.ERROR)

    def _tell(self, message: Bound, is_error: bool) -> None:
        error, debug = message.parse_error() if is_error else message.parse_warning()
        factory = message.src.get_factory() if isinstance(message.src, self._line.gst.Element) else None
        self._records.tell(
            EVENT,
            severity="error" if is_error else "warning",
            domain=error.domain,
            code=error.code,
            message=error.message[:1000],
            element=message.src.get_name() if message.src else "",
            factory=factory.get_name() if factory else "",
            debug=(debug or "")[:1000],
        )
        if is_error:
            self.failed.set()
            self._line.over.set()


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


class Obedience:
    """Carries out what the recorder asks, in a thread of its own; ends the process when the recorder is gone."""

    def __init__(self, control: TextIO) -> None:
        self._control = control
        self.line: Pipeline | None = None
        """Once there is one."""

    def run(self) -> None:
        """Until the recorder is gone."""
        for text in self._control:
            word = text.strip()
            if word == "key" and self.line is not None:
                self.line.ask_key()
            elif word == "stop" and self.line is not None:
                self.line.hurry.set()
                threading.Thread(target=self.line.end, daemon=True).start()
            elif word == "stop":
                break
        os._exit(0)


def stop_pipeline(line: Pipeline) -> None:
    """Give the camera back, for `DRAIN_S` at most: some libraries never come back from it."""
    thread = threading.Thread(target=line.pipeline.set_state, args=(line.gst.State.NULL,), daemon=True)
    thread.start()
    thread.join(DRAIN_S)


def run(order: Order, obedience: Obedience, records: Records, pictures: "int | None") -> str:
    """Carry out one order; why it ended.

    Raises:
        RefusedError: it cannot be carried out.
    """
    gst, glib = load_gstreamer()
    records.tell(HELLO, gstreamer=gst.version_string(), python=".".join(map(str, sys.version_info[:3])))
    line = Pipeline(gst, glib, order)
    listener, pump = Listener(line, records), Pump(line, records)
    threading.Thread(target=listener.run, daemon=True).start()
    obedience.line = line
    is_live = line.start(order["settle_s"], order["is_free"])
    if is_live is not None:
        if pictures is not None:
            threading.Thread(target=Feed(line, pictures).run, daemon=True).start()
        threading.Thread(target=pump.run, daemon=True).start()
        line.over.wait()
    failed = listener.failed.wait(DRAIN_S if is_live is None else 0.1)
    stop_pipeline(line)
    return "failed" if failed or is_live is None else "ended"


def main() -> int:
    """Serve one recorder."""
    if len(sys.argv) == 3:  # an encoder may outlive the thread that started it, a camera's pipeline may not
        parent = os.getppid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            return 0
    output, control = int(sys.argv[1]), open(int(sys.argv[2]), encoding="utf-8")  # noqa: PTH123, SIM115 -- as in Feed
    pictures = int(sys.argv[3]) if len(sys.argv) > 3 else None
    records = Records(output)
    order, obedience = json.loads(control.readline()), Obedience(control)
    threading.Thread(target=obedience.run, daemon=True).start()
    try:
        reason = run(order, obedience, records, pictures)
    except RefusedError as error:
        records.tell(EVENT, **error.fields)
        reason = "refused"
    records.tell(END, reason=reason)
    return 0


if __name__ == "__main__":
    code = main()
    os._exit(code)  # a thread inside a library would hold the end up
