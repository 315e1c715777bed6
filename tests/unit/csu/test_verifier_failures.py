"""What keeps a clip from its verdict: tried again, and never signed for."""

import asyncio
import errno
import sys
from pathlib import Path
from typing import Any

import pytest

from csu import stored_clips
from csu.keys import KeyStore
from csu.records import ClipRecord
from csu.registry import Registry
from csu.verifier import Verifier
from csu.verify_process import Outcome, StalledError, run_job
from csu.verify_queue import ATTEMPTS
from edge_agent.clock import FakeClock
from edge_agent.contract.manifest import MANIFEST_FILE_NAME
from tests.builders import make_units
from tests.support.polling import until, until_answered
from tests.support.recording import rotated
from tests.support.saved_clips import UNIT_KEY, asked_s, saved_clip
from tests.unit.csu.replies import COMMAND_ID, NOW_US
from tests.unit.csu.verifications import ENDLESS, check_ends_unverified, make_verifier, passes, unread, verdict_of


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import os; os.abort()", "code -6"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "code -9"),
        ("raise MemoryError", "code 1"),
        ("print('no json')", "cannot be read"),
        ("print('{}')", "cannot be read"),
    ],
)
async def test_a_verification_that_crashes_says_nothing_of_the_clip(
    registry: Registry, keys: KeyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, words: str
) -> None:
    monkeypatch.setattr("csu.verify_process.bound", lambda _command, _signal: [sys.executable, "-c", program])
    clock = FakeClock(wall_us=NOW_US)
    verifier = make_verifier(registry, keys, clock)
    await verifier.on_complete(unit_id="nomad-07", clip_id=COMMAND_ID, folder=unread(tmp_path / "clip"))
    await check_ends_unverified(verifier, registry, clock, ATTEMPTS["crashed"], words)


@pytest.mark.parametrize("number", [0, 1])
async def test_a_part_that_the_centre_cannot_read_says_nothing_of_the_clip(
    registry: Registry, keys: KeyStore, tmp_path: Path, number: int
) -> None:
    clip = await asyncio.to_thread(
        lambda: saved_clip(tmp_path, rotated(tmp_path, make_units(3), 40), asked_s(0.5, 2.5), tmp_path / "clip")
    )
    await asyncio.to_thread(keys.enrol, "nomad-07", UNIT_KEY.public_jwk())
    clock = FakeClock(wall_us=NOW_US)
    verifier = make_verifier(registry, keys, clock)
    await verifier.on_complete(unit_id="nomad-07", clip_id=clip.plan.clip_id, folder=clip.folder)
    await asyncio.to_thread(clip.parts[0].rename, tmp_path / "away")
    await passes(verifier, clock, ATTEMPTS["unreadable"] - 1)
    assert await verdict_of(registry, clip.plan.clip_id) == ("pending", None, 0)
    if number:
        await asyncio.to_thread((tmp_path / "away").rename, clip.parts[0])
    await passes(verifier, clock, 1)
    verdict, reason, receipts = await verdict_of(registry, clip.plan.clip_id)
    assert (verdict, receipts) == (("verified", 1) if number else ("failed", 0))
    assert number or "storage does not give it" in str(reason)


async def test_a_verification_that_crashed_for_want_of_memory_ends_well(
    registry: Registry, keys: KeyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = await asyncio.to_thread(
        lambda: saved_clip(tmp_path, rotated(tmp_path, make_units(3), 40), asked_s(0.5, 2.5), tmp_path / "clip")
    )
    await asyncio.to_thread(keys.enrol, "nomad-07", UNIT_KEY.public_jwk())
    clock = FakeClock(wall_us=NOW_US)
    verifier = make_verifier(registry, keys, clock)
    await verifier.on_complete(unit_id="nomad-07", clip_id=clip.plan.clip_id, folder=clip.folder)
    with monkeypatch.context() as patched:
        patched.setattr("csu.verify_process.bound", lambda _command, _signal: ["sh", "-c", "kill -9 $$"])
        await passes(verifier, clock, 3)
    await passes(verifier, clock, 1)
    assert await verdict_of(registry, clip.plan.clip_id) == ("verified", None, 1)


async def test_a_clip_whose_files_are_gone_keeps_no_other_waiting(
    registry: Registry, keys: KeyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = """print('{"reason": "torn", "is_unreadable": false, "report": {}}')"""
    monkeypatch.setattr("csu.verify_process.bound", lambda _command, _signal: [sys.executable, "-c", report])
    clock = FakeClock(wall_us=NOW_US)
    verifier = make_verifier(registry, keys, clock)
    other_id = COMMAND_ID[:-1] + "2"
    await verifier.on_complete(unit_id="nomad-07", clip_id=COMMAND_ID, folder=tmp_path / "gone")
    clock.advance(1.0)
    await verifier.on_complete(unit_id="nomad-07", clip_id=other_id, folder=unread(tmp_path / "clip"))
    await passes(verifier, clock, 1)
    assert (await verdict_of(registry, other_id))[:2] == ("failed", "torn")
    assert (await verdict_of(registry))[0] == "pending"
    await passes(verifier, clock, ATTEMPTS["missing"] - 1)
    verdict, reason, receipts = await verdict_of(registry)
    assert (verdict, receipts) == ("failed", 1)
    assert MANIFEST_FILE_NAME in str(reason)


async def test_an_odd_clip_ends_no_other_ones_verification(
    registry: Registry, keys: KeyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def judge(_verifier: Verifier, clip: ClipRecord, _folder: Path) -> tuple[str | None, dict[str, Any]]:
        if clip.clip_id == COMMAND_ID:
            raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "so the test wants it")
        return "torn", {}

    monkeypatch.setattr(Verifier, "_judge", judge)
    other_id = COMMAND_ID[:-1] + "2"
    clock = FakeClock(wall_us=NOW_US)
    verifier = make_verifier(registry, keys, clock)
    folder = unread(tmp_path / "clip")
    for clip_id in (COMMAND_ID, other_id):
        await verifier.on_complete(unit_id="nomad-07", clip_id=clip_id, folder=folder)
    await passes(verifier, clock, ATTEMPTS["odd"])
    assert (await verdict_of(registry, other_id))[:2] == ("failed", "torn")
    verdict, reason, receipts = await verdict_of(registry)
    assert (verdict, receipts) == ("failed", 1)
    assert "not verified: UnicodeEncodeError" in str(reason)


async def test_kinds_of_failure_are_counted_apart(
    registry: Registry, keys: KeyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[Exception] = [OSError(errno.EIO, "Input/output error", "manifest.jws")] * 9 + [
        ValueError("odd")
    ] * 4
    failures += [StalledError("it stood still")] * 2 + [OSError(errno.EMFILE, "Too many open files", "a")] * 40

    async def judge(_verifier: Verifier, _clip: ClipRecord, _folder: Path) -> Outcome:
        if failures:
            raise failures.pop()
        return "torn", {}

    monkeypatch.setattr(Verifier, "_judge", judge)
    clock = FakeClock(wall_us=NOW_US)
    verifier = make_verifier(registry, keys, clock)
    await verifier.on_complete(unit_id="nomad-07", clip_id=COMMAND_ID, folder=unread(tmp_path / "clip"))
    await passes(verifier, clock, len(failures))
    assert await verdict_of(registry) == ("pending", None, 0)
    await passes(verifier, clock, 1)
    assert await verdict_of(registry) == ("failed", "torn", 1)


async def test_a_verification_that_stands_still_signs_nothing(
    registry: Registry, keys: KeyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stalled(folder: Path, jwks: object, allowed_s: float, *, is_long: bool = False) -> Outcome:
        return await run_job(folder, jwks, allowed_s, stall_s=0.1, is_long=is_long)

    monkeypatch.setattr("csu.verifier.run_job", stalled)
    monkeypatch.setattr("csu.verify_process.bound", lambda _command, _signal: ENDLESS)
    clock = FakeClock(wall_us=NOW_US)
    verifier = make_verifier(registry, keys, clock)
    await verifier.on_complete(unit_id="nomad-07", clip_id=COMMAND_ID, folder=unread(tmp_path / "clip"))
    await check_ends_unverified(verifier, registry, clock, ATTEMPTS["stalled"], "it stood still")


async def test_a_verification_that_never_ends_is_not_tried_again(
    registry: Registry, keys: KeyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csu.verifier.limit_s", lambda _folder: 0.1)
    monkeypatch.setattr("csu.verify_process.bound", lambda _command, _signal: ENDLESS)
    verifier = make_verifier(registry, keys, FakeClock(wall_us=NOW_US))
    await verifier.on_complete(unit_id="nomad-07", clip_id=COMMAND_ID, folder=unread(tmp_path / "clip"))
    await verifier._verify_due(verifier._lane)
    await verifier._verify_due(verifier._long_lanes["nomad-07"])
    record = await registry.run(stored_clips.load_clip, "nomad-07", COMMAND_ID)
    assert record.verdict == "failed"
    assert "not verified: it had not ended" in str(record.reason)
    assert await registry.run(stored_clips.due_receipts, NOW_US + 10**12) == []


async def test_clips_that_keep_coming_neither_hinder_nor_hurry_one_that_failed(
    registry: Registry, keys: KeyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock(wall_us=NOW_US)
    verifier = make_verifier(registry, keys, clock)
    judged: list[str] = []
    (tmp_path / MANIFEST_FILE_NAME).write_text("a.b.c")

    async def deliver(number: int) -> None:
        await verifier.on_complete(unit_id="nomad-07", clip_id=f"{COMMAND_ID[:-2]}{number:02}", folder=tmp_path)

    async def judge(_verifier: Verifier, clip: ClipRecord, _folder: Path) -> Outcome:
        judged.append(clip.clip_id[-2:])
        if clip.clip_id.endswith("00") and judged.count("00") < 3:
            raise OSError(errno.EIO, "so the test wants it", "manifest.jws")
        return "torn", {}

    monkeypatch.setattr(Verifier, "_judge", judge)
    await deliver(0)
    for number in range(1, 20):
        await deliver(number)
        await verifier._verify_due(verifier._lane)  # as `on_complete` wakes it
    assert judged == [f"{number:02}" for number in range(20)]
    for _ in range(2):
        clock.advance(10.0)
        await verifier._verify_due(verifier._lane)
    assert judged[20:] == ["00", "00"]
    assert await registry.run(stored_clips.pending_clips) == []


async def test_what_failed_is_tried_again_without_a_new_arrival(
    registry: Registry, keys: KeyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[str] = []

    async def judge(_verifier: Verifier, clip: ClipRecord, _folder: Path) -> Outcome:
        judged.append(clip.clip_id)
        if len(judged) < 3:
            clock.advance(3600.0)
            raise OSError(errno.EMFILE, "so the test wants it", "manifest.jws")
        return "torn", {}

    monkeypatch.setattr(Verifier, "_judge", judge)
    monkeypatch.setattr("csu.verify_queue._FIRST_DELAY_S", 0.01)
    clock = FakeClock(wall_us=NOW_US)
    verifier = make_verifier(registry, keys, clock)
    await verifier.on_complete(unit_id="nomad-07", clip_id=COMMAND_ID, folder=unread(tmp_path / "clip"))
    clock.advance(1.0)

    def time_passes() -> bool:
        clock.advance(1.0)
        return len(judged) == 3

    async def is_judged() -> bool:
        return (await verdict_of(registry))[0] != "pending"

    runs = asyncio.create_task(verifier.run())
    try:
        await until(time_passes, what="a third try")
        await until_answered(is_judged, what="its verdict kept")
    finally:
        runs.cancel()
        await asyncio.gather(runs, return_exceptions=True)
    assert (await verdict_of(registry))[0] == "failed"


async def test_a_clip_that_the_storage_has_lost_ends_without_a_receipt(
    registry: Registry, keys: KeyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(path: Path) -> str:
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr("csu.verifier.digest_of", lost)
    clock = FakeClock(wall_us=NOW_US)
    verifier = make_verifier(registry, keys, clock)
    await verifier.on_complete(unit_id="nomad-07", clip_id=COMMAND_ID, folder=unread(tmp_path / "clip"))
    await check_ends_unverified(verifier, registry, clock, ATTEMPTS["unreadable"], "Input/output error")
