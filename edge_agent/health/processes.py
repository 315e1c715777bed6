"""How often the unit's processes were started again: what the supervisor wrote down (`run/processes.json`)."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from edge_agent.clock import Clock
from edge_agent.contract.model import ContractModel
from edge_agent.contract.names import HexId
from edge_agent.errors import ContractError
from edge_agent.health.kernel_files import MAX_BYTES, read_text

MAX_ENDS = 32
"""Ends of a process whose instants are kept; more of them within an hour are as bad."""
_HOUR_US = 3600 * 1_000_000
_MAX_REASON = 80

Count = Annotated[int, Field(ge=0, lt=1 << 53)]


class ProcessRecord(ContractModel):
    """One process of the unit in this boot."""

    name: Annotated[str, Field(max_length=64)]
    restarts: Count = 0
    last_reason: Annotated[str, Field(max_length=200)] = ""
    """Why it ended last."""
    ends_us: Annotated[tuple[Count, ...], Field(max_length=MAX_ENDS)] = ()
    """When it ended, monotonic; the newest last."""


class ProcessBook(ContractModel):
    """`run/processes.json`: what the supervisor knows of this boot."""

    schema_: Literal["processes/1"] = Field("processes/1", alias="schema")
    boot_id: HexId
    supervisor_starts: Count
    processes: Annotated[tuple[ProcessRecord, ...], Field(max_length=16)] = ()


def read_process_book(path: Path, boot_id: str) -> ProcessBook | None:
    """What the supervisor wrote in this boot; None when there is nothing of it, or nothing that can be read."""
    text = read_text(path)
    if text is None:
        return None
    try:
        book = ProcessBook.from_json(text, max_bytes=MAX_BYTES)
    except ContractError:  # a unit whose link runs alone has none; a torn one is written anew with the next restart
        return None
    return book if book.boot_id == boot_id else None


def process_figures(book: ProcessBook, clock: Clock) -> dict[str, Any]:
    """For `up/health`: `supervisor_starts`, and of each process how often, when last and why."""
    now_us = clock.monotonic_us()
    return {
        "supervisor_starts": book.supervisor_starts,
        "processes": [_figures_of(record, now_us) for record in book.processes],
    }


def _figures_of(record: ProcessRecord, now_us: int) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "name": record.name,
        "restarts": record.restarts,
        "restarts_last_hour": sum(0 <= now_us - end_us <= _HOUR_US for end_us in record.ends_us),
    }
    if record.ends_us:
        figures |= {
            "last_restart_age_s": max(now_us - record.ends_us[-1], 0) // 1_000_000,
            "last_reason": record.last_reason[:_MAX_REASON],
        }
    return figures
