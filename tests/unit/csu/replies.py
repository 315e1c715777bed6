"""Replies and orders as the tests of the centre need them."""

from typing import Any

from csu.records import CommandRecord
from csu.stored_commands import NewCommand
from edge_agent.contract.messages import Reply

NOW_US = 1_790_000_000_000_000
COMMAND_ID = "0197a1b2-0000-7000-8000-000000000001"


def make_reply(state: str, command_id: str = COMMAND_ID, unit_id: str = "nomad-07", **more: object) -> Reply:
    body = {
        "unit_id": unit_id,
        "boot_id": "b0" * 16,
        "at": NOW_US,
        "seq": 1,
        "clock_source": "chrony",
        "command_id": command_id,
        "command": "clip.request",
        "state": state,
    }
    return Reply.from_object(body | more)


def make_command(
    command_id: str = COMMAND_ID, lifetime_us: int = 60_000_000, unit_id: str = "nomad-07"
) -> NewCommand:
    return NewCommand(
        command_id=command_id,
        unit_id=unit_id,
        cmd="clip.request",
        params={"camera": "main"},
        operator="a. moreau",
        role="operator",
        reference="R",
        purpose="P",
        token="a.b.c",
        issued_us=NOW_US,
        expires_us=NOW_US + lifetime_us,
    )


def make_record(state: str, reply: dict[str, Any] | None = None, version: int = 1) -> CommandRecord:
    """An order as the service tells of it."""
    return CommandRecord.from_object(
        {
            "command_id": COMMAND_ID,
            "unit_id": "nomad-07",
            "cmd": "clip.request",
            "params": {},
            "operator": "a",
            "role": "operator",
            "issued_us": NOW_US,
            "expires_us": NOW_US,
            "state": state,
            "reply": reply,
            "sent": 1,
            "version": version,
        }
    )
