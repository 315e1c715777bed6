"""Which clip is verified when, by which keys, and what its verdict is."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from csu import stored_clips, stored_commands
from csu.keys import KeyStore
from csu.records import ClipRecord
from csu.registry import Registry
from csu.verifier import Verifier
from csu.verify_deadline import SLICE_S
from csu.verify_process import JobFailedError, Outcome, TooSlowError
from edge_agent.clock import FakeClock
from edge_agent.contract.jws import SigningKey
from edge_agent.contract.manifest import MANIFEST_FILE_NAME
from tests.builders import make_units
from tests.support.polling import until
from tests.support.recording import rotated
from tests.support.saved_clips import UNIT_KEY, asked_s, saved_clip
from tests.unit.csu.replies import COMMAND_ID, NOW_US, make_command
from tests.unit.csu.verifications import make_verifier, passes, unread, verdict_of


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
