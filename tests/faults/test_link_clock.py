"""The unit's wall clock steps while its link uploads and while it waits: the clip arrives, and commands go on."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.faults.proxy import Proxy
from tests.support.link import LinkRig, link_rig
from tests.support.operator import clip_params
from tests.support.polling import wait_until
from tests.support.processes import Processes
from tests.support.stepped_clock import step

pytestmark = [pytest.mark.faults, pytest.mark.slow]

CLIP_BYTES = 2_000_000
BYTES_PER_S = 700_000
FAILURES = 3
STEPS_S = [3600.0, -3600.0, 2 * 365 * 86_400.0]


class Street:
    """A link whose clock the test steps, and the way to its ingest."""

    def __init__(self, rig: LinkRig, proxy: Proxy, clock_file: Path) -> None:
        self.rig, self.proxy, self._clock_file = rig, proxy, clock_file

    def step(self, ahead_s: float) -> None:
        step(self._clock_file, ahead_s)

    def ask_clip(self) -> str:
        """Ask, and wait until it is on its way."""
        clip_id = self.rig.operator.send("clip.request", clip_params())
        self.rig.operator.wait_reply(clip_id, "running")
        return clip_id

    def check_done(self, clip_id: str) -> None:
        self.rig.deliver(clip_id)
        assert self.rig.operator.wait_reply(clip_id)["state"] == "done"


@pytest.fixture
def street(tmp_path: Path, processes: Processes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Street]:
    monkeypatch.setenv("LINK_CLOCK", str(tmp_path / "clock"))
    with link_rig(tmp_path, processes) as rig:
        url = urlsplit(rig.ingest.centre.url)
        with Proxy("127.0.0.1", url.port or 0) as proxy:
            origin = f"http://127.0.0.1:{proxy.port}"
            rig.ingest.centre.ingest.add_origin(origin)
            text = rig.settings_file.read_text(encoding="utf-8")
            rig.settings_file.write_text(
                text.replace(f"{url.scheme}://{url.netloc}", origin).replace(
                    "[upload]", "[upload]\nchunk_bytes = 262144"
                ),
                encoding="utf-8",
            )
            rig.ring.sizes = [CLIP_BYTES]
            rig.start()
            rig.operator.wait_online()
            yield Street(rig, proxy, tmp_path / "clock")
            processes.kill_all()


@pytest.mark.parametrize("ahead_s", STEPS_S)
def test_steps_in_mid_upload_end_no_clip(street: Street, ahead_s: float) -> None:
    """There, and back again, at a quarter and at the half of it."""
    street.proxy.throttle_bytes_per_s = BYTES_PER_S
    clip_id = street.ask_clip()
    for share, steps_to_s in ((0.25, ahead_s), (0.5, 0.0)):
        wait_until(lambda: street.proxy.to_server_bytes > CLIP_BYTES * share, what="bytes under way")  # noqa: B023 -- called now
        street.step(steps_to_s)
    street.proxy.throttle_bytes_per_s = 0
    street.check_done(clip_id)


def test_a_step_while_it_waits_delays_nothing(street: Street) -> None:
    for ahead_s in STEPS_S:
        street.step(0.0)
        street.proxy.canned.extend(["close"] * FAILURES)
        street.proxy.cut()  # the connection of the clip before is kept
        clip_id = street.ask_clip()
        wait_until(lambda: len(street.proxy.canned) < FAILURES, what="an attempt that failed", timeout_s=60)
        street.step(ahead_s)
        street.check_done(clip_id)
        street.step(0.0)
        check_id = street.rig.operator.send("unit.check", {})
        assert street.rig.operator.wait_reply(check_id)["state"] == "done"
