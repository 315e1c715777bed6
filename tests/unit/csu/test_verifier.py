import asyncio
import errno
import sys
from pathlib import Path
from typing import Any

import pytest

from csu import stored_clips, stored_commands
from csu.clip_answer import mismatch, misplaced, sign_receipt
from csu.commander import Commander
from csu.feed import Feed
from csu.keys import KeyStore
from csu.records import ClipRecord, CommandRecord
from csu.registry import Registry
from csu.verifier import Verifier
from csu.verify_deadline import SLICE_S
from csu.verify_process import JobFailedError, Outcome, StalledError, TooSlowError, run_job
from csu.verify_queue import ATTEMPTS, Lane
from edge_agent.clock import FakeClock
from edge_agent.contract.jws import SigningKey, TrustedKeys
from edge_agent.contract.manifest import MANIFEST_FILE_NAME
from edge_agent.contract.messages import Receipt
from tests.builders import make_units
from tests.support.polling import until
from tests.support.recording import rotated
from tests.support.saved_clips import UNIT_KEY, asked_s, saved_clip
from tests.unit.csu.replies import COMMAND_ID, NOW_US, make_command

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
    await passes(verifier, clock, ATTEMPTS["crashed"] - 1)
    assert await verdict_of(registry) == ("pending", None, 0)
    await passes(verifier, clock, 1)
    verdict, reason, receipts = await verdict_of(registry)
    assert (verdict, receipts) == ("failed", 0)
    assert "not verified: " in str(reason)
    assert words in str(reason)


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


async def test_a_clip_that_waits_while_its_unit_is_shut_out_is_verified(
    registry: Registry, keys: KeyStore, tmp_path: Path
) -> None:
    clip = await asyncio.to_thread(
        lambda: saved_clip(tmp_path, rotated(tmp_path, make_units(3), 40), asked_s(0.5, 2.5), tmp_path / "clip")
    )
    await asyncio.to_thread(keys.enrol, "nomad-07", UNIT_KEY.public_jwk())
    verifier = make_verifier(registry, keys, FakeClock(wall_us=NOW_US))
    await verifier.on_complete(unit_id="nomad-07", clip_id=clip.plan.clip_id, folder=clip.folder)
    await asyncio.to_thread(keys.expel, "nomad-07", NOW_US)
    await verifier._verify_due(verifier._lane)
    record = await registry.run(stored_clips.load_clip, "nomad-07", clip.plan.clip_id)
    assert (record.verdict, record.reason) == ("verified", None)


@pytest.mark.parametrize("enrolled_again", [False, True])
async def test_an_expelled_key_signs_no_clip_that_comes_later(
    registry: Registry, keys: KeyStore, tmp_path: Path, enrolled_again: bool
) -> None:
    clip = await asyncio.to_thread(
        lambda: saved_clip(tmp_path, rotated(tmp_path, make_units(3), 40), asked_s(0.5, 2.5), tmp_path / "clip")
    )
    await asyncio.to_thread(keys.enrol, "nomad-07", UNIT_KEY.public_jwk())
    await asyncio.to_thread(keys.expel, "nomad-07", NOW_US - 1)
    if enrolled_again:
        await asyncio.to_thread(keys.enrol, "nomad-07", SigningKey.generate().public_jwk())
    verifier = make_verifier(registry, keys, FakeClock(wall_us=NOW_US))
    await verifier.on_complete(unit_id="nomad-07", clip_id=clip.plan.clip_id, folder=clip.folder)
    await verifier._verify_due(verifier._lane)
    record = await registry.run(stored_clips.load_clip, "nomad-07", clip.plan.clip_id)
    assert record.verdict == "failed"
    assert "key" in str(record.reason)


async def test_a_clip_under_another_id_is_refused(registry: Registry, keys: KeyStore, tmp_path: Path) -> None:
    clip = await asyncio.to_thread(
        lambda: saved_clip(tmp_path, rotated(tmp_path, make_units(3), 40), asked_s(0.5, 2.5), tmp_path / "clip")
    )
    await asyncio.to_thread(keys.enrol, "nomad-07", UNIT_KEY.public_jwk())
    verifier = make_verifier(registry, keys, FakeClock(wall_us=NOW_US))
    other_id = clip.plan.clip_id[:-1] + "9"
    await verifier.on_complete(unit_id="nomad-07", clip_id=other_id, folder=clip.folder)
    await verifier._verify_due(verifier._lane)
    record = await registry.run(stored_clips.load_clip, "nomad-07", other_id)
    assert record.verdict == "failed"
    assert f"delivered as {other_id}" in str(record.reason)


async def test_another_units_clip_is_no_answer(registry: Registry, keys: KeyStore, tmp_path: Path) -> None:
    clip = await asyncio.to_thread(
        lambda: saved_clip(tmp_path, rotated(tmp_path, make_units(3), 40), asked_s(0.5, 2.5), tmp_path / "clip")
    )
    clip_id = clip.plan.clip_id
    await asyncio.to_thread(keys.enrol, "nomad-07", UNIT_KEY.public_jwk())
    await registry.run(stored_commands.add_command, make_command(clip_id, unit_id="nomad-08"))
    verifier = make_verifier(registry, keys, FakeClock(wall_us=NOW_US))
    await verifier.on_complete(unit_id="nomad-07", clip_id=clip_id, folder=clip.folder)
    await verifier._verify_due(verifier._lane)
    record = await registry.run(stored_clips.load_clip, "nomad-07", clip_id)
    assert (record.verdict, record.reason) == ("failed", "this id is of a clip.request to another unit")
    # The delivery that was asked for is looked at all the same.
    await verifier.on_complete(unit_id="nomad-08", clip_id=clip_id, folder=tmp_path)
    (pending,) = await registry.run(stored_clips.pending_clips)
    assert (pending.unit_id, pending.clip_id) == ("nomad-08", clip_id)


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


async def test_units_take_turns(
    registry: Registry, keys: KeyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[str] = []
    clock = FakeClock(wall_us=NOW_US)
    verifier = make_verifier(registry, keys, clock)
    (tmp_path / MANIFEST_FILE_NAME).write_text("a.b.c")

    async def deliver(unit_id: str, number: int) -> None:
        clock.advance(1.0)
        await verifier.on_complete(unit_id=unit_id, clip_id=f"{COMMAND_ID[:-1]}{number}", folder=tmp_path)

    async def judge(_verifier: Verifier, clip: ClipRecord, _folder: Path) -> tuple[str | None, dict[str, Any]]:
        judged.append(f"{clip.unit_id[-1]}:{clip.clip_id[-1]}")
        if len(judged) == 2:
            await deliver("nomad-09", 9)
        return "torn", {}

    monkeypatch.setattr(Verifier, "_judge", judge)
    for number in range(1, 5):
        await deliver("nomad-07", number)
    for number in (5, 6):
        await deliver("nomad-08", number)
    await verifier._verify_due(verifier._lane)
    assert judged == ["7:1", "8:5", "9:9", "7:2", "8:6", "7:3", "7:4"]


ENDLESS = [sys.executable, "-c", "import signal; signal.pause()"]


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
    await passes(verifier, clock, ATTEMPTS["stalled"] - 1)
    assert await verdict_of(registry) == ("pending", None, 0)
    await passes(verifier, clock, 1)
    verdict, reason, receipts = await verdict_of(registry)
    assert (verdict, receipts) == ("failed", 0)
    assert "not verified: it stood still" in str(reason)


async def test_a_clip_that_takes_long_keeps_no_other_waiting(
    registry: Registry, keys: KeyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed_s: list[float] = []
    ended = asyncio.Event()

    async def run(folder: Path, _jwks: object, time_s: float, *, is_long: bool = False) -> Outcome:
        if folder.name == "short":
            return "torn", {}
        allowed_s.append(time_s)
        if not is_long:
            raise TooSlowError("so the test wants it")
        await ended.wait()
        return "long but torn", {}

    monkeypatch.setattr("csu.verifier.run_job", run)
    monkeypatch.setattr("csu.verifier.limit_s", lambda _folder: 90_000.0)
    verifier = make_verifier(registry, keys, FakeClock(wall_us=NOW_US))
    await verifier.on_complete(unit_id="nomad-07", clip_id=COMMAND_ID, folder=unread(tmp_path / "long"))
    runs = asyncio.create_task(verifier.run())
    try:
        async with asyncio.timeout(30):
            with verifier._feed.watch() as told:
                await until(lambda: len(allowed_s) == 2, what="the long clip is begun anew")
                short_id = COMMAND_ID[:-1] + "2"
                await verifier.on_complete(unit_id="nomad-07", clip_id=short_id, folder=unread(tmp_path / "short"))
                assert (await told.get() or {})["reason"] == "torn"
                ended.set()
                assert (await told.get() or {})["reason"] == "long but torn"
    finally:
        runs.cancel()
        await asyncio.gather(runs, return_exceptions=True)
    assert allowed_s == [SLICE_S, 90_000.0]


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

    runs = asyncio.create_task(verifier.run())
    try:
        await until(time_passes, what="a third try")
    finally:
        runs.cancel()
        await asyncio.gather(runs, return_exceptions=True)
    assert (await verdict_of(registry))[0] == "failed"


async def test_a_units_long_clips_keep_no_other_units_waiting(
    registry: Registry, keys: KeyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []

    async def run(folder: Path, _jwks: object, _time_s: float, *, is_long: bool = False) -> Outcome:
        if not is_long:
            raise TooSlowError("so the test wants it")
        begun.append(folder.name)
        if folder.name.startswith("endless"):
            await asyncio.Event().wait()
        return "torn", {}

    monkeypatch.setattr("csu.verifier.run_job", run)
    monkeypatch.setattr("csu.verifier.limit_s", lambda _folder: 90_000.0)
    await asyncio.to_thread(keys.enrol, "nomad-08", UNIT_KEY.public_jwk())
    verifier = make_verifier(registry, keys, FakeClock(wall_us=NOW_US))
    for number in range(3):
        clip_id, folder = f"{COMMAND_ID[:-1]}{number}", unread(tmp_path / f"endless-{number}")
        await verifier.on_complete(unit_id="nomad-07", clip_id=clip_id, folder=folder)
    runs = asyncio.create_task(verifier.run())
    try:
        async with asyncio.timeout(30):
            with verifier._feed.watch() as told:
                await until(lambda: begun == ["endless-0"], what="the first long clip of the unit is at work")
                await verifier.on_complete(unit_id="nomad-08", clip_id=COMMAND_ID, folder=unread(tmp_path / "b"))
                heard = await told.get() or {}
    finally:
        runs.cancel()
        await asyncio.gather(runs, return_exceptions=True)
    assert (heard["unit_id"], heard["reason"]) == ("nomad-08", "torn")
    assert begun == ["endless-0", "b"]


async def test_tries_of_a_long_clip_share_their_time(
    registry: Registry, keys: KeyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock(wall_us=NOW_US)
    allowed_s: list[float] = []

    async def run(_folder: Path, _jwks: object, time_s: float, *, is_long: bool = False) -> Outcome:
        if not is_long:
            raise TooSlowError("so the test wants it")
        allowed_s.append(time_s)
        clock.advance(900.0)
        raise JobFailedError("it crashes late")

    monkeypatch.setattr("csu.verifier.run_job", run)
    monkeypatch.setattr("csu.verifier.limit_s", lambda _folder: 1000.0)
    verifier = make_verifier(registry, keys, clock)
    await verifier.on_complete(unit_id="nomad-07", clip_id=COMMAND_ID, folder=unread(tmp_path / "clip"))
    await passes(verifier, clock, 1)
    await passes(verifier, clock, 4, verifier._long_lanes["nomad-07"])
    assert allowed_s == [1000.0, 1000.0, pytest.approx(200.0)]
    verdict, reason, receipts = await verdict_of(registry)
    assert (verdict, receipts) == ("failed", 0)
    assert "it had 2700 s in several tries" in str(reason)


async def test_a_clip_that_the_storage_has_lost_ends_without_a_receipt(
    registry: Registry, keys: KeyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(path: Path) -> str:
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr("csu.verifier.digest_of", lost)
    clock = FakeClock(wall_us=NOW_US)
    verifier = make_verifier(registry, keys, clock)
    await verifier.on_complete(unit_id="nomad-07", clip_id=COMMAND_ID, folder=unread(tmp_path / "clip"))
    await passes(verifier, clock, ATTEMPTS["unreadable"] - 1)
    assert await verdict_of(registry) == ("pending", None, 0)
    await passes(verifier, clock, 1)
    verdict, reason, receipts = await verdict_of(registry)
    assert (verdict, receipts) == ("failed", 0)
    assert "not verified: Input/output error" in str(reason)
