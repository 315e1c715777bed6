"""A ring for the command line: asked of the recorder that owns it, or opened when nobody does."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from edge_agent.buffer.client import call_sync
from edge_agent.buffer.live_state import RingContext
from edge_agent.buffer.ring import Ring
from edge_agent.clock import Clock
from edge_agent.contract.ring_protocol import PlanRequest, PlanResult
from edge_agent.errors import ContractError, RingBusyError, RingError
from edge_agent.paths import ring_socket
from edge_agent.settings import CameraSettings


class RingAccess(Protocol):
    """What the command line does with a ring."""

    def plan(self, request: PlanRequest) -> PlanResult:
        """Plan a clip and pin its segments.

        Raises:
            RingRequestError: the request is rejected.
            RingError: the ring failed or does not answer.
        """
        ...

    def release(self, clip_id: str) -> bool:
        """Remove a plan and its pins; False when there was none.

        Raises:
            RingError: the ring failed or does not answer.
        """
        ...


class AskedRing:
    """The ring of a running recorder, through its socket."""

    def __init__(self, socket_path: Path, clock: Clock) -> None:
        self._socket_path = socket_path
        self._clock = clock

    def plan(self, request: PlanRequest) -> PlanResult:
        """As `RingAccess.plan`."""
        answer = call_sync(self._socket_path, request.to_object(), self._clock)
        try:
            return PlanResult.from_object(answer)
        except ContractError as error:
            raise RingError(f"the recorder's answer cannot be understood: {error}") from error

    def release(self, clip_id: str) -> bool:
        """As `RingAccess.release`."""
        answer = call_sync(self._socket_path, {"op": "release", "clip_id": clip_id}, self._clock)
        return answer.get("released") is True


@contextmanager
def open_or_ask(data_dir: Path, camera: CameraSettings, context: RingContext, clock: Clock) -> Iterator[RingAccess]:
    """A camera's ring, opened without recording, and its index completed, when no recorder owns it.

    Raises:
        RingStorageError: the storage refused.
        RingUnavailableError: a recorder owns the ring and does not answer (raised by the calls).
    """
    try:
        ring = Ring.open(data_dir, camera, context, clock, record=False)
    except RingBusyError:
        yield AskedRing(ring_socket(data_dir, camera.name), clock)
        return
    try:
        ring.complete_index()
        yield ring
    finally:
        ring.close()
