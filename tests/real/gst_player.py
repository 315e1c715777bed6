"""A clip as GStreamer plays it: `gst_player.py FILE BITS CELL_PX [SEEK_MS …]`, by the system's Python.

Prints one JSON object: what the discoverer tells, what is demuxed and parsed (samples, times of key frames in ms),
and, where seeks are given, every picture that playbin shows as [number, time in ms], where the seeks land, and
what was complained of. Picture numbers are those of tests/support/numbered.py.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstPbutils", "1.0")

from gi.repository import Gst, GstPbutils  # noqa: E402 -- versions are chosen before import

TIMEOUT_NS = 60 * Gst.SECOND


def discover(uri: str) -> dict[str, Any]:
    info = GstPbutils.Discoverer.new(TIMEOUT_NS).discover_uri(uri)
    (video,) = info.get_video_streams()
    return {
        "result": info.get_result().value_nick,
        "duration_ms": info.get_duration() // Gst.MSECOND,
        "seekable": info.get_seekable(),
        "codec": video.get_caps().get_structure(0).get_name(),
    }


def number_of(sample: Gst.Sample, bits: int, cell_px: int) -> int:
    ok, mapped = sample.get_buffer().map(Gst.MapFlags.READ)
    assert ok
    line = bytes(mapped.data[: bits * cell_px])
    sample.get_buffer().unmap(mapped)
    return sum((line[bit * cell_px + cell_px // 2] > 128) << (bits - 1 - bit) for bit in range(bits))


def shown_ms(sample: Gst.Sample) -> int:
    segment, pts = sample.get_segment(), sample.get_buffer().pts
    return int(segment.to_stream_time(Gst.Format.TIME, pts) // Gst.MSECOND)


class Player:
    def __init__(self, uri: str) -> None:
        self.play = Gst.ElementFactory.make("playbin")
        self.sink = Gst.ElementFactory.make("appsink")
        self.sink.set_property("caps", Gst.Caps.from_string("video/x-raw,format=GRAY8"))
        self.sink.set_property("sync", False)
        self.play.set_property("video-sink", self.sink)
        self.play.set_property("uri", uri)
        self.play.set_state(Gst.State.PAUSED)
        self.play.get_state(TIMEOUT_NS)

    def preroll(self) -> Gst.Sample:
        return self.sink.emit("try-pull-preroll", TIMEOUT_NS)

    def pictures(self) -> Iterator[Gst.Sample]:
        self.play.set_state(Gst.State.PLAYING)
        while (sample := self.sink.emit("try-pull-sample", TIMEOUT_NS)) is not None:
            yield sample

    def seek(self, at_ms: int) -> None:
        flags = Gst.SeekFlags.FLUSH | Gst.SeekFlags.ACCURATE
        assert self.play.seek_simple(Gst.Format.TIME, flags, at_ms * Gst.MSECOND)
        self.play.get_state(TIMEOUT_NS)

    def complaints(self) -> list[str]:
        kinds = Gst.MessageType.ERROR | Gst.MessageType.WARNING
        bus, found = self.play.get_bus(), []
        while (message := bus.pop_filtered(kinds)) is not None:
            error = message.parse_error() if message.type == Gst.MessageType.ERROR else message.parse_warning()
            found.append(f"{message.src.get_name()}: {error[0].message}")
        return found

    def end(self) -> None:
        self.play.set_state(Gst.State.NULL)


def parsed(path: str, codec: str) -> dict[str, Any]:
    parser = "h265parse" if codec.endswith("265") else "h264parse"
    line = f"filesrc location={path} ! qtdemux ! {parser} ! appsink name=sink sync=false"
    pipeline = Gst.parse_launch(line)
    sink, samples, keys_ms = pipeline.get_by_name("sink"), 0, []
    pipeline.set_state(Gst.State.PLAYING)
    while (sample := sink.emit("try-pull-sample", TIMEOUT_NS)) is not None:
        samples += 1
        if not sample.get_buffer().get_flags() & Gst.BufferFlags.DELTA_UNIT:
            keys_ms.append(shown_ms(sample))
    pipeline.set_state(Gst.State.NULL)
    return {"samples": samples, "keys_ms": keys_ms}


def played(uri: str, bits: int, cell_px: int, seeks_ms: Sequence[int]) -> dict[str, Any]:
    player = Player(uri)
    shown = [[number_of(sample, bits, cell_px), shown_ms(sample)] for sample in player.pictures()]
    complaints = player.complaints()
    player.end()
    player, seeks = Player(uri), []
    for at_ms in seeks_ms:
        player.seek(at_ms)
        sample = player.preroll()
        seeks.append([number_of(sample, bits, cell_px), shown_ms(sample)])
    complaints += player.complaints()
    player.end()
    return {"shown": shown, "seeks": seeks, "complaints": complaints}


def main(path: str, bits: int, cell_px: int, *seeks_ms: int) -> None:
    Gst.init(None)
    uri = Path(path).resolve().as_uri()
    answer = discover(uri)
    answer |= parsed(path, answer["codec"])
    if seeks_ms:
        answer |= played(uri, bits, cell_px, seeks_ms)
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
