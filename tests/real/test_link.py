"""The link against a real broker, with a made-up recorder and the centre's own ingest."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.link import LinkRig, link_rig
from tests.support.operator import clip_params
from tests.support.polling import wait_until
from tests.support.processes import Processes

pytestmark = pytest.mark.real


@pytest.fixture
def rig(tmp_path: Path, processes: Processes) -> Iterator[LinkRig]:
    with link_rig(tmp_path, processes) as made:
        yield made


def deliver(rig: LinkRig, clip_id: str) -> None:
    """Wait until the ingest has the clip, and send the receipt."""
    wait_until(lambda: [clip for _, clip, _ in rig.arrived if clip == clip_id], what="the clip's arrival")
    folder = next(folder for _, clip, folder in rig.arrived if clip == clip_id)
    rig.operator.send_receipt(clip_id, sha256_of(folder / "manifest.jws"))


def sha256_of(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_clip_is_accepted_delivered_and_done(rig: LinkRig) -> None:
    rig.start()
    rig.operator.wait_online()
    clip_id = rig.operator.send("clip.request", clip_params())
    accepted = rig.operator.wait_reply(clip_id, "accepted", "running")
    assert accepted["result"]["clip"]["parts"] == 1
    deliver(rig, clip_id)
    done = rig.operator.wait_reply(clip_id)
    assert done["state"] == "done"
    assert done["result"]["manifest_sha256"]
    wait_until(lambda: clip_id in rig.ring.released, what="release of the pin")


def test_sigterm_ends_within_three_seconds_and_says_offline(rig: LinkRig) -> None:
    process = rig.start()
    rig.operator.wait_online()
    process.send_signal(signal.SIGTERM)
    assert process.wait(3) == 0
    rig.operator.wait_for("status", lambda body: body["state"] == "offline")
