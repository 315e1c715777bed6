"""What the command executors need of their neighbours: recorders and transfers."""

from pathlib import Path
from typing import Protocol

from edge_agent.contract.clip import Interval
from edge_agent.contract.commands import Priority
from edge_agent.contract.messages import CameraCoverage
from edge_agent.contract.ring_protocol import CoveragePage, PlanRequest, PlanResult, RecorderState


class RingPort(Protocol):
    """A camera's recorder, as `edge_agent.buffer.client.RingClient` shows it; every call has a deadline.

    Every method raises RingUnavailableError, RingRequestError or RingError.
    """

    async def state(self) -> RecorderState:
        """The recorder's figures."""
        ...

    async def plan(self, request: PlanRequest) -> PlanResult:
        """Plan a clip and pin its segments; safe to repeat with the same `clip_id`."""
        ...

    async def release(self, clip_id: str) -> bool:
        """Remove a plan and its pins; False when there was none."""
        ...

    async def plans(self) -> list[str]:
        """Ids of the clips that have a plan."""
        ...

    async def coverage(self, max_intervals: int = 60) -> CameraCoverage:
        """What the ring holds."""
        ...

    async def coverage_query(
        self, interval: Interval, cursor: str | None = None, max_intervals: int = 80
    ) -> CoveragePage:
        """One page of footage and gaps between two instants."""
        ...


class TransferPort(Protocol):
    """The uploads, which go on by themselves from their own durable state."""

    async def submit(self, clip_id: str, plan_file: Path, url: str, priority: Priority) -> None:
        """Begin an upload; a known one is left alone, a delivered one is reported delivered again.

        Raises:
            TransferInterruptedError: the storage refuses; to be submitted again.
        """
        ...

    async def cancel(self, clip_id: str) -> None:
        """End an upload and forget its state, whatever it is; safe to repeat.

        Raises:
            TransferInterruptedError: the storage refuses; to be cancelled again.
        """
        ...

    async def known(self) -> list[str]:
        """Clips whose upload has a state."""
        ...
