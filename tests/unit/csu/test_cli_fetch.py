"""`csu clip` after it has asked, and `csu fetch`: what is told to who ends before the request does."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from csu.cli import fetch
from csu.cli.common import Context
from csu.cli.parser import build_parser, main
from csu.client import Client
from csu.errors import CsuError, CsuSettingsError, ServiceUnreachableError
from csu.records import ClipRecord, CommandRecord
from edge_agent.clock import FakeClock
from tests.unit.csu.replies import COMMAND_ID, NOW_US, make_record

Seen = tuple[CommandRecord, ClipRecord | None]


def delivered(folder: Path, verdict: str = "verified") -> ClipRecord:
    fields = {"clip_id": COMMAND_ID, "unit_id": "nomad-07", "folder": str(folder), "completed_us": NOW_US}
    reason = {"reason": "torn"} if verdict == "failed" else {}
    return ClipRecord.from_object(fields | {"verdict": verdict, "receipts_sent": 0} | reason)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "centre"
    folder.mkdir()
    (folder / "part.mp4").write_bytes(b"evidence")
    (folder / "manifest.jws").write_bytes(b"signed")
    return folder


def following(monkeypatch: pytest.MonkeyPatch, *steps: Seen | BaseException, found: Seen | None = None) -> None:
    def follow(_client: Client, _command_id: str, _silence_s: float) -> Iterator[Seen]:
        for step in steps:
            if isinstance(step, BaseException):
                raise step
            yield step

    monkeypatch.setattr(Client, "follow", follow)
    monkeypatch.setattr(Client, "look", lambda _client, _command_id: found or (make_record("running"), None))


def context(out: Path, *more: str) -> Context:
    words = ["clip", "nomad-07", "--camera", "main", "--reference", "R", "--purpose", "P", "-o", str(out), *more]
    return Context(build_parser().parse_args(words), FakeClock())


HINT = f"csu fetch nomad-07 {COMMAND_ID} -o "


@pytest.mark.parametrize("error", [BrokenPipeError(), KeyboardInterrupt(), ServiceUnreachableError("it is gone")])
def test_who_ends_first_is_told_how_to_fetch_and_how_to_cancel(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    monkeypatch.delenv("CSU_DIR", raising=False)
    following(monkeypatch, (make_record("running"), None), error)
    with pytest.raises(type(error)) as caught:
        fetch.follow(context(tmp_path / "my clip"), make_record("waiting"))
    told = capsys.readouterr().err + str(caught.value)
    assert f"request {COMMAND_ID} goes on" in told
    assert f"{HINT}'{tmp_path / 'my clip'}'" in told
    assert f"csu cancel nomad-07 {COMMAND_ID}" in told
    assert str(error) in told


def test_the_words_name_the_centre_that_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    following(monkeypatch, ServiceUnreachableError("it is gone"))
    with pytest.raises(ServiceUnreachableError, match=r"csu cancel \S+ \S+ --dir /elsewhere"):
        fetch.follow(context(tmp_path / "out", "--dir", "/elsewhere"), make_record("waiting"))


@pytest.mark.parametrize("error", [BrokenPipeError(), KeyboardInterrupt(), CsuSettingsError("the disk is full")])
def test_after_the_verdict_the_clip_can_be_fetched_again(
    tmp_path: Path,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
) -> None:
    def unread(_source: Path, _out: Path) -> list[str]:
        raise error

    following(monkeypatch, (make_record("running"), delivered(folder)))
    monkeypatch.setattr(fetch, "deliver", unread)
    with pytest.raises(type(error)):
        fetch.follow(context(tmp_path / "out"), make_record("waiting"))
    assert f"is verified; what is missing in {tmp_path / 'out'}: {HINT}DIR" in capsys.readouterr().err


@pytest.mark.parametrize(("verdict", "code"), [("verified", 0), ("failed", 1)])
def test_a_clip_is_fetched_later(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, verdict: str, code: int
) -> None:
    following(
        monkeypatch,
        (make_record("running"), None),
        (make_record("running"), delivered(folder, "pending")),
        (make_record("done"), delivered(folder, verdict)),
    )
    assert main(["fetch", "nomad-07", COMMAND_ID, "-o", str(tmp_path / "out")], FakeClock()) == code
    assert (tmp_path / "out" / "part.mp4").read_bytes() == b"evidence"


@pytest.mark.parametrize(("state", "code"), [("rejected", 1), ("cancelled", 1), ("expired", 3)])
def test_a_request_without_a_clip_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, state: str, code: int
) -> None:
    following(monkeypatch, (make_record(state), None))
    assert main(["fetch", "nomad-07", COMMAND_ID, "-o", str(tmp_path / "out")], FakeClock()) == code
    assert COMMAND_ID in capsys.readouterr().err or code == 1
    assert not (tmp_path / "out").exists()


def test_a_verified_clip_whose_files_were_removed_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    following(monkeypatch, (make_record("done"), delivered(tmp_path / "gone")))
    with pytest.raises(CsuError, match="no longer in"):
        fetch.follow(context(tmp_path / "out"), make_record("done"))


@pytest.mark.parametrize(
    ("unit_id", "cmd", "words"),
    [("nomad-08", "clip.request", "asked of nomad-07"), ("nomad-07", "clip.list", "id of a clip.list")],
)
def test_what_is_no_clip_of_that_unit_is_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    unit_id: str,
    cmd: str,
    words: str,
) -> None:
    following(monkeypatch, found=(make_record("done").model_copy(update={"cmd": cmd}), None))
    assert main(["fetch", unit_id, COMMAND_ID, "-o", str(tmp_path / "out")], FakeClock()) == 2
    assert words in capsys.readouterr().err
