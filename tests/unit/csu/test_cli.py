import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from csu.cli.ask import probe_rows
from csu.cli.clip import interval_of
from csu.cli.common import (
    check_end,
    clock_text,
    complain,
    json_text,
    local_text,
    local_zone_name,
    parse_time,
    printable,
    table,
)
from csu.cli.enrol import read_key, settings_text, write_unit_files
from csu.cli.fetch import check_folder
from csu.cli.parser import build_parser, exit_code, join_times, main
from csu.cli.progress import BarView, LineView
from csu.cli.units import line_of
from csu.demo.command import main as demo_main
from csu.errors import (
    BrokerError,
    CommandFailedError,
    CsuError,
    CsuSettingsError,
    RequestRefusedError,
    ServiceUnreachableError,
)
from edge_agent.clock import FakeClock
from edge_agent.contract.jws import SigningKey
from tests.unit.csu.replies import NOW_US, make_record

ENROLMENT: dict[str, Any] = {
    "unit_id": "nomad-07",
    "mqtt_url": "mqtt://127.0.0.1:1883",
    "topic_prefix": "csu/v1",
    "password": "secret",
    "upload_url": "http://127.0.0.1:8080/files/",
    "command_keys": {"keys": [{"kty": "OKP"}]},
}


def test_relative_times_are_not_taken_for_options() -> None:
    words = join_times(["clip", "u", "--from", "-5m", "--to", "-30s", "--last", "10s"])
    assert words == ["clip", "u", "--from=-5m", "--to=-30s", "--last", "10s"]
    assert join_times(["--from", "-o"]) == ["--from", "-o"]


@pytest.mark.parametrize(
    ("text", "expected_us"),
    [
        ("2026-03-29T03:30:00+02:00", 1_774_747_800_000_000),
        ("2026-03-29T01:30:00Z", 1_774_747_800_000_000),
        ("2026-03-29 03:30", 1_774_747_800_000_000),
        ("now", NOW_US),
        ("-90s", NOW_US - 90_000_000),
        ("-2h", NOW_US - 7_200_000_000),
    ],
)
def test_times_as_people_type_them(text: str, expected_us: int) -> None:
    assert parse_time(text, "Europe/Paris", NOW_US, "--from") == expected_us


@pytest.mark.parametrize(
    ("text", "zone", "words"),
    [
        ("2026-10-25 02:30", "Europe/Paris", "twice"),
        ("2026-03-29 02:30", "Europe/Paris", "does not exist"),
        ("2026-03-29 02:30", "Europe/Atlantis", "Atlantis"),
        ("yesterday", "Europe/Paris", r"yesterday.*local time.*-5m"),
        ("-5000000000h", "Europe/Paris", r"-2h before now"),
        ("2026-02-30T00:00:00Z", "Europe/Paris", "2026-02-30"),
    ],
)
def test_bad_times_are_settings_errors(text: str, zone: str, words: str) -> None:
    with pytest.raises(CsuSettingsError, match=f"--from.*{words}"):
        parse_time(text, zone, NOW_US, "--from")


def interval(*words: str) -> tuple[int, int]:
    required = [
        "clip",
        "nomad-07",
        "--camera",
        "c",
        "--reference",
        "r",
        "--purpose",
        "p",
        "-o",
        "d",
        "--zone",
        "Europe/Paris",
    ]
    return interval_of(build_parser().parse_args(join_times([*required, *words])), NOW_US)


def test_intervals() -> None:
    assert interval("--last", "10s") == (NOW_US - 10_000_000, NOW_US)
    assert interval("--from", "-5m", "--to", "-1m") == (NOW_US - 300_000_000, NOW_US - 60_000_000)
    with pytest.raises(CsuSettingsError, match=r"--last '5000000000h': give a duration"):
        interval("--last", "5000000000h")
    for bad in (
        ["--last", "10s", "--to", "now"],
        ["--from", "now"],
        [],
        ["--from", "now", "--to", "-1s"],
        ["--last", "0s"],
    ):
        with pytest.raises(CsuSettingsError):
            interval(*bad)


def test_an_unwritable_folder_is_refused_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_folder(tmp_path / "new" / "clip")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(CsuSettingsError, match="cannot be written"):
        check_folder(Path("/proc/clip"))

    def refuse(**_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("csu.cli.fetch.tempfile.TemporaryFile", refuse)
    with pytest.raises(CsuSettingsError, match=r"-o .*cannot be written.*another folder"):
        check_folder(tmp_path / "clip")


@pytest.mark.parametrize("source", ["gopher:x", "x", "http://a/b", "file:/no/such.mp4"])
def test_the_demonstration_refuses_an_unknown_source(
    source: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csu.demo.command.signal.signal", lambda _number, _handler: None)
    assert demo_main(["--source", source]) == 2
    assert source in capsys.readouterr().err


def test_the_machines_zone_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", ":Europe/Paris")
    assert local_zone_name() == "Europe/Paris"
    assert local_text(1_774_747_800_000_000) == "2026-03-29 03:30:00 CEST"
    monkeypatch.setenv("TZ", "Nowhere/Land")
    assert clock_text(1_774_747_800_000_000) == "01:30:00"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CommandFailedError("expired", "late"), 1),
        (CsuSettingsError("bad"), 2),
        (RequestRefusedError("unknown-unit", "who"), 2),
        (BrokerError("no mosquitto"), 2),
        (ServiceUnreachableError("gone"), 3),
        (CsuError("else"), 1),
    ],
)
def test_exit_codes(error: CsuError, code: int) -> None:
    assert exit_code(error) == code


@pytest.mark.parametrize("options", [[], ["-u"]], ids=["buffered", "unbuffered"])
def test_a_verdict_that_nobody_reads_is_no_success(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "torn.mp4").write_bytes(b"x")
    (tmp_path / "unit.jwk").write_text(json.dumps(SigningKey.generate().public_jwk()))
    words = ["verify", tmp_path / "torn.mp4", "--key", tmp_path / "unit.jwk"]
    reading, writing = os.pipe()
    os.close(reading)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, *options, "-m", "csu", *map(str, words)],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        timeout=60,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    "words", [[], ["clip"], ["dance"], ["serve", "--port", "99999"], ["clip", "u", "--priority", "x"]]
)
def test_bad_usage_is_code_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--prefix", "a b"], "--prefix"),
        (["--ingest-origin", "ftp://x"], "--ingest-origin"),
        (["--ingest-origin", "https://user:secret@x"], "--ingest-origin"),
        (["--broker", "http://x"], "--broker"),
        (["--broker", "mqtt://user:secret@x"], "--broker"),
        (["--broker", "mqtt://[x"], "--broker"),
        (["--broker", "mqtt://x:99999"], "--broker"),
        (["--broker", "mqtt://x", "--broker-password-file", "/nonexistent"], "--broker-password-file"),
    ],
)
def test_bad_serve_settings_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], named: str
) -> None:
    assert main(["serve", "--dir", str(tmp_path / "csu"), *words]) == 2
    assert named in capsys.readouterr().err


def test_the_end_of_a_command_says_what_the_unit_said() -> None:
    check_end(make_record("done"))
    with pytest.raises(CommandFailedError, match="no such footage") as caught:
        check_end(make_record("rejected", {"error": {"code": "interval-empty", "message": "no such footage"}}))
    assert caught.value.code == "interval-empty"
    with pytest.raises(CommandFailedError, match="cancelled"):
        check_end(make_record("cancelled"))
    with pytest.raises(ServiceUnreachableError, match="clock"):
        check_end(make_record("expired", {"error": {"code": "clock-unknown", "message": "no clock"}}))


def test_a_folder_with_a_clip_and_a_file_are_refused(tmp_path: Path) -> None:
    check_folder(tmp_path)
    check_folder(tmp_path / "new")
    (tmp_path / "manifest.jws").write_text("x")
    for bad in (tmp_path, tmp_path / "manifest.jws"):
        with pytest.raises(CsuSettingsError):
            check_folder(bad)


def test_the_units_settings_are_toml_and_its_files_lie_beside(tmp_path: Path) -> None:
    write_unit_files(tmp_path, ENROLMENT)
    settings = tomllib.loads(settings_text(ENROLMENT))
    assert settings["mqtt"]["username"] == "nomad-07"
    assert (tmp_path / settings["mqtt"]["password_file"]).read_text() == "secret"
    assert (tmp_path / settings["mqtt"]["password_file"]).stat().st_mode & 0o777 == 0o600
    assert json.loads((tmp_path / settings["trust"]["command_keys_file"]).read_text()) == ENROLMENT["command_keys"]
    assert settings["upload"]["url"] == ENROLMENT["upload_url"]


def test_without_an_own_broker_no_password_is_promised(tmp_path: Path) -> None:
    foreign = {name: value for name, value in ENROLMENT.items() if name != "password"}
    write_unit_files(tmp_path, foreign)
    assert "password_file" not in settings_text(foreign)
    assert not (tmp_path / "mqtt.password").exists()


@pytest.mark.parametrize("content", [None, b"", b"[]", b"\xff", b"{"])
def test_unreadable_keys_are_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "key.jwk"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CsuSettingsError, match="--key"):
        read_key(str(path))


def test_columns_are_aligned() -> None:
    assert table([("A", "LONG"), ("wide", "x")]) == "A     LONG\nwide  x"


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (
            {"kind": "event", "unit_id": "u", "at": "2026-03-29T00:00:00Z", "name": "camera-lost", "state": "raised"},
            "camera-lost raised",
        ),
        (
            {
                "kind": "reply",
                "command": "clip.request",
                "state": "running",
                "progress": {"sent_bytes": 1, "total_bytes": 4},
            },
            "clip.request running 25 %",
        ),
        ({"kind": "status", "body": {"state": "online"}}, "online"),
        ({"kind": "alarms", "body": {"alarms": []}}, "none"),
        ({"kind": "health", "body": {"clock": {"state": "ok"}}}, "clock ok"),
        ({"kind": "clip", "verdict": "failed", "folder": "/a", "reason": "torn"}, "failed /a: torn"),
        ({"kind": "command", "cmd": "clip.list", "state": "done", "sent": 2, "command_id": "x"}, "clip.list done"),
        ({"kind": "position"}, "new"),
    ],
)
def test_what_happens_is_a_line(item: dict[str, Any], words: str) -> None:
    assert words in line_of(item)


NASTY = "\x1b]0;owned\x07\x9b2J\u202e\x7f\ud800\n[red]"


def visible(text: str) -> bool:
    return all(one.isprintable() or one == "\n" for one in text)


def test_what_a_unit_says_does_not_reach_the_terminal_raw(capsys: pytest.CaptureFixture[str]) -> None:
    event = {"kind": "event", "unit_id": "u", "name": NASTY, "state": "raised", "details": {NASTY: NASTY}}
    assert visible(line_of(event))
    assert line_of(event).count("\n") == 0
    assert visible(table([("A",), (NASTY,)]))
    assert table([("A",), (NASTY,)]).count("\n") == 1
    assert visible(json_text({NASTY: [NASTY]}, 2))
    complain(NASTY)
    with LineView(FakeClock(wall_us=NOW_US)) as view:
        view.state(NASTY)
    shown = capsys.readouterr()
    assert visible(shown.out)
    assert visible(shown.err)
    assert printable("clé à 5 €") == "clé à 5 €"


@pytest.mark.parametrize("text", [NASTY, "\U000e0001", "é€😀"])
def test_json_for_the_terminal_is_the_same_json(text: str) -> None:
    assert json.loads(json_text({text: [text, 1.5, None]})) == {text: [text, 1.5, None]}


def test_the_bar_takes_what_lines_take() -> None:
    with BarView() as view:
        view.state(NASTY)
        view.state("running")
        view.bytes(0, 10)
        view.bytes(10, 10)
        view.state("verified")


def test_probes_and_what_is_inside_them_are_rows() -> None:
    probe = {
        "state": "warning",
        "cameras": {"main": {"state": "warning", "recording": True, "warnings": ["dark"]}},
        "n": 1,
    }
    assert probe_rows("camera", probe) == [
        ("camera", "warning", "n 1"),
        ("    main", "warning", "recording yes, warnings dark"),
    ]
