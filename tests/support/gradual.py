"""Streams that refresh the picture gradually, as capture hands them to the ring."""

from dataclasses import replace
from fractions import Fraction

from edge_agent.capture.normaliser import Normaliser
from edge_agent.capture.packet import RawPacket
from tests.builders import Stream
from tests.support.numbered import numbered_units
from tests.unit.capture.fakes import RecordingSink, make_context


def gradual_units(seconds: float, *, b_frames: int = 0) -> Stream:
    """Pictures with their number, one I picture at the beginning; with B-frames, one recovery takes over a group."""
    return captured(numbered_units(seconds, b_frames=b_frames, options="intra-refresh=1:keyint=8:min-keyint=1"))


def captured(stream: Stream) -> Stream:
    """The same units with what capture tells of each."""
    sink = RecordingSink()
    normaliser = Normaliser(sink, make_context(), stream.config, Fraction(1, 90_000))
    for unit in stream.units:
        times = unit.pts_90k, unit.dts_90k, unit.duration_90k
        normaliser.push(RawPacket(unit.data, *times, unit.is_key, unit.capture_us, unit.capture_us))
    normaliser.finish()
    return Stream(
        stream.config,
        tuple(replace(unit, keys_back=told.keys_back) for unit, told in zip(stream.units, sink.units, strict=True)),
    )
