"""Plans that nobody stands behind any more: their pins hold a share of the ring that clips in work could use.

Until the footage reaches its age limit, that is: retention by age minds no pin.

The link releases what its commands pinned; a ledger that was damaged and set aside knows those commands no longer,
and a clip on the unit's own command line that was killed cannot release anything. The command line's ids are of
UUID version 7, so that their age is known: such a plan is released after a day, when the slowest local copy has long
been made. Any other id came from a command, which is in the ledger before its plan is made: when no command knows it,
nobody will.
"""

import logging
import uuid
from collections.abc import Mapping

from edge_agent.clock import Clock
from edge_agent.errors import LedgerError, RingError
from edge_agent.uplink.ledger import Ledger
from edge_agent.uplink.ports import RingPort

logger = logging.getLogger(__name__)

KEPT_S = 24 * 3600
_UUID7 = 7


def made_us(clip_id: str) -> int | None:
    """When an id was made, microseconds since 1970 (RFC 9562 §5.7); None when it is no UUIDv7."""
    number = uuid.UUID(clip_id)
    return (number.int >> 80) * 1000 if number.version == _UUID7 else None


async def release_old_plans(rings: Mapping[str, RingPort], ledger: Ledger, clock: Clock) -> None:
    """Look once; what cannot be looked at or released now is met the next time."""
    for camera, ring in rings.items():
        try:
            for clip_id in await ring.plans():
                if _is_old(clip_id, clock) and await ledger.find(clip_id) is None:
                    logger.warning("clip %s of %s: nobody stands behind its plan: released", clip_id, camera)
                    await ring.release(clip_id)
        except (RingError, LedgerError) as error:
            logger.debug("plans of %s: %s", camera, error)


def _is_old(clip_id: str, clock: Clock) -> bool:
    begun_us = made_us(clip_id)
    # An id of the far future was made by a clock that was wrong, and would never become old.
    return begun_us is None or abs(clock.wall_us() - begun_us) > KEPT_S * 1_000_000
