"""`edge-agent still`: a picture of what a camera records now, while it goes on recording."""

import argparse
import base64
import binascii
from pathlib import Path

from edge_agent.buffer.client import call_sync
from edge_agent.clock import Clock
from edge_agent.contract.ring_protocol import MAX_STILL_WAIT_S, StillAnswer, StillRequest
from edge_agent.contract.times import format_utc
from edge_agent.durable import create_file
from edge_agent.errors import ContractError, RingError, RingStorageError, UsageError
from edge_agent.paths import ring_socket
from edge_agent.recorder import find_ring
from edge_agent.settings import Settings


def save_still(options: argparse.Namespace, settings: Settings, clock: Clock) -> int:
    """Ask the recorder, write the file, print what it shows.

    Raises:
        SettingsError: no such camera.
        UsageError: a time to wait that is none, or a target that is there or has no folder.
        RingUnavailableError: the recorder does not answer.
        RingError: the camera gives no picture, or the file cannot be written.
    """
    camera = find_ring(settings, options.camera)
    target: Path = options.output
    _check(options.wait, target)
    request = StillRequest(wait_s=options.wait)
    answer = call_sync(ring_socket(settings.unit.data_dir, camera.name), request.to_object(), clock)
    still, jpeg = _read(answer)
    try:
        create_file(target, jpeg)
    except FileExistsError as error:
        raise UsageError(f"{target} is there already; name another file") from error
    except OSError as error:
        raise RingStorageError(f"{target} cannot be written: {error.strerror or error}") from error
    bound = "bound unknown" if still.clock.bound_us is None else f"±{still.clock.bound_us / 1000:.0f} ms"
    print(
        f"{camera.name}: {still.width_px}x{still.height_px}, taken {format_utc(still.at_us)}"
        f" (clock {still.clock.source}, {bound}), {still.age_s:.1f} s ago, {len(jpeg) / 1e3:.0f} kB"
    )
    print(target)
    return 0


def _check(wait_s: float, target: Path) -> None:
    """Before the camera is asked: what the person wrote.

    Raises:
        UsageError: a time to wait that is none, or a target that is there or has no folder.
    """
    if not 0 < wait_s <= MAX_STILL_WAIT_S:
        raise UsageError(f"--wait {wait_s:g} is not above 0 and at most {MAX_STILL_WAIT_S:g} seconds")
    if target.exists():
        raise UsageError(f"{target} is there already; name another file")
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent} is no folder; make it, or name another one")


def _read(answer: dict[str, object]) -> tuple[StillAnswer, bytes]:
    try:
        still = StillAnswer.from_object(answer)
        return still, base64.b64decode(still.jpeg_base64, validate=True)
    except (ContractError, binascii.Error) as error:
        raise RingError(f"the recorder's answer cannot be understood: {error}") from error
