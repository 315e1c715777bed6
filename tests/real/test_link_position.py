"""A link with a real gpsd and a real broker: what the centre and the recorder are told of the position."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gpsd import Gpsd, Receiver
from tests.support.link import LinkRig, link_rig
from tests.support.nmea import Epoch
from tests.support.polling import wait_until
from tests.support.processes import Processes

pytestmark = pytest.mark.real


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver(Epoch)
    yield made
    made.close()


@pytest.fixture
def gpsd(processes: Processes, receiver: Receiver) -> Gpsd:
    return Gpsd(processes, receiver).start()


@pytest.fixture
def rig(tmp_path: Path, processes: Processes, gpsd: Gpsd) -> Iterator[LinkRig]:
    with link_rig(tmp_path, processes) as made:
        text = made.settings_file.read_text(encoding="utf-8")
        made.settings_file.write_text(f'{text}gpsd = "{gpsd.address}"\n', encoding="utf-8")
        yield made


def test_the_centre_and_the_recorder_are_told_of_fix_loss_and_time(rig: LinkRig, gpsd: Gpsd) -> None:
    rig.start()
    rig.operator.wait_online()
    fixed = rig.operator.wait_for("position", lambda body: body["properties"]["fix"] == "3d")
    properties = fixed["properties"]
    assert fixed["geometry"]["coordinates"][:2] == [4.8357, 45.764]
    assert properties["source"] == "gnss"
    assert properties["accuracy_m"] == pytest.approx(5.7, abs=0.2)
    assert "last_known" not in properties

    wait_until(lambda: rig.ring.offers, what="GNSS time offered to the recorder", timeout_s=60)
    wait_until(lambda: any(place.position for place in rig.ring.places), what="the recorder told")
    rig.recorder.stop()
    rig.ring.places.clear()
    rig.recorder.start()
    wait_until(lambda: rig.ring.places, what="a recorder that started again told anew")
    told = rig.ring.places[-1]
    assert told.position is not None
    assert (told.position.source, told.position.fix, told.moving) == ("gnss", "3d", False)

    gpsd.kill()
    lost = rig.operator.wait_for("position", lambda body: body["properties"]["fix"] == "none")
    assert lost["properties"]["last_known"] is True
    assert lost["properties"]["age_s"] >= 9
    assert "gpsd" in lost["properties"]["detail"]
    assert lost["geometry"]["coordinates"][:2] == [4.8357, 45.764]

    rig.kill()
    rig.operator.received.clear()
    rig.start()
    again = rig.operator.wait_for("position", lambda body: body["properties"].get("last_known") is True)
    assert again["geometry"]["coordinates"][:2] == [4.8357, 45.764]
    gpsd.start()
    rig.operator.wait_for("position", lambda body: body["properties"]["fix"] == "3d")
