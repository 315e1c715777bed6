"""Durable commands that are answered at once: `clip.cancel`, `clip.list`, `command.query`, `coverage.query`."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from edge_agent.contract.clip import Interval
from edge_agent.contract.codes import ErrorCode
from edge_agent.contract.commands import ClipCancel, ClipList, CommandQuery, CoverageQuery
from edge_agent.contract.model import canonical_json
from edge_agent.contract.ring_protocol import CoveragePage
from edge_agent.contract.times import format_utc
from edge_agent.errors import CommandRejectedError, RingRequestError
from edge_agent.uplink.ledger import Entry, Ledger
from edge_agent.uplink.ports import RingPort

MAX_RESULT_BYTES = 14_000
"""Leaves room for the reply around the result."""

_PAGE_INTERVALS = 80


class Queries:
    """Computes the results; the table of commands is `answers`."""

    def __init__(self, ledger: Ledger, rings: Mapping[str, RingPort], wake_clip: Callable[[str], None]) -> None:
        """`wake_clip` is told of every clip that was cancelled."""
        self._ledger = ledger
        self._rings = rings
        self._wake_clip = wake_clip
        self.answers: dict[str, Callable[[Entry], Awaitable[dict[str, Any]]]] = {
            "clip.list": self._clip_list,
            "command.query": self._command_query,
            "coverage.query": self._coverage_query,
        }

    async def cancel(self, entry: Entry) -> Entry:
        """Carry out `clip.cancel`; the canceller's final row.

        Raises:
            CommandRejectedError: the unit knows no such clip.
        """
        clip_id = ClipCancel.from_object(entry.claims.params).clip_id
        both = await self._ledger.cancel_clip(entry, clip_id)
        if both is None:
            raise CommandRejectedError(ErrorCode.UNKNOWN_CLIP, f"the unit knows no clip {clip_id}")
        self._wake_clip(clip_id)
        return both[1]

    async def _clip_list(self, entry: Entry) -> dict[str, Any]:
        request = ClipList.from_object(entry.claims.params)
        entries, total = await self._ledger.clips(request.offset, request.limit)
        clips = [_clip_summary(clip) for clip in entries]
        while len(canonical_json(clips)) > MAX_RESULT_BYTES:
            clips.pop()
        result: dict[str, Any] = {"clips": clips, "total": total}
        if request.offset + len(clips) < total:
            result["next_offset"] = request.offset + len(clips)
        return result

    async def _command_query(self, entry: Entry) -> dict[str, Any]:
        command_id = CommandQuery.from_object(entry.claims.params).command_id
        asked = await self._ledger.find(command_id)
        if asked is None:
            raise CommandRejectedError(ErrorCode.UNKNOWN_ID, f"the unit knows no command {command_id}")
        return {"command": _bounded_summary(asked)}

    async def _coverage_query(self, entry: Entry) -> dict[str, Any]:
        request = CoverageQuery.from_object(entry.claims.params)
        interval = Interval(start_us=request.from_us, end_us=request.to_us)
        ring = self._rings.get(request.camera)
        if ring is None:  # the settings had it when the command was stored
            raise CommandRejectedError(
                ErrorCode.UNKNOWN_CAMERA, f"the unit has no camera {request.camera!r} any more"
            )
        intervals = _PAGE_INTERVALS
        while True:
            try:
                page = await ring.coverage_query(interval, request.cursor, intervals)
            except RingRequestError as error:
                raise CommandRejectedError(error.code, str(error)) from error
            result = _page_object(request.camera, page)
            if len(canonical_json(result)) <= MAX_RESULT_BYTES or intervals == 1:
                return result
            intervals //= 2


def _page_object(camera: str, page: CoveragePage) -> dict[str, Any]:
    return {"camera": camera} | page.to_object()


def _clip_summary(entry: Entry) -> dict[str, Any]:
    params = entry.claims.params
    summary = {
        "clip_id": entry.command_id,
        "state": entry.state.value,
        "camera": params.get("camera"),
        "from": params.get("from"),
        "to": params.get("to"),
        "length_bytes": entry.facts.length_bytes,
        "asked_at": format_utc(entry.received_us),
        "operator": entry.claims.sub,
        "reference": entry.claims.reference,
        "error": entry.error and entry.error.code,
    }
    return {name: value for name, value in summary.items() if value is not None}


def _bounded_summary(entry: Entry) -> dict[str, Any]:
    """A command's state in the ledger and its present reply; the reply's result goes when it is too large."""
    summary: dict[str, Any] = {
        "command_id": entry.command_id,
        "command": entry.claims.cmd,
        "stage": entry.state.value,
        "received_at": format_utc(entry.received_us),
    }
    if entry.reply_state is not None:
        summary["state"] = entry.reply_state
    if entry.error is not None:
        summary["error"] = entry.error.to_object()
    if entry.result is not None and len(canonical_json(entry.result)) <= MAX_RESULT_BYTES - 2000:
        summary["result"] = entry.result
    return summary
