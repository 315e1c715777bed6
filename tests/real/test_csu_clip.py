"""`csu clip` against a fake unit: what arrives, and what the exit code tells."""

import stat
from pathlib import Path

import pytest

from edge_agent.contract.commands import CommandClaims
from edge_agent.contract.times import format_utc
from tests.real.csu_service import UNIT_ID, CsuService
from tests.real.fake_unit import CLIP_END_US, CLIP_START_US, FakeUnit, deliver, once, record_clip
from tests.support.polling import wait_until
from tests.support.processes import Processes

pytestmark = pytest.mark.real


@pytest.fixture
def service(service: CsuService) -> CsuService:
    service.start()
    return service


def clip_words(out: Path, *more: str, start_us: int = CLIP_START_US, end_us: int = CLIP_END_US) -> list[str | Path]:
    times = ["--from", format_utc(start_us), "--to", format_utc(end_us)]
    reason = ["--reference", "PV 2026/118", "--purpose", "requisition"]
    return ["clip", UNIT_ID, "--camera", "main", *times, *reason, "-o", out, *more]


def state_of(service: CsuService, command_id: str) -> str:
    return service.client.look(command_id)[0].state


def test_a_clip_arrives_verified(service: CsuService, tmp_path: Path) -> None:
    unit = service.unit(deliver)
    out = tmp_path / "out"
    outcome = service.cli(*clip_words(out))
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    command = unit.commands[0]
    sent = unit.directory / command.jti
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        path.name: path.read_bytes() for path in sent.iterdir()
    }
    assert (command.reference, command.purpose, command.role) == ("PV 2026/118", "requisition", "operator")
    (receipt,) = wait_until(lambda: unit.receipts[:1], what="receipt")
    assert receipt["verdict"] == "verified"
    wait_until(lambda: state_of(service, command.jti) == "done", what="the unit's last reply")
    assert service.client.look(command.jti)[0].next_send_us is None
    assert service.cli("verify", out).returncode == 0
    evidence = service.client.look(command.jti)[1]
    assert evidence is not None
    for path in out.iterdir():
        assert not path.samefile(Path(evidence.folder) / path.name)


def test_a_tampered_clip_is_told_and_refused(service: CsuService, tmp_path: Path) -> None:
    @once
    def deliver_tampered(unit: FakeUnit, command: CommandClaims) -> None:
        unit.reply(command, "accepted")
        folder = record_clip(unit.directory, unit.identity, command)
        (part,) = folder.glob("*.mp4")
        content = bytearray(part.read_bytes())
        content[-2000] ^= 1
        part.unlink()
        part.write_bytes(content)
        unit.upload(command.jti, folder)

    unit = service.unit(deliver_tampered)
    outcome = service.cli(*clip_words(tmp_path / "out"))
    assert outcome.returncode == 1, outcome.stdout + outcome.stderr
    assert "NOT VERIFIED" in outcome.stdout
    receipt = wait_until(lambda: unit.receipts[:1], what="receipt")[0]
    assert receipt["verdict"] == "failed"
    assert "fragment" in receipt["reason"] or "SHA-256" in receipt["reason"]


def test_a_clip_of_another_interval_than_the_asked_one_is_refused(service: CsuService, tmp_path: Path) -> None:
    @once
    def deliver_later(unit: FakeUnit, command: CommandClaims) -> None:
        later = {"from": format_utc(CLIP_START_US + 1_000_000), "to": format_utc(CLIP_END_US + 1_000_000)}
        folder = record_clip(
            unit.directory, unit.identity, command.model_copy(update={"params": command.params | later})
        )
        unit.upload(command.jti, folder)

    service.unit(deliver_later)
    outcome = service.cli(*clip_words(tmp_path / "out"))
    assert outcome.returncode == 1
    assert "asked" in outcome.stdout


def test_a_rejection_gives_its_code_and_words(service: CsuService, tmp_path: Path) -> None:
    error = {"code": "interval-overwritten", "message": "the oldest footage is of 03:00"}
    service.unit(lambda unit, command: unit.reply(command, "rejected", error=error))
    outcome = service.cli(*clip_words(tmp_path / "out"))
    assert outcome.returncode == 1
    assert "interval-overwritten" in outcome.stderr
    assert "the oldest footage is of 03:00" in outcome.stderr
    assert not (tmp_path / "out").exists()


def test_a_silent_unit_times_out_and_stays_asked(service: CsuService, tmp_path: Path) -> None:
    unit = service.unit(lambda _unit, _command: None)
    outcome = service.cli(*clip_words(tmp_path / "out", "--timeout", "5"))
    assert outcome.returncode == 3
    command_id = unit.commands[0].jti
    wait_until(lambda: len(unit.commands) >= 3, what="the command again", timeout_s=60)
    assert {command.jti for command in unit.commands} == {command_id}
    unit.reply(unit.commands[0], "cancelled")
    wait_until(lambda: state_of(service, command_id) == "cancelled", what="the late reply")


def test_a_clip_that_nobody_waited_for_is_fetched_later(service: CsuService, tmp_path: Path) -> None:
    unit = service.unit(lambda _unit, _command: None)
    out = tmp_path / "out"
    outcome = service.cli(*clip_words(out, "--timeout", "3"))
    assert outcome.returncode == 3
    command_id = unit.commands[0].jti
    assert f"csu fetch {UNIT_ID} {command_id} -o {out}" in outcome.stderr
    assert f"csu cancel {UNIT_ID} {command_id}" in outcome.stderr
    assert service.cli("fetch", UNIT_ID, command_id, "-o", out, "--timeout", "1").returncode == 3
    service.kill()
    service.start()
    wait_until(lambda: any(one.is_online for one in service.client.units()), what="the unit again", timeout_s=60)
    deliver(unit, unit.commands[0])
    fetched = service.cli("fetch", UNIT_ID, command_id, "-o", out)
    assert fetched.returncode == 0, fetched.stdout + fetched.stderr
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        path.name: path.read_bytes() for path in (unit.directory / command_id).iterdir()
    }
    unknown = service.cli("fetch", UNIT_ID, "0197a1b2-0000-7000-8000-000000000001", "-o", tmp_path / "other")
    assert unknown.returncode == 2


def test_a_rejection_that_a_retry_can_mend_is_asked_again(service: CsuService, tmp_path: Path) -> None:
    rejected: list[str] = []

    def clock_comes_later(unit: FakeUnit, command: CommandClaims) -> None:
        if rejected:
            deliver(unit, command)
        else:
            unit.reply(command, "rejected", error={"code": "clock-unknown", "message": "no time yet"})
            rejected.append(command.jti)

    service.unit(clock_comes_later)
    outcome = service.cli(*clip_words(tmp_path / "out"))
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert "no time yet" in outcome.stdout


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--from", "2026-09-21T14:00:05Z", "--to", "2026-09-21T14:00:05Z"], "--to"),
        (["--from", "2026-10-25 02:30", "--to", "2026-10-25 02:31"], "2026-10-25T02:30:00+02:00 or 2026-10-25T02:30"),
        (["--from", "2026-03-29 02:30", "--to", "2026-03-29 02:31"], "does not exist"),
        (["--from", "yesterday", "--to", "now"], "yesterday"),
        (["--last", "10x"], "10x"),
        (["--from", "-5m"], "--to"),
    ],
)
def test_bad_times_are_told_before_anything_is_asked(
    service: CsuService, tmp_path: Path, words: list[str], named: str
) -> None:
    reason = ["--reference", "R", "--purpose", "P", "-o", str(tmp_path / "out")]
    outcome = service.cli("clip", UNIT_ID, "--camera", "main", *words, *reason)
    assert outcome.returncode == 2
    assert named in outcome.stderr


def test_an_unknown_unit_and_a_full_folder_are_usage_errors(service: CsuService, tmp_path: Path) -> None:
    outcome = service.cli(*clip_words(tmp_path / "out"))
    assert outcome.returncode == 2
    assert UNIT_ID in outcome.stderr
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.jws").write_text("another clip's")
    assert service.cli(*clip_words(tmp_path / "out")).returncode == 2


def test_no_service_is_exit_code_3(tmp_path: Path, processes: Processes) -> None:
    outcome = CsuService(tmp_path, processes).cli("units")
    assert outcome.returncode == 3
    assert "csu serve" in outcome.stderr


def test_thin_commands_answer(service: CsuService) -> None:
    def answer(unit: FakeUnit, command: CommandClaims) -> None:
        results = {
            "coverage.query": {"intervals": [{"from": format_utc(0), "to": format_utc(10**7), "held": True}]},
            "unit.check": {"clock": {"state": "ok", "offset_ms": 3}, "storage": {"state": "critical"}},
            "clip.cancel": {},
            "command.query": {"state": "running"},
            "clip.list": {"clips": []},
        }
        unit.reply(command, "done", result=results[command.cmd])

    unit = service.unit(answer)
    an_id = "0197a1b2-0000-7000-8000-000000000001"
    coverage = service.cli("coverage", UNIT_ID, "main", "--from", "-2h")
    assert coverage.returncode == 0, coverage.stderr
    assert "10.0 s  held" in coverage.stdout
    check = service.cli("check", UNIT_ID)
    assert check.returncode == 1
    assert "storage  critical" in check.stdout
    assert service.cli("cancel", UNIT_ID, an_id).returncode == 0
    assert '"running"' in service.cli("query", UNIT_ID, an_id).stdout
    assert service.cli("clips", UNIT_ID).returncode == 0
    asked = {command.jti: command.cmd for command in unit.commands}
    assert list(asked.values()) == ["coverage.query", "unit.check", "clip.cancel", "command.query", "clip.list"]


def test_units_and_enrolment(service: CsuService, tmp_path: Path) -> None:
    key = tmp_path / "key.jwk"
    identity = service.enrol("nomad-08")
    key.write_text(str(identity.key.public_jwk()).replace("'", '"'))
    enrolled = service.cli("enrol", "nomad-09", "--key", key, "--out", tmp_path / "nomad-09")
    assert enrolled.returncode == 0, enrolled.stderr
    assert 'username = "nomad-09"' in enrolled.stdout
    password = tmp_path / "nomad-09" / "mqtt.password"
    assert stat.S_IMODE(password.stat().st_mode) == 0o600
    service.unit(deliver, identity)
    wait_until(lambda: any(unit.is_online for unit in service.client.units()), what="status")
    table = service.cli("units").stdout
    assert "nomad-08  warning  health-missing" in table
    assert "nomad-09  unheard  never-heard" in table
    key.write_text(identity.key.to_json())
    private = service.cli("enrol", "nomad-10", "--key", key)
    assert private.returncode == 2
    assert "private" in private.stderr
