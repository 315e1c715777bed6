"""Access units to the boxes of a segment, by one short-lived libav muxer a fragment.

libav's muxer for fragmented MP4 (libavformat/movenc.c) writes a fragment out when it is told to end, and PyAV can
tell it so only by closing it. A muxer that lives for one fragment costs less than waiting for the next packet, and
the units stay in the caller's hands until their bytes are on disk. What each option is for:

- `frag_custom`: no fragment is cut but at the end;
- `empty_moov`: the header stands alone, and no edit list shifts the pictures;
- `default_base_moof`: offsets in a `moof` count from it, so a fragment may lie anywhere (ISO/IEC 14496-12 §8.8.7);
- `frag_discont`: `tfdt` carries the first unit's own decode time instead of zero;
- `use_editlist=0`: `tfdt` is that unit's decode time; with edit lists allowed (the default once
  `avoid_negative_ts` is disabled) libav writes its presentation time there;
- `skip_trailer`: no `mfra` behind the last fragment;
- `fragment_index`: the `mfhd` sequence number;
- `avoid_negative_ts=disabled`: times are written as they are;
- `fflags=bitexact`: no library version in the file, so that the same units give the same bytes.

Not `cmaf`: it implies `negative_cts_offsets`, which shifts the pictures of a stream with B-frames.
"""

import io
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

import av
from av.container import OutputContainer
from av.stream import Stream

from edge_agent.contract.access_unit import TIMESCALE_HZ, AccessUnit, CodecConfig
from edge_agent.contract.boxes import walk
from edge_agent.errors import FormatError

_MOVFLAGS = "frag_custom+empty_moov+default_base_moof+skip_trailer+frag_discont"
_TIME_BASE = Fraction(1, TIMESCALE_HZ)
_IO_BUFFER_BYTES = 1 << 16
_CONFIGS_KEPT = 4


class _Pieces:
    """A file to PyAV: what is written to it, in order."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(data)
        return len(data)

    def clear(self) -> None:
        self._pieces.clear()

    def joined(self) -> bytes:
        return b"".join(self._pieces)


def mux_header(config: CodecConfig) -> bytes:
    """`ftyp moov` of a segment: one video track without samples, timescale 90,000.

    Args:
        config: extradata may be `avcC`/`hvcC`, which is copied as it is, or Annex B, which libav converts.

    Raises:
        FormatError: libav refuses the codec parameters.
    """
    pieces = _Pieces()
    try:
        with _open(pieces, 1) as output:
            output.add_stream_from_template(_template(config), opaque=True)
            output.start_encoding()
    except (av.FFmpegError, ValueError) as error:
        raise FormatError(f"{config.codec} parameters cannot be muxed: {error}") from error
    data = pieces.joined()
    _expect(data, (b"ftyp", b"moov"))
    return data


def mux_fragment(config: CodecConfig, units: Sequence[AccessUnit], number: int) -> bytes:
    """`moof mdat` of one fragment; decode and presentation times and durations exactly those of the units.

    Args:
        config: the same as that of the segment's header.
        units: at least one, decode times rising; the last one's duration is written, the others' follow from times.
        number: of the fragment in its segment, from 1; the `mfhd` sequence number.

    Raises:
        FormatError: libav refuses a unit; nothing is kept, the same units may be tried again.
    """
    if not units:
        raise FormatError("a fragment without access units")
    pieces = _Pieces()
    try:
        with _open(pieces, number) as output:
            stream = output.add_stream_from_template(_lean_template(config), opaque=True)
            stream.codec_context.extradata = config.extradata
            stream.time_base = _TIME_BASE
            output.start_encoding()
            pieces.clear()
            for unit in units:
                output.mux_one(_packet(unit, stream))
    except (av.FFmpegError, ValueError) as error:
        raise FormatError(f"fragment {number} at {units[0].dts_90k}/90000 s cannot be muxed: {error}") from error
    data = pieces.joined()
    _expect(data, (b"moof", b"mdat"))
    return data


def _open(pieces: _Pieces, number: int) -> OutputContainer:
    return av.open(
        pieces,
        "w",
        format="mp4",
        buffer_size=_IO_BUFFER_BYTES,
        container_options={
            "movflags": _MOVFLAGS,
            "fragment_index": str(number),
            "use_editlist": "0",
            "video_track_timescale": str(TIMESCALE_HZ),
            "avoid_negative_ts": "disabled",
            "fflags": "+bitexact",
        },
    )


@lru_cache(maxsize=_CONFIGS_KEPT)
def _template(config: CodecConfig) -> av.VideoStream:
    """A stream with the codec's parameters to copy from; its own container is never written.

    PyAV makes streams with extradata only out of other streams: the first, made by name, lends its codec; the second,
    made from it, takes the parameters and is never opened as an encoder.
    """
    named = _open(_Pieces(), 1).add_stream(config.codec)
    output = _open(_Pieces(), 1)
    stream = output.add_stream_from_template(named, opaque=True)
    context = stream.codec_context
    context.width, context.height = config.width_px, config.height_px
    context.extradata = config.extradata
    stream.time_base = _TIME_BASE
    output.start_encoding()
    return stream


@lru_cache(maxsize=_CONFIGS_KEPT)
def _lean_template(config: CodecConfig) -> av.VideoStream:
    """As `_template`, but with a decoder's context, which is copied in a third of the time of an encoder's."""
    return av.open(io.BytesIO(mux_header(config)), "r", format="mp4").streams.video[0]


def _packet(unit: AccessUnit, stream: av.VideoStream) -> "av.Packet[Stream]":
    packet = av.Packet(unit.data)
    packet.stream = stream
    packet.time_base = _TIME_BASE
    packet.pts = unit.pts_90k
    packet.dts = unit.dts_90k
    packet.duration = unit.duration_90k
    packet.is_keyframe = unit.is_key
    return packet


def _expect(data: bytes, kinds: tuple[bytes, ...]) -> None:
    found = tuple(box.kind for box in walk(data))
    if found != kinds:
        raise FormatError(f"libav wrote boxes {found}, expected {kinds}")
