"""The link is killed around every durable step; the command takes effect once, and its end is told."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.clock import SystemClock
from tests.support.link import LinkRig, link_rig
from tests.support.operator import clip_params, make_claims
from tests.support.polling import wait_until
from tests.support.processes import Processes

pytestmark = [pytest.mark.faults, pytest.mark.slow]

CLIP_STEPS = ["stored", "reserved", "planned", "running", "delivered", "done", "settled"]
MOMENTS = ["before", "after"]


@pytest.fixture
def rig(tmp_path: Path, processes: Processes) -> Iterator[LinkRig]:
    with link_rig(tmp_path, processes) as made:
        yield made


def die_and_start_again(rig: LinkRig) -> None:
    """Wait until the link has killed itself at its step, and start a sound one."""
    assert rig.process is not None
    assert rig.process.wait(60) == -9
    rig.start()


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("step", CLIP_STEPS)
def test_a_clip_arrives_once_whatever_step_the_link_dies_at(rig: LinkRig, step: str, moment: str) -> None:
    rig.ring.reserved_answers = 1
    rig.start(f"clip.request:{step}:{moment}")
    rig.operator.wait_online()
    claims = make_claims(rig.operator.topics.unit_id, "clip.request", clip_params())
    clip_id = str(claims["jti"])
    rig.operator.send_claims(claims)
    if step in {"done", "settled"}:
        rig.deliver(clip_id)
    die_and_start_again(rig)
    if step not in {"done", "settled"}:
        rig.deliver(clip_id)
    assert rig.operator.wait_reply(clip_id)["state"] == "done"
    wait_until(lambda: clip_id in rig.ring.released and not rig.ring.clips, what="release of the pin")
    assert [clip for _, clip, _ in rig.arrived] == [clip_id]
    assert_bytes_are_the_planned_ones(rig, clip_id)


def assert_bytes_are_the_planned_ones(rig: LinkRig, clip_id: str) -> None:
    """The arrived part is as long as the plan said; its digest is in the manifest that the receipt named."""
    folder = next(folder for _, clip, folder in rig.arrived if clip == clip_id)
    parts = [path for path in folder.iterdir() if path.suffix == ".mp4"]
    accepted = rig.operator.wait_reply(clip_id)["result"]["clip"]
    assert sum(path.stat().st_size for path in parts) == accepted["length_bytes"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_receipt_is_not_lost(rig: LinkRig, moment: str) -> None:
    rig.start(f"receipt:stored:{moment}")
    rig.operator.wait_online()
    clip_id = rig.operator.send("clip.request", clip_params())
    rig.deliver(clip_id)
    die_and_start_again(rig)
    assert rig.operator.wait_reply(clip_id)["state"] == "done"


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_cancellation_takes_effect_once(rig: LinkRig, moment: str) -> None:
    rig.ingest.stop_listening()
    rig.start(f"clip.cancel:done:{moment}")
    rig.operator.wait_online()
    clip_id = rig.operator.send("clip.request", clip_params())
    rig.operator.wait_reply(clip_id, "running")
    canceller = rig.operator.send("clip.cancel", {"clip_id": clip_id})
    die_and_start_again(rig)
    assert rig.operator.wait_reply(clip_id)["state"] == "cancelled"
    assert rig.operator.wait_reply(canceller)["result"]["cancelled"] is True
    wait_until(lambda: not rig.ring.clips, what="release of the pin")


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.2, 0.5])
def test_the_broker_dies_at_any_moment(rig: LinkRig, seconds: float) -> None:
    rig.start()
    rig.operator.wait_online()
    claims = make_claims(rig.operator.topics.unit_id, "clip.request", clip_params())
    clip_id = str(claims["jti"])
    rig.operator.send_claims(claims)
    SystemClock().sleep(seconds)
    rig.broker.kill()
    rig.broker.start()
    rig.operator.wait_online(2)
    rig.operator.send_claims(claims)  # as the centre does until it is answered
    rig.deliver(clip_id)
    assert rig.operator.wait_reply(clip_id)["state"] == "done"
    assert [clip for _, clip, _ in rig.arrived] == [clip_id]


def test_a_damaged_ledger_is_set_aside_and_its_uploads_are_ended(rig: LinkRig) -> None:
    rig.ingest.stop_listening()
    rig.start()
    rig.operator.wait_online()
    claims = make_claims(rig.operator.topics.unit_id, "clip.request", clip_params())
    rig.operator.send_claims(claims)
    rig.operator.wait_reply(str(claims["jti"]), "running")
    rig.kill()
    database = rig.data_dir / "link" / "link.db"
    for companion in (database.with_name("link.db-wal"), database.with_name("link.db-shm")):
        companion.unlink(missing_ok=True)
    database.write_bytes(b"\xff" * 8192)
    rig.start()
    rig.operator.wait_online(2)
    rig.operator.wait_for("event", lambda body: body["name"] == "ledger-replaced")
    wait_until(lambda: not rig.ring.clips, what="release of the pin")
    assert [path.read_bytes() for path in database.parent.glob("link.db.damaged-*")] == [b"\xff" * 8192]
    rig.operator.send_claims(claims)
    wait_until(lambda: len(rig.ring.plan_calls) == 2, what="the request's second beginning")


@pytest.mark.parametrize("target", ["trust", "upload"])
def test_files_that_settings_name_and_nobody_finds_end_the_link_with_a_reason(rig: LinkRig, target: str) -> None:
    missing = rig.directory / "missing"
    text = rig.settings_file.read_text(encoding="utf-8")
    if target == "trust":
        text = text.replace(str(rig.directory / "keys.json"), str(missing))
    else:
        text = text.replace("[upload]", f'[upload]\nca_file = "{missing}"')
    rig.settings_file.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "edge_agent", "link", "--config", str(rig.settings_file)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert f"{rig.settings_file}: {target}." in ended.stderr
    assert "Traceback" not in ended.stderr
