"""Which encoder works on this board: shown by encoding a second of pictures, not by its name.

An Orin Nano has NVIDIA's elements and no engine behind them, and an engine may be wedged. So the camera's pipeline is
preceded by a trial of its encoder, each time, with drawn pictures and the camera left alone.
"""

import threading

from edge_agent.capture.gstreamer.address import ArgusCamera
from edge_agent.capture.gstreamer.argus import DEFAULT_HEIGHT_PX, DEFAULT_WIDTH_PX, argus_pipeline
from edge_agent.capture.gstreamer.chains import Chain, Wish, candidates, trial
from edge_agent.capture.gstreamer.framing import Kind, RecordReader
from edge_agent.capture.gstreamer.messages import End, Event, read_message
from edge_agent.capture.gstreamer.process import Order, running
from edge_agent.capture.source import SourceContext
from edge_agent.contract.errors import FormatError
from edge_agent.errors import SourceUnavailableError
from edge_agent.settings import CameraSettings

PICTURES = 25
TRIAL_S = 10.0


def why_not(chain: Chain, width_px: int, height_px: int, context: SourceContext) -> str | None:
    """Try an encoder out; why it does not work, None when it does."""
    order = Order(trial(chain, width_px, height_px, PICTURES), is_free=True)
    with running(order) as child:
        context.activity.interrupt = child.kill
        timer = threading.Timer(TRIAL_S, child.kill)
        timer.start()
        try:
            return _outcome(child.reader)
        except FormatError as error:
            return str(error)
        finally:
            timer.cancel()


def _outcome(reader: RecordReader) -> str | None:
    units, fault = 0, ""
    while (record := reader.read()) is not None:
        if record.kind is Kind.UNIT:
            units += 1
        elif record.kind is Kind.EVENT:
            event = read_message(Event, record.payload)
            fault = fault or (event.message if event.severity == "error" else "")
        elif record.kind is Kind.END:
            ended = read_message(End, record.payload).reason == "ended"
            return None if ended and units >= PICTURES - 1 else fault or f"{units} of {PICTURES} pictures came"
    return fault or f"it did not end within {TRIAL_S:.0f} s"


def working_pipeline(
    camera: ArgusCamera, settings: CameraSettings, context: SourceContext, stop: threading.Event
) -> str:
    """The camera's pipeline with the first encoder that works.

    Raises:
        SourceUnavailableError: none does.
    """
    if settings.masks or settings.overlay or not _may_choose(settings):
        return argus_pipeline(camera, settings, None)  # raw: encoded behind the frame hook, by what the settings name
    width_px, height_px = settings.width or DEFAULT_WIDTH_PX, settings.height or DEFAULT_HEIGHT_PX
    reasons: list[str] = []
    for chain in candidates(Wish.of(settings)):
        if stop.is_set():
            break
        reason = why_not(chain, width_px, height_px, context)
        if reason is None:
            context.report.encoder(chain.name, "; ".join([*_lacks(chain, settings), *reasons]))
            return argus_pipeline(camera, settings, chain)
        reasons.append(f"{chain.name} does not work: {reason}")
    raise SourceUnavailableError(f"gstreamer:argus: no encoder works: {'; '.join(reasons)}")


def _may_choose(settings: CameraSettings) -> bool:
    """Whether the pipeline's own encoder is among those that the settings allow."""
    order = settings.encoder.order
    return order is None or "gstreamer" in order or "camera" in order


def _lacks(chain: Chain, settings: CameraSettings) -> list[str]:
    """What it does not follow."""
    is_lacking = settings.encoder.quality is not None and not chain.has_quality
    return ["goes by bit rate: it has no constant quality"] if is_lacking else []
