"""The deployment record of a unit's first start, and the position it gives."""

from pathlib import Path

import pytest

from edge_agent.clock import FakeClock
from edge_agent.deployment.record import FILE_NAME, load_or_create
from edge_agent.errors import LinkBusyError
from edge_agent.link_lock import hold_link_lock
from edge_agent.position.fixed import fixed_position
from edge_agent.settings import PositionSettings, Settings


def make_settings(data_dir: Path, **more: object) -> Settings:
    tables: dict[str, object] = {
        "unit": {"id": "nomad-07", "data_dir": data_dir},
        "camera": [{"name": "main", "source": "test:"}],
    }
    return Settings.model_validate(tables | more)


def test_every_unit_has_the_bench_deployment_from_its_first_start(tmp_path: Path) -> None:
    clock = FakeClock()
    first = load_or_create(make_settings(tmp_path / "data"), clock)
    assert (first.deployment_id, first.position) == ("bench", None)
    clock.advance(60)
    assert load_or_create(make_settings(tmp_path / "data"), clock) == first
    moved = load_or_create(
        make_settings(tmp_path / "data", position={"longitude_deg": 4.85, "latitude_deg": 45.76}), clock
    )
    assert moved.position is not None
    assert (moved.begun_us, moved.position.source) == (first.begun_us, "settings")


def test_a_damaged_record_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"{")
    assert load_or_create(make_settings(tmp_path), FakeClock()).deployment_id == "bench"
    assert [path.read_bytes() for path in tmp_path.glob("*.damaged-*")] == [b"{"]


def test_the_fixed_position_is_geojson() -> None:
    place = PositionSettings(longitude_deg=4.85, latitude_deg=45.76, altitude_m=170, accuracy_m=5)
    position = fixed_position(place, "bench").to_object()
    assert position["geometry"] == {"type": "Point", "coordinates": [4.85, 45.76, 170.0]}
    assert position["properties"]["fix"] == "fixed"
    nowhere = fixed_position(None, "bench").to_object()
    assert (nowhere["geometry"], nowhere["properties"]["fix"]) == (None, "none")


def test_one_link_a_data_directory(tmp_path: Path) -> None:
    clock = FakeClock()
    first = hold_link_lock(tmp_path, clock, take_over=False)
    with first, pytest.raises(LinkBusyError), hold_link_lock(tmp_path, clock, take_over=False):
        pytest.fail("two links")
    with hold_link_lock(tmp_path, clock, take_over=False):
        assert (tmp_path / "link" / "link.lock").read_text(encoding="ascii").strip().isdigit()
