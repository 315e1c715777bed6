"""History: what the unit noted while nobody heard it, kept for the supervision centre (`up/history`).

Whoever makes health or positions notes every sample here; what becomes of it is decided here alone.
"""

from typing import Any

from edge_agent.contract.messages import HistoryKind
from edge_agent.uplink.stamps import Stamper


class History:
    """Takes notes; see the module."""

    def __init__(self, stamper: Stamper) -> None:
        """`stamper` knows the boot and the clocks."""
        self._stamper = stamper

    def note(
        self, kind: HistoryKind, body: dict[str, Any], boot_id: str | None = None, at_us: int | None = None
    ) -> None:
        """Take notice of a sample that was made just now; never waits, never fails.

        Args:
            kind: `health` or `position`.
            body: of `up/health` or `up/position`, as JSON types.
            boot_id: of the boot that it was made in; the present one unless given.
            at_us: the wall clock when it was made; now unless given.
        """
