"""Transfers against a real ingest on the loopback."""

import asyncio
import errno
import itertools
import os
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from multidict import CIMultiDict

from edge_agent.clock import SystemClock
from edge_agent.contract.jws import SigningKey
from edge_agent.contract.manifest import read_manifest
from edge_agent.errors import SettingsError
from edge_agent.settings import UploadSettings
from edge_agent.uplink.transfer import REFUSALS
from edge_agent.uplink.transfer_state import TransferState, TransferStore
from edge_agent.uplink.transfers import Transfers
from tests.support.polling import until
from tests.support.tus_requests import metadata as tus_metadata
from tests.support.uploads import (
    CHUNK_BYTES,
    UNIT_ID,
    Centre,
    Clip,
    Heard,
    make_clip,
    running_ingest,
    troubles,
    trusted,
    upload_settings,
    uploading,
)

KEY = SigningKey.generate()


class HeldClock(SystemClock):
    """The clock of this machine; waits before retries end only by `kick`, but for the first `short` ones."""

    def __init__(self, short: int = 0) -> None:
        self._short = short

    async def async_sleep(self, seconds: float) -> None:
        self._short -= 1
        await super().async_sleep(0.0 if seconds == 0 or self._short >= 0 else 3600.0)


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    async with running_ingest(tmp_path / "csu", {UNIT_ID: trusted(KEY)}) as running:
        yield running


@asynccontextmanager
async def running_transfers(
    data_dir: Path, settings: UploadSettings, clock: SystemClock | None = None
) -> AsyncIterator[tuple[Transfers, Heard]]:
    heard = Heard()
    transfers = Transfers(data_dir, settings, KEY, UNIT_ID, clock or SystemClock())
    transfers.listen(heard)
    task = asyncio.create_task(transfers.run())
    try:
        yield transfers, heard
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()


async def new_clip(tmp_path: Path, *sizes: int) -> Clip:
    return await asyncio.to_thread(make_clip, tmp_path / "unit", list(sizes), str(uuid.uuid4()))


async def names(directory: Path) -> list[str]:
    return await asyncio.to_thread(lambda: sorted(path.name for path in directory.glob("*")))


async def submit(transfers: Transfers, clip: Clip, url: str) -> None:
    await transfers.submit(clip.clip_id, clip.plan_file, url, "normal")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def test_a_clip_arrives_whole_with_its_manifest(tmp_path: Path, centre: Centre) -> None:
    clip = await new_clip(tmp_path, 200_000, 70_000)
    async with running_transfers(tmp_path / "unit", upload_settings(centre.url)) as (transfers, heard):
        await submit(transfers, clip, centre.url)
        await until(lambda: heard.ends and centre.arrived, what="delivery")
    (unit_id, clip_id, folder) = centre.arrived[0]
    assert (unit_id, clip_id) == (UNIT_ID, clip.clip_id)
    files = await asyncio.to_thread(contents, folder)
    token = files.pop("manifest.jws").decode()
    assert files == clip.files
    manifest = read_manifest(token, trusted(KEY))
    assert {part.file_name: part.sha256 for part in manifest.parts} == clip.sha256s
    assert heard.progress[-1].sent_bytes == heard.progress[-1].total_bytes == sum(map(len, clip.files.values()))


async def test_a_part_costs_one_write_of_the_state(
    tmp_path: Path, centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = await new_clip(tmp_path, 3000, 2000, 1000)
    saved: list[TransferState] = []
    save = TransferStore.save

    def note(store: TransferStore, state: TransferState) -> None:
        saved.append(state)
        save(store, state)

    monkeypatch.setattr(TransferStore, "save", note)
    async with running_transfers(tmp_path / "unit", upload_settings(centre.url)) as (transfers, heard):
        await submit(transfers, clip, centre.url)
        await until(lambda: heard.ends and centre.arrived, what="delivery")
    assert [sum(part.done for part in state.parts) for state in saved] == [0, 0, 1, 2, 3, 3]
    assert saved[-1].manifest.done
    assert saved[-1].outcome is not None


def target_of(descriptor: Path) -> str:
    """What is open; nothing when it was closed meanwhile."""
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:
        return ""


async def test_files_of_parts_that_are_done_are_closed(tmp_path: Path, centre: Centre) -> None:
    clip = await new_clip(tmp_path, *[1000] * 40)
    ring = str(tmp_path / "unit" / "ring")
    most_open = 0

    def look() -> bool:
        nonlocal most_open
        targets = [target_of(descriptor) for descriptor in Path("/proc/self/fd").iterdir()]
        most_open = max(most_open, sum(target.startswith(ring) for target in targets))
        return bool(heard.ends)

    async with running_transfers(tmp_path / "unit", upload_settings(centre.url)) as (transfers, heard):
        await submit(transfers, clip, centre.url)
        await until(look, what="delivery")
    assert heard.ends[0][0] == "delivered"
    assert 0 < most_open <= 4


async def test_a_system_without_open_files_makes_the_upload_wait(
    tmp_path: Path, centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = await new_clip(tmp_path, 3 * CHUNK_BYTES, 1000)
    really_open, failures = os.open, iter([True, True])

    def open_later(path: str | Path, *arguments: int) -> int:
        if str(path).startswith(str(tmp_path / "unit" / "ring")) and next(failures, False):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return really_open(path, *arguments)

    monkeypatch.setattr(os, "open", open_later)
    async with running_transfers(tmp_path / "unit", upload_settings(centre.url), HeldClock(short=9)) as (
        transfers,
        heard,
    ):
        await submit(transfers, clip, centre.url)
        await until(lambda: heard.ends, what="delivery")
    assert heard.ends[0][0] == "delivered"
    assert next(failures, None) is None


async def test_an_end_is_reported_again_until_it_is_let_go(tmp_path: Path, centre: Centre) -> None:
    clip = await new_clip(tmp_path, 1000)
    settings = upload_settings(centre.url)
    async with running_transfers(tmp_path / "unit", settings) as (transfers, heard):
        await submit(transfers, clip, centre.url)
        await until(lambda: heard.ends, what="delivery")
        await submit(transfers, clip, centre.url)
        await until(lambda: len(heard.ends) == 2, what="delivery again")
    async with running_transfers(tmp_path / "unit", settings) as (transfers, heard_later):
        await until(lambda: heard_later.ends, what="delivery again")
        assert heard_later.ends[0] == heard.ends[0] == heard.ends[1]
        await transfers.cancel(clip.clip_id)
    assert await names(tmp_path / "unit" / "link" / "transfers") == []
    await until(lambda: centre.arrived, what="arrival")
    assert len(centre.arrived) == 1
    async with running_transfers(tmp_path / "unit", settings) as (transfers, heard_last):
        await transfers.cancel(clip.clip_id)
        assert heard_last.ends == []


async def test_submitted_while_nothing_runs_is_taken_up_later(tmp_path: Path, centre: Centre) -> None:
    clip = await new_clip(tmp_path, 1000)
    settings = upload_settings(centre.url)
    await submit(Transfers(tmp_path / "unit", settings, KEY, UNIT_ID, SystemClock()), clip, centre.url)
    async with running_transfers(tmp_path / "unit", settings) as (_, heard):
        await until(lambda: heard.ends, what="delivery")


async def test_a_foreign_origin_is_refused_before_anything_is_sent(tmp_path: Path, centre: Centre) -> None:
    clip = await new_clip(tmp_path, 1000)
    async with running_transfers(tmp_path / "unit", upload_settings("https://ingest.csu.example/")) as (
        transfers,
        heard,
    ):
        await submit(transfers, clip, centre.url)
        await until(lambda: heard.ends, what="refusal")
    assert heard.ends[0][:3] == ("refused", clip.clip_id, "origin-not-allowed")
    assert await names(centre.directory / "ingest") == []


@pytest.mark.parametrize("submitted_again", [True, False])
async def test_an_origin_that_is_allowed_no_longer_hears_nothing_more(
    tmp_path: Path, centre: Centre, submitted_again: bool
) -> None:
    clip = await new_clip(tmp_path, 100 * CHUNK_BYTES)
    async with running_transfers(tmp_path / "unit", upload_settings(centre.url)) as (transfers, heard):
        await submit(transfers, clip, centre.url)
        await until(lambda: heard.progress, what="first bytes")
    held = await names(centre.directory / "ingest")
    narrowed = upload_settings("https://ingest.csu.example/")
    if submitted_again:
        await submit(Transfers(tmp_path / "unit", narrowed, KEY, UNIT_ID, SystemClock()), clip, centre.url)
    async with running_transfers(tmp_path / "unit", narrowed) as (transfers, heard):
        await until(lambda: heard.ends, what="refusal")
        await transfers.cancel(clip.clip_id)
    assert heard.ends[0][:3] == ("refused", clip.clip_id, "origin-not-allowed")
    assert held == await names(centre.directory / "ingest") != []


async def test_an_allowed_origin_beside_the_own_is_taken(tmp_path: Path, centre: Centre) -> None:
    clip = await new_clip(tmp_path, 1000)
    settings = upload_settings("https://ingest.csu.example/", allowed_origins=[centre.url])
    async with running_transfers(tmp_path / "unit", settings) as (transfers, heard):
        await submit(transfers, clip, centre.url)
        await until(lambda: heard.ends, what="delivery")
    assert heard.ends[0][0] == "delivered"


async def test_a_unit_that_is_not_enrolled_hears_the_words_of_the_ingest(tmp_path: Path, centre: Centre) -> None:
    centre.keys.clear()
    clip = await new_clip(tmp_path, 1000)
    clock = HeldClock(short=2 * REFUSALS)
    async with running_transfers(tmp_path / "unit", upload_settings(centre.url), clock) as (transfers, heard):
        await submit(transfers, clip, centre.url)
        await until(lambda: heard.ends, what="refusal")
    assert heard.ends[0][:3] == ("refused", clip.clip_id, "upload-refused")
    assert "not enrolled" in heard.ends[0][3]


def refusing(status: int, is_refused: Callable[[int], bool]) -> Middleware:
    """Refuses the requests of these numbers, as if the line had corrupted them."""
    numbers = itertools.count()

    @web.middleware
    async def refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
        if is_refused(next(numbers)):
            return web.Response(status=status, text="that makes no sense")
        return await handler(request)

    return refuse


REFUSED: dict[str, Callable[[int], bool]] = {
    "the first": lambda number: number < REFUSALS - 1,
    "every third from the first on": lambda number: number % 3 == 0,
    "every third from the second on": lambda number: number % 3 == 1,
    "every third from the third on": lambda number: number % 3 == 2,
}


@pytest.mark.parametrize("which", REFUSED)
@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 405, 410, 411, 412, 413, 415, 417])
async def test_refusals_that_do_not_stand_end_no_transfer(tmp_path: Path, status: int, which: str) -> None:
    clip = await new_clip(tmp_path, 3 * CHUNK_BYTES, 1000)
    keys, middleware = {UNIT_ID: trusted(KEY)}, refusing(status, REFUSED[which])
    async with (
        running_ingest(tmp_path / "csu", keys, middleware=middleware) as centre,
        uploading(tmp_path / "unit", KEY, clip, centre.url) as heard,
    ):
        await until(lambda: heard.ends and centre.arrived, what="delivery")
    assert heard.ends[0][0] == "delivered"


async def test_a_refusal_that_stands_ends_the_transfer_with_its_words(tmp_path: Path) -> None:
    clip = await new_clip(tmp_path, 1000)
    asked: list[int] = []

    def note(number: int) -> bool:
        asked.append(number)
        return True

    middleware = refusing(403, note)
    async with (
        running_ingest(tmp_path / "csu", {UNIT_ID: trusted(KEY)}, middleware=middleware) as centre,
        uploading(tmp_path / "unit", KEY, clip, centre.url) as heard,
    ):
        await until(lambda: heard.ends, what="refusal")
    assert heard.ends[0][:3] == ("refused", clip.clip_id, "upload-refused")
    assert "403: that makes no sense" in heard.ends[0][3]
    assert len(asked) == REFUSALS


OTHER_ID = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("Upload-Length", lambda length, _clip: f"9{length}"),
        ("Upload-Length", lambda length, _clip: length[1:]),
        (
            "Upload-Metadata",
            lambda _metadata, clip: tus_metadata(clip_id=clip.clip_id, filename="part3.mp4").to_header(),
        ),
        ("Upload-Metadata", lambda _metadata, _clip: tus_metadata(clip_id=OTHER_ID).to_header()),
    ],
    ids=["longer", "shorter", "another name", "another clip"],
)
async def test_an_upload_that_was_created_wrongly_is_made_anew(
    tmp_path: Path, name: str, changed: Callable[[str, Clip], str]
) -> None:
    """The line changed a header; the ingest takes it for what the unit wants."""
    clip = await new_clip(tmp_path, 2 * CHUNK_BYTES, 1000)
    said: list[str] = []

    @web.middleware
    async def corrupt(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method == "POST" and not said:
            headers = CIMultiDict(request.headers)
            said.append(headers[name])
            headers[name] = changed(headers[name], clip)
            request = request.clone(headers=headers)
        return await handler(request)

    keys = {UNIT_ID: trusted(KEY)}
    async with (
        running_ingest(tmp_path / "csu", keys, middleware=corrupt) as centre,
        uploading(tmp_path / "unit", KEY, clip, centre.url) as heard,
    ):
        await until(lambda: heard.ends and centre.arrived, what="delivery")
        folder = centre.arrived[0][2]
    files = await asyncio.to_thread(contents, folder)
    del files["manifest.jws"]
    assert files == clip.files


async def test_footage_that_is_gone_is_damaged(tmp_path: Path, centre: Centre) -> None:
    clip = await new_clip(tmp_path, 5 * CHUNK_BYTES)
    segments = tmp_path / "unit" / "ring" / "main" / "segments"
    await asyncio.to_thread(lambda: [path.write_bytes(b"short") for path in segments.iterdir()])
    async with running_transfers(tmp_path / "unit", upload_settings(centre.url)) as (transfers, heard):
        await submit(transfers, clip, centre.url)
        await until(lambda: heard.ends, what="damage")
        assert heard.ends[0][:2] == ("damaged", clip.clip_id)
        await transfers.cancel(clip.clip_id)
    assert await names(centre.directory / "ingest") == []


async def test_a_plan_that_is_gone_is_damaged(tmp_path: Path, centre: Centre) -> None:
    async with running_transfers(tmp_path / "unit", upload_settings(centre.url)) as (transfers, heard):
        await transfers.submit(str(uuid.uuid4()), Path("ring/main/plans/none.plan"), centre.url, "urgent")
        await until(lambda: heard.ends, what="damage")
    assert heard.ends[0][0] == "damaged"


@pytest.mark.parametrize("early", [True, False], ids=["found by submit", "found at the start"])
@pytest.mark.parametrize("damage", ["{", "{}", "a folder", "another clip's"])
async def test_a_damaged_state_is_set_aside_and_begun_anew(
    tmp_path: Path, centre: Centre, damage: str, early: bool
) -> None:
    clip = await new_clip(tmp_path, 1000)
    settings = upload_settings(centre.url)
    idle = Transfers(tmp_path / "unit", settings, KEY, UNIT_ID, SystemClock())
    await submit(idle, clip, centre.url)
    state = tmp_path / "unit" / "link" / "transfers" / f"{clip.clip_id}.json"
    await asyncio.to_thread(damage_state, state, damage)
    if early:
        await submit(idle, clip, centre.url)
    async with running_transfers(tmp_path / "unit", settings) as (transfers, heard):
        await submit(transfers, clip, centre.url)
        await until(lambda: heard.ends, what="the end")
        assert {end[:2] for end in heard.ends} == {("delivered", clip.clip_id)}
        await transfers.cancel(clip.clip_id)
    (aside,) = await names(state.parent)
    assert aside.startswith(f"{clip.clip_id}.json.damaged-")


def damage_state(state: Path, damage: str) -> None:
    text = state.read_text()
    state.unlink()
    if damage == "a folder":
        state.mkdir()
    else:
        state.write_text(text.replace(state.stem, str(uuid.uuid4())) if "clip" in damage else damage)


async def test_cancelling_in_mid_transfer_removes_both_ends(tmp_path: Path, centre: Centre) -> None:
    clip = await new_clip(tmp_path, 100 * CHUNK_BYTES)
    async with running_transfers(tmp_path / "unit", upload_settings(centre.url)) as (transfers, heard):
        await submit(transfers, clip, centre.url)
        await until(lambda: heard.progress, what="first bytes")
        await transfers.cancel(clip.clip_id)
        assert await names(tmp_path / "unit" / "link" / "transfers") == []
        assert await names(centre.directory / "ingest") == []
    assert heard.ends == []


async def test_a_proxy_that_takes_no_large_requests_gets_small_ones(tmp_path: Path) -> None:
    clip = await new_clip(tmp_path, 400 * CHUNK_BYTES)
    limited = running_ingest(tmp_path / "csu", {UNIT_ID: trusted(KEY)}, max_body_bytes=3 * CHUNK_BYTES)
    async with (
        limited as centre,
        running_transfers(tmp_path / "unit", upload_settings(centre.url), HeldClock(short=5)) as (transfers, heard),
    ):
        await submit(transfers, clip, centre.url)
        await until(lambda: heard.ends, what="delivery", timeout_s=120)
    assert heard.ends[0][0] == "delivered"


async def test_a_proxy_that_takes_no_request_at_all_is_told_of(tmp_path: Path) -> None:
    clip = await new_clip(tmp_path, 4 * CHUNK_BYTES)
    async with (
        running_ingest(tmp_path / "csu", {UNIT_ID: trusted(KEY)}, max_body_bytes=CHUNK_BYTES - 1) as centre,
        uploading(tmp_path / "unit", KEY, clip, centre.url) as heard,
    ):
        await until(lambda: heard.ends, what="refusal")
    assert heard.ends[0][0] == "refused"
    assert "413: too large" in heard.ends[0][3]


async def test_an_upload_that_the_ingest_lost_is_made_anew(tmp_path: Path, centre: Centre) -> None:
    clip = await new_clip(tmp_path, 3 * CHUNK_BYTES)
    settings = upload_settings(centre.url)
    store = tmp_path / "unit" / "link" / "transfers" / f"{clip.clip_id}.json"
    lost = '"location":"' + centre.url + 'f00d"'
    await submit(Transfers(tmp_path / "unit", settings, KEY, UNIT_ID, SystemClock()), clip, centre.url)
    text = (await asyncio.to_thread(store.read_text)).replace('"parts":[{', '"parts":[{' + lost + ",")
    assert lost in text
    await asyncio.to_thread(store.write_text, text)
    async with running_transfers(tmp_path / "unit", settings, HeldClock(short=5)) as (_, heard):
        await until(lambda: heard.ends, what="delivery")
    assert heard.ends[0][0] == "delivered"


async def test_a_kick_ends_the_wait(tmp_path: Path) -> None:
    clip = await new_clip(tmp_path, 1000)
    async with running_ingest(tmp_path / "csu", {UNIT_ID: trusted(KEY)}) as centre:
        url = centre.url
    port = int(url.rsplit(":", 1)[1].split("/")[0])
    async with running_transfers(tmp_path / "unit", upload_settings(url), HeldClock()) as (transfers, heard):
        await submit(transfers, clip, url)
        await until(lambda: troubles(transfers), what="trouble")
        async with running_ingest(tmp_path / "csu", {UNIT_ID: trusted(KEY)}, port=port):
            transfers.kick()
            await until(lambda: heard.ends, what="delivery")
        assert troubles(transfers) == {}


async def test_an_urgent_clip_overtakes(tmp_path: Path, centre: Centre) -> None:
    slow = await new_clip(tmp_path, 400 * CHUNK_BYTES)
    urgent = await new_clip(tmp_path, CHUNK_BYTES)
    async with running_transfers(tmp_path / "unit", upload_settings(centre.url, concurrent=1)) as (transfers, heard):
        await transfers.submit(slow.clip_id, slow.plan_file, centre.url, "background")
        await until(lambda: heard.progress, what="first bytes")
        await transfers.submit(urgent.clip_id, urgent.plan_file, centre.url, "urgent")
        await until(lambda: len(heard.ends) == 2, what="both ends")
    assert [end[1] for end in heard.ends] == [urgent.clip_id, slow.clip_id]


async def test_the_manifest_is_signed_once(tmp_path: Path, centre: Centre) -> None:
    clip = await new_clip(tmp_path, 1000)
    settings = upload_settings(centre.url)
    await submit(Transfers(tmp_path / "unit", settings, KEY, UNIT_ID, SystemClock()), clip, centre.url)
    kept = tmp_path / "unit" / "link" / "transfers" / f"{clip.clip_id}.jws"
    await asyncio.to_thread(kept.write_bytes, b"signed.before.thekill")
    async with running_transfers(tmp_path / "unit", settings) as (_, heard):
        await until(lambda: heard.ends and centre.arrived, what="delivery")
    files = await asyncio.to_thread(contents, centre.arrived[0][2])
    assert files["manifest.jws"] == b"signed.before.thekill"


async def test_tls_files_that_cannot_be_used_are_told_at_start(tmp_path: Path) -> None:
    settings = upload_settings("https://ingest.csu.example/", ca_file=tmp_path / "missing.pem")
    with pytest.raises(SettingsError, match="ca_file"):
        await Transfers(tmp_path, settings, KEY, UNIT_ID, SystemClock()).run()
