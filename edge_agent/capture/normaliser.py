"""Dirty packets in, dated access units out.

What it guarantees to the sink, whatever comes in: decode times of a run strictly rise, over reconnections too;
presentation is never before decode; durations are positive; a stream begins with a key frame whose parameter sets are
in the configuration. Not a byte of a coded picture is changed, and packets are never reordered.

What it does with stamps:

- **Wrapped** at 32 or 33 bits: continued (`stamps.Unwrapper`).
- **Missing**: the first packets of a stream wait until one with a stamp came and are dated backwards from it by the
  nominal frame duration; later ones follow the picture before by that duration, held within 0.2 s of their arrival;
  a source without any stamps is dated by arrival.
- **Equal** presentation stamps: slices of one picture are joined (`joiner.Joiner`); the second of two pictures is
  dated as if it had none.
- **Decode stamp missing or above the presentation stamp**: rebuilt (`stamps.ReorderEstimator`).
- **Not rising** by a little: bumped to one unit after the picture before, its presentation too where it must.
- **Jumping** (backwards; or by over 0.5 s ahead of what can have been taken at once, or by over 2 s gradually; or
  over 2 s behind for 5 s): time runs on unbroken up to the next key frame, where a new stream begins
  (`timestamp-jump`); no picture is thrown away.
- **Silent** for over 2 s, stamps and arrival agreeing: the stream ends there and a new one begins at the next key
  frame (`camera-lost`).
- **Parameter sets changed** before a key frame: a new stream (`parameters-changed`).
"""

from fractions import Fraction

from edge_agent.capture.dater import Dated, Dater, Picture
from edge_agent.capture.gradual_refresh import GradualRefresh
from edge_agent.capture.joiner import Joiner
from edge_agent.capture.packet import RawPacket
from edge_agent.capture.parameter_sets import ParameterSets
from edge_agent.capture.source import SourceContext
from edge_agent.capture.stamps import TimeBase, Unwrapper
from edge_agent.contract.access_unit import TIMESCALE_HZ, AccessUnit, CodecConfig, GapCause, StreamSink
from edge_agent.contract.errors import FormatError
from edge_agent.errors import SourceFormatError

_SETTLE_US = 500_000
_MAX_HELD = 256
_KEY_WAIT_US = 60_000_000
_DEFAULT_FPS = 25.0
_MAX_DURATION_90K = 10 * TIMESCALE_HZ


class Normaliser:
    """One attempt's packets, on their way to the sink."""

    def __init__(
        self,
        sink: StreamSink,
        context: SourceContext,
        config: CodecConfig,
        time_base: Fraction,
        *,
        reorder_depth: int = 0,
    ) -> None:
        """Prepare for one attempt.

        Args:
            sink: gets the access units.
            context: the attempt's; its `cause` is that of the first stream.
            config: as the demuxer tells it; what stands in band wins.
            time_base: seconds a unit of the packets' stamps.
            reorder_depth: pictures decoded before one that is shown earlier, if the demuxer knows.

        Raises:
            SourceFormatError: torn extradata.
        """
        self._sink = sink
        self._timeline = context.timeline
        self._activity = context.activity
        self._cause: GapCause | None = context.cause
        """Why the next key frame begins a new stream; None when it does not."""
        try:
            self._sets = ParameterSets(config)
        except FormatError as error:
            raise SourceFormatError(f"the stream's codec configuration is damaged: {error}") from error
        self._joiner = Joiner(self._sets.framing)
        self._base = TimeBase(time_base)
        self._unwrapper = Unwrapper(time_base)
        self._dater = Dater(round(TIMESCALE_HZ / (config.frame_rate_fps or _DEFAULT_FPS)), reorder_depth)
        self._held: list[Picture] | None = []
        """The first pictures, until their delay and stamps are known; None once they were handed on."""
        self._streaming = False
        self._refresh = GradualRefresh()
        self._shift = 0
        self._keyless_since_us: int | None = None

    def push(self, packet: RawPacket) -> None:
        """Take the next packet.

        Raises:
            SourceFormatError: no picture at which decoding can begin came for a minute.
        """
        self._activity.touch(packet.arrival_us)
        if not packet.data:
            return
        for whole in self._joiner.push(packet):
            self._settle(self._stamped(whole))
        if not self._streaming:
            self._check_keyless(packet.arrival_us)

    def finish(self) -> None:
        """The packets ended: hand on what was held back."""
        for whole in self._joiner.flush():
            self._settle(self._stamped(whole))
        self._release()

    def _stamped(self, packet: RawPacket) -> Picture:
        dts = None if packet.dts is None else self._base.to_90k(self._unwrapper.unwrap(packet.dts))
        pts = None if packet.pts is None else self._base.to_90k(self._unwrapper.unwrap(packet.pts))
        return Picture(packet, pts, dts)

    def _settle(self, picture: Picture) -> None:
        if self._held is None:
            self._take(picture)
            return
        self._held.append(picture)
        packet = picture.packet
        exact = packet.capture_us is not None and picture.pts is not None
        waited_us = packet.arrival_us - self._held[0].packet.arrival_us
        if exact or waited_us >= _SETTLE_US or len(self._held) >= _MAX_HELD:
            self._release()

    def _release(self) -> None:
        held, self._held = self._held or [], None
        self._dater.settle(held)
        for picture in held:
            self._take(picture)

    def _take(self, picture: Picture) -> None:
        packet = picture.packet
        dated = self._dater.date(picture)
        if dated.broken == "jump":
            self._cause = self._cause or "timestamp-jump"
        elif dated.broken == "silence":
            self._fall_silent(dated.detail)
        if packet.is_key and self._accept_sets(packet) and self._cause is not None:
            self._start(dated)
        if self._streaming:
            self._write(packet, dated)

    def _fall_silent(self, detail: str) -> None:
        if self._streaming:
            self._sink.end_stream("camera-lost", detail)
            self._streaming = False
            self._cause = "camera-lost"

    def _accept_sets(self, packet: RawPacket) -> bool:
        """Whether a decoder can begin at this key frame; a damaged parameter set leaves those in force."""
        try:
            changed = self._sets.update(packet.parameter_sets)
        except FormatError:
            changed = False
        if changed and self._cause is None:
            self._cause = "parameters-changed"
        return self._sets.complete

    def _start(self, dated: Dated) -> None:
        cause, self._cause = self._cause, None
        if cause is None:
            return
        if not self._streaming:  # otherwise nothing is missing, and media time runs on
            placed = self._timeline.place_90k(dated.capture_us) - dated.pts
            self._shift = max(placed, self._timeline.end_90k - dated.dts)
            self._refresh = GradualRefresh()
        self._streaming = True
        self._keyless_since_us = None
        self._sink.start_stream(self._sets.config, cause)

    def _write(self, packet: RawPacket, dated: Dated) -> None:
        dts_90k = max(dated.dts + self._shift, self._timeline.last_dts_90k + 1)
        duration_90k = self._dater.nominal_90k
        if packet.capture_us is not None and packet.duration > 0:
            duration_90k = self._base.to_90k(packet.duration)
        duration_90k = max(1, min(duration_90k, _MAX_DURATION_90K))
        unit = AccessUnit(
            data=packet.data,
            pts_90k=max(dated.pts + self._shift, dts_90k),
            dts_90k=dts_90k,
            duration_90k=duration_90k,
            is_key=packet.is_key,
            capture_us=dated.capture_us,
            keys_back=self._refresh.keys_back(
                is_key=packet.is_key,
                is_reference=packet.is_reference,
                count=0 if packet.is_idr else packet.recovery_count,
            ),
            received_us=packet.received_us,
        )
        self._timeline.wrote(dts_90k, duration_90k)
        self._sink.write(unit)

    def _check_keyless(self, arrival_us: int) -> None:
        if self._keyless_since_us is None:
            self._keyless_since_us = arrival_us
        if arrival_us - self._keyless_since_us > _KEY_WAIT_US:
            raise SourceFormatError(
                "no key frame with parameter sets came for 60 s; set the camera's key-frame interval to 1-2 s"
            )
