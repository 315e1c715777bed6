"""What a ring asks of the recorder around it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from edge_agent.contract.ring_protocol import CaptureFigures

logger = logging.getLogger(__name__)


def _nothing() -> None:
    """Nobody holds units back."""


def _no_figures() -> CaptureFigures | None:
    return None


def _log_fatal(error: BaseException) -> None:
    logger.critical("the ring does not record any more", exc_info=error)


@dataclass(frozen=True, slots=True)
class RingHooks:
    """Calls that a ring makes; any of its threads may make them.

    Attributes:
        warnings: what is wrong with the pictures, for segment headers and the state.
        before_flush: called when the time of a fragment is over, before it is written, and before figures are told:
            whoever holds back units that came before writes them to the ring.
        on_fatal: told once of a defect that ended one of the ring's threads: the process should end.
        capture: what the camera and its encoders say of themselves, for the state.
    """

    warnings: Callable[[], tuple[str, ...]] = tuple
    before_flush: Callable[[], None] = _nothing
    on_fatal: Callable[[BaseException], None] = _log_fatal
    capture: Callable[[], CaptureFigures | None] = _no_figures
