"""The plans of a ring: durable in their folder, mirrored in the index, each holding its segments by a pin."""

import logging
from collections.abc import Sequence
from pathlib import Path

from edge_agent.buffer.clip.store import list_plans, plan_path, read_plan, remove_plan, sweep_unfinished, write_plan
from edge_agent.buffer.holdings import Holdings
from edge_agent.buffer.index import Index
from edge_agent.buffer.layout import plan_file_name
from edge_agent.buffer.pins import Pin
from edge_agent.contract.clip import ClipPlan
from edge_agent.contract.codes import ErrorCode
from edge_agent.contract.ring_protocol import PlanResult
from edge_agent.errors import ContractError, FormatError, RingRequestError, RingStorageError
from edge_agent.os_errors import is_rotten

logger = logging.getLogger(__name__)

_SUMMARY_BYTES = 16_000


class PlanShelf:
    """Puts plans there and takes them away; the file is the plan, the index only its copy."""

    def __init__(self, holdings: Holdings, index: Index, directory: Path, camera: str) -> None:
        self._holdings = holdings
        self._index = index
        self._directory = directory
        self._camera = camera

    def load(self) -> int:
        """Take the plans that are on disk into the pins; the highest segment number that they name.

        Raises:
            RingStorageError: the storage refused.
        """
        mirrored = self._index.plans()
        clip_ids = self._listed()
        if clip_ids is None:
            clip_ids = sorted(mirrored)
        for clip_id in mirrored.keys() - set(clip_ids):
            self._index.drop_plan(clip_id)
        highest = 0
        for clip_id in clip_ids:
            pin = self._pin_of(clip_id, mirrored.get(clip_id))
            if pin is not None:
                with self._holdings.lock:
                    self._holdings.pins.put(clip_id, pin)
                highest = max(highest, *pin.sequences, 0)
        return highest

    def _listed(self) -> list[str] | None:
        """Clips with a plan; None when the storage cannot read the folder: the index's copies then hold."""
        try:
            sweep_unfinished(self._directory)
            return list_plans(self._directory)
        except OSError as error:
            if not is_rotten(error):
                raise RingStorageError(f"cannot read {self._directory}: {error.strerror}") from error
            logger.warning("plans pin what the index says: %s", error)
            return None

    def _pin_of(self, clip_id: str, mirrored: tuple[bytes, list[int]] | None) -> Pin | None:
        if mirrored is not None:
            try:
                result = PlanResult.from_json(mirrored[0], _SUMMARY_BYTES)
            except ContractError:
                logger.warning("the index's copy of plan %s is unreadable: the plan itself is read", clip_id)
            else:
                if result.state == "planned":
                    return Pin(frozenset(mirrored[1]), None, result)
        try:
            plan = read_plan(plan_path(self._directory, clip_id))
        except FormatError as error:
            logger.warning("plan %s pins nothing: %s", clip_id, error)
            return None
        sequences = frozenset(piece.sequence for part in plan.parts for piece in part.ranges)
        reserved = plan.asked if plan.state == "reserved" else None
        if reserved is not None:
            sequences = frozenset(self._holdings.overlapping(reserved))
        return Pin(sequences, reserved, result_of(plan, plan_file_name(self._camera, clip_id)))

    def drop(self, clip_id: str) -> bool:
        """Remove a plan and its pins; False when there was none.

        Raises:
            RingStorageError: the storage refused; the plan stays.
        """
        try:
            existed = remove_plan(self._directory, clip_id)
        except OSError as error:
            raise RingStorageError(f"cannot remove plan {clip_id}: {error.strerror}") from error
        with self._holdings.lock:
            self._holdings.pins.drop(clip_id)
        self._mirror_dropped(clip_id)
        return existed

    def put(self, plan: ClipPlan, headers: Sequence[bytes], pin: Pin) -> None:
        """Make a plan durable; from then on its pin is what it says.

        Args:
            plan: the plan.
            headers: of its parts, in their order.
            pin: with the answer to the request.

        Raises:
            RingRequestError: `storage-error`, the storage refused.
        """
        try:
            write_plan(self._directory, plan, headers)
        except OSError as error:
            raise RingRequestError(
                ErrorCode.STORAGE_ERROR, f"the plan of clip {plan.clip_id} cannot be stored: {error.strerror}"
            ) from error
        with self._holdings.lock:
            self._holdings.pins.put(plan.clip_id, pin)
        if pin.result is not None:
            self._mirror(plan.clip_id, pin.result, pin.sequences)

    def _mirror(self, clip_id: str, result: PlanResult, sequences: frozenset[int]) -> None:
        try:
            self._index.set_plan(clip_id, result.to_json(), sorted(sequences))
        except RingStorageError as error:
            logger.warning("plan %s is not mirrored in the index; its file holds: %s", clip_id, error)

    def _mirror_dropped(self, clip_id: str) -> None:
        try:
            self._index.drop_plan(clip_id)
        except RingStorageError as error:
            logger.warning("the index still names plan %s, which is gone: %s", clip_id, error)


def result_of(plan: ClipPlan, plan_file: str) -> PlanResult:
    """The answer to the request that a plan was made for."""
    return PlanResult(
        state=plan.state,
        plan_file=plan_file,
        length_bytes=plan.length_bytes,
        parts=len(plan.parts),
        delivered=plan.delivered,
    )
