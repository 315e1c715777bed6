"""Whether a sound clip is the one that was asked for."""

from typing import Any

import pytest

from csu.clip_answer import mismatch, misplaced, sign_receipt
from csu.records import ClipRecord, CommandRecord
from edge_agent.contract.jws import SigningKey, TrustedKeys
from edge_agent.contract.messages import Receipt
from tests.unit.csu.replies import COMMAND_ID, NOW_US

PARAMS = {"camera": "main", "from": "2026-03-29T00:00:00.000Z", "to": "2026-03-29T00:01:00.000Z"}
SUMMARY: dict[str, Any] = {
    "camera": "main",
    "asked": {"start_us": PARAMS["from"], "end_us": PARAMS["to"]},
    "requester": {"operator": "a", "role": "operator", "reference": "R", "purpose": "P"},
}


def command(**more: object) -> CommandRecord:
    fields: dict[str, Any] = {
        "command_id": COMMAND_ID,
        "unit_id": "nomad-07",
        "cmd": "clip.request",
        "params": PARAMS,
        "operator": "a",
        "role": "operator",
        "reference": "R",
        "purpose": "P",
        "issued_us": NOW_US,
        "expires_us": NOW_US,
        "state": "running",
        "sent": 1,
        "version": 1,
    }
    return CommandRecord.from_object(fields | more)


def test_a_clip_that_is_what_was_asked_for_passes() -> None:
    assert mismatch(command(), {"summary": SUMMARY}) is None
    assert mismatch(None, {}) is None


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"params": PARAMS | {"camera": "rear"}}, "camera"),
        ({"params": PARAMS | {"from": "2026-03-29T00:00:01.000Z"}}, "from"),
        ({"params": PARAMS | {"to": "2026-03-29T00:00:01.000Z"}}, "to"),
        ({"operator": "b"}, "operator"),
        ({"reference": "S"}, "reference"),
        ({"purpose": None}, "purpose"),
    ],
)
def test_what_differs_is_named(more: dict[str, Any], named: str) -> None:
    assert named in str(mismatch(command(**more), {"summary": SUMMARY}))


CLIP = ClipRecord.from_object(
    {
        "clip_id": COMMAND_ID,
        "unit_id": "nomad-07",
        "folder": "/clips/a",
        "completed_us": NOW_US,
        "verdict": "pending",
        "receipts_sent": 0,
    }
)


@pytest.mark.parametrize(
    ("report", "named"),
    [
        ({"clip_id": COMMAND_ID, "unit_id": "nomad-08"}, "unit_id: delivered as nomad-07"),
        ({"clip_id": COMMAND_ID[:-1] + "2", "unit_id": "nomad-07"}, "clip_id: delivered as"),
        ({}, "clip_id: delivered as"),
    ],
)
def test_a_clip_is_what_it_was_delivered_as(report: dict[str, Any], named: str) -> None:
    assert misplaced(CLIP, {"clip_id": COMMAND_ID, "unit_id": "nomad-07"}) is None
    assert named in str(misplaced(CLIP, report))


def test_a_receipt_is_the_contracts() -> None:
    key = SigningKey.generate()
    token = sign_receipt(key, CLIP, "a" * 64, "torn", NOW_US)
    receipt = Receipt.from_object(TrustedKeys.from_jwks(key.public_jwk()).verify("receipt", token))
    assert (receipt.aud, receipt.clip_id, receipt.sha256) == ("nomad-07", COMMAND_ID, "a" * 64)
    assert (receipt.verdict, receipt.reason, receipt.iat) == ("failed", "torn", NOW_US // 1_000_000)
