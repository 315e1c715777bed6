"""Makes what a camera's pictures go through: its hook, its encoders, and where they end."""

from datetime import UTC, tzinfo

from edge_agent.camera_settings import CameraSettings
from edge_agent.capture.encoding.kinds import KINDS
from edge_agent.capture.encoding.ladder import EncoderLadder
from edge_agent.capture.frames.hook import FrameHook
from edge_agent.capture.frames.sampling import ImageSampler
from edge_agent.capture.frames.text import TextLine
from edge_agent.capture.source import FrameOutputs
from edge_agent.capture.stills import StillDesk
from edge_agent.capture.timeline import MediaTimeline
from edge_agent.clock import Clock
from edge_agent.contract.access_unit import StreamSink


def make_outputs(
    camera: CameraSettings,
    clock: Clock,
    main: StreamSink,
    proxy: StreamSink | None = None,
    *,
    label: str = "",
    zone: tzinfo | None = None,
) -> FrameOutputs:
    """One a recorder's life.

    Args:
        camera: its settings.
        clock: the clocks.
        main: the main ring.
        proxy: the proxy's ring, where this process keeps one.
        label: unit and site, for text in the picture.
        zone: of the site, likewise; None: UTC is written.
    """
    text = TextLine(label, zone or UTC, clock) if camera.overlay else None
    return FrameOutputs(
        hook=FrameHook(camera.masks, clock, text=text, sampler=ImageSampler()),
        encoders=EncoderLadder(camera.encoder, KINDS, clock),
        main=main,
        proxy=proxy,
        proxy_timeline=MediaTimeline(clock.monotonic_us()),
        stills=StillDesk(clock),
    )
