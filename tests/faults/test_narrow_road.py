"""A unit behind 256 kbit/s with a modem that buffers for three seconds: the clip arrives, commands are answered."""

import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.faults.proxy import Proxy
from tests.support.link import ROOT, LinkRig, link_rig
from tests.support.operator import clip_params
from tests.support.polling import wait_until
from tests.support.processes import Processes
from tests.support.road import CENTRE_ADDRESS, open_road, require_name_spaces

pytestmark = pytest.mark.faults

KBIT_S = 256
QUEUE_MS = 3_000
CLIP_BYTES = 350_000


@pytest.fixture
def rig(tmp_path: Path, processes: Processes) -> Iterator[LinkRig]:
    """A centre in one name space, and the link's process in another."""
    require_name_spaces()
    with (
        open_road(processes, KBIT_S, queue_ms=QUEUE_MS) as road,
        road.centre.entered(),
        link_rig(tmp_path, Processes(), keepalive_s=45) as rig,
        in_front_of(rig.broker.url),
        in_front_of(rig.ingest.centre.url),
    ):
        rig.ring.sizes = [CLIP_BYTES]
        text = rig.settings_file.read_text(encoding="utf-8").replace("127.0.0.1", CENTRE_ADDRESS)
        rig.settings_file.write_text(text, encoding="utf-8")
        rig.ingest.centre.ingest.add_origin(rig.ingest.centre.url.replace("127.0.0.1", CENTRE_ADDRESS))
        command: list[str | Path] = [sys.executable, "-m", "tests.support.link_main", rig.settings_file]
        processes.start(road.unit.command(*command), cwd=ROOT)
        rig.operator.wait_online()
        yield rig


def in_front_of(url: str) -> Proxy:
    """What listens on the loopback alone, reachable from the road under the same port."""
    port = urlsplit(url).port or 0
    return Proxy("127.0.0.1", port, (CENTRE_ADDRESS, port))


def round_trip_s(rig: LinkRig) -> float:
    begun_s = time.monotonic()
    rig.operator.wait_reply(rig.operator.send("clip.list", {"limit": 1}), "done")
    return time.monotonic() - begun_s


def test_a_clip_arrives_through_a_narrow_road_while_commands_are_answered(rig: LinkRig) -> None:
    idle_s = [round_trip_s(rig) for _ in range(5)]
    clip_id = rig.operator.send("clip.request", clip_params(), role="investigator")
    rig.operator.wait_reply(clip_id, "running")
    wait_until(lambda: sent_bytes(rig) > 40_000, what="upload under way")
    busy_s: list[float] = []
    while not rig.arrived and sent_bytes(rig) < CLIP_BYTES * 0.8:
        busy_s.append(round_trip_s(rig))
    content = rig.ring.clips[clip_id].files
    rig.deliver(clip_id)
    rig.operator.wait_reply(clip_id, "done")
    folder = rig.arrived[0][2]
    assert {name: (folder / name).read_bytes() for name in content} == content
    assert len(busy_s) > 5
    assert statistics.median(busy_s) < 2 * statistics.median(idle_s) + 0.3


def sent_bytes(rig: LinkRig) -> int:
    """What the ingest has of uploads that are not whole."""
    total_bytes = 0
    for path in (rig.directory / "ingest" / "ingest").glob("*/data"):
        with suppress(FileNotFoundError):  # the clip has just arrived
            total_bytes += path.stat().st_size
    return total_bytes
