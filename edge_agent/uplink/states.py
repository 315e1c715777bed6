"""The life of a durable command, as a table.

    stored ──► reserved ──► planned ──► running ──► delivered ──► done
       │           │            │           │            │
       └───────────┴────────────┴───────────┴────────────┴──► rejected | failed | cancelled

Queries (`clip.list`, …) and `clip.cancel` go from stored to their end at once. Every step is safe to repeat: it is
done first (the ring's plan, the transfer's submission, …, all idempotent by the clip's id) and committed afterwards,
so that a kill in between repeats it.

| state | what holds when it is committed | what a restart does |
|---|---|---|
| stored | the command is acknowledged to the broker, nothing else | plans (the ring answers with the plan it has) |
| reserved | the ring pins what is there; its end is not recorded yet | waits, plans again |
| planned | the ring's durable plan pins every byte | submits the transfer (known ones are left alone) |
| running | the transfer is durable and goes on by itself | submits it again, listens |
| delivered | the ingest has all parts and the manifest | waits for the receipt |
| done … | final; the reply is in the table, `cleanup_owed` until pin and transfer are gone | cleans up, sends |
"""

from enum import StrEnum

from edge_agent.contract.messages import REPLY_RANK, ReplyState


class State(StrEnum):
    """Where a durable command is."""

    STORED = "stored"
    RESERVED = "reserved"
    PLANNED = "planned"
    RUNNING = "running"
    DELIVERED = "delivered"
    DONE = "done"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = frozenset({State.DONE, State.REJECTED, State.FAILED, State.CANCELLED})

TRANSITIONS: dict[State, frozenset[State]] = {
    State.STORED: frozenset({State.RESERVED, State.PLANNED, *FINAL}),
    State.RESERVED: frozenset({State.PLANNED, State.FAILED, State.CANCELLED}),
    State.PLANNED: frozenset({State.RUNNING, State.FAILED, State.CANCELLED}),
    State.RUNNING: frozenset({State.DELIVERED, State.FAILED, State.CANCELLED}),
    State.DELIVERED: frozenset({State.DONE, State.FAILED, State.CANCELLED}),
    State.DONE: frozenset(),
    State.REJECTED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
}
"""What may follow what. Rejected comes only before anything was accepted: a reply's state never goes back."""

REPLY_OF: dict[State, ReplyState | None] = {
    State.STORED: None,
    State.RESERVED: "accepted",
    State.PLANNED: "accepted",
    State.RUNNING: "running",
    State.DELIVERED: "running",
    State.DONE: "done",
    State.REJECTED: "rejected",
    State.FAILED: "failed",
    State.CANCELLED: "cancelled",
}
"""What the supervision centre is told in each state."""


def may_follow(before: State, after: State) -> bool:
    """Whether the table has this step; a state may be committed again (new facts, the same reply)."""
    return after in TRANSITIONS[before] or (before == after and before not in FINAL)


def reply_goes_on(before: ReplyState | None, after: ReplyState | None) -> bool:
    """Whether a reply of `after` may be sent once one of `before` was."""
    if before is None or after is None:
        return after is not None or before is None
    return REPLY_RANK[before] <= REPLY_RANK[after] and before in {"accepted", "running"}
