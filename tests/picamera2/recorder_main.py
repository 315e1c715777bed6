"""`edge-agent`, with the virtual camera in the place of a real one; signals play its faults.

SIGUSR1: no picture comes any more. SIGUSR2: the camera's thread does not come back.
"""

import signal
import sys

from edge_agent.capture.picamera.source import PicameraSource
from edge_agent.capture.source import SourceContext
from edge_agent.capture.table import SOURCES
from edge_agent.cli import main
from edge_agent.settings import CameraSettings
from tests.picamera2.virtual import VirtualPicamera2, virtual_library


def make_source(settings: CameraSettings, context: SourceContext) -> PicameraSource:
    """The source of `picamera2:` on the virtual camera."""
    return PicameraSource(settings, context, virtual_library)


def _fall_silent(_number: int, _frame: object) -> None:
    VirtualPicamera2.pacer.is_silent = True


def _get_stuck(_number: int, _frame: object) -> None:
    VirtualPicamera2.pacer.is_stuck = True


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _fall_silent)
    signal.signal(signal.SIGUSR2, _get_stuck)
    SOURCES["picamera2"] = "tests.picamera2.recorder_main:make_source"
    sys.exit(main())
