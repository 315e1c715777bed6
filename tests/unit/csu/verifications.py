"""A verifier, and looking after what becomes of clips."""

import sys
from pathlib import Path

from csu import stored_clips
from csu.commander import Commander
from csu.feed import Feed
from csu.keys import KeyStore
from csu.registry import Registry
from csu.verifier import Verifier
from csu.verify_queue import Lane
from edge_agent.clock import FakeClock
from edge_agent.contract.manifest import MANIFEST_FILE_NAME
from tests.unit.csu.replies import COMMAND_ID, NOW_US

ENDLESS = [sys.executable, "-c", "import signal; signal.pause()"]


def make_verifier(registry: Registry, keys: KeyStore, clock: FakeClock) -> Verifier:
    async def publish(topic: str, payload: bytes, expiry_s: int) -> None:
        raise AssertionError(topic)

    return Verifier(
        registry, Commander(registry, keys.signing_key, "csu/v1", publish, Feed(), clock), keys, Feed(), clock
    )


async def passes(verifier: Verifier, clock: FakeClock, times: int, lane: Lane | None = None) -> None:
    """So often everything that is due is looked at, and long enough apart that all that waits is due."""
    for _ in range(times):
        await verifier._verify_due(lane or verifier._lane)
        clock.advance(3600.0)


async def verdict_of(registry: Registry, clip_id: str = COMMAND_ID) -> tuple[str, str | None, int]:
    """Verdict, its reason, and how many receipts are signed for the unit's clips."""
    record = await registry.run(stored_clips.load_clip, "nomad-07", clip_id)
    due = await registry.run(stored_clips.due_receipts, NOW_US + 10**15)
    return record.verdict, record.reason, len(due)


def unread(folder: Path) -> Path:
    """The folder of a clip that no one is going to read."""
    folder.mkdir()
    (folder / MANIFEST_FILE_NAME).write_text("a.b.c")
    return folder


async def check_ends_unverified(
    verifier: Verifier, registry: Registry, clock: FakeClock, attempts: int, words: str, clip_id: str = COMMAND_ID
) -> None:
    """A delivered clip stays pending until its last try, and then ends with these words and without a receipt."""
    await passes(verifier, clock, attempts - 1)
    assert await verdict_of(registry, clip_id) == ("pending", None, 0)
    await passes(verifier, clock, 1)
    verdict, reason, receipts = await verdict_of(registry, clip_id)
    assert (verdict, receipts) == ("failed", 0)
    assert str(reason).startswith("not verified: ")
    assert words in str(reason)
