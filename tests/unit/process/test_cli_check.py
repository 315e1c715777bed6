"""`edge-agent check`: the figures of the storage are those that the unit sends."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge_agent import cli_check
from edge_agent.clock import FakeClock
from edge_agent.contract.ring_protocol import RecorderState
from edge_agent.errors import RingUnavailableError
from edge_agent.health.storage import load_of, storage_figures
from edge_agent.settings import Settings
from tests.support.fake_recorder import make_state
from tests.support.rings import RingBench


def settings_of(data_dir: Path, *cameras: dict[str, object]) -> Settings:
    tables = [{"source": "test:"} | camera for camera in cameras]
    return Settings.model_validate({"unit": {"id": "nomad-07", "data_dir": data_dir}, "camera": tables})


def has_free(monkeypatch: pytest.MonkeyPatch, free_bytes: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=free_bytes))


def storage_of(settings: Settings) -> tuple[str, str]:
    return cli_check._check_storage(settings, FakeClock())


def test_a_bounded_ring_fits_what_its_bound_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    has_free(monkeypatch, 70_000_000_000)
    verdict, text = storage_of(settings_of(tmp_path, {"name": "main", "max_bytes": 2_000_000_000}))
    assert verdict == "ok"
    assert "70.0 GB free: 0.05 days of footage fit at 4000 kbit/s" in text


def test_proxies_take_space_and_one_of_an_address_of_its_own_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_free(monkeypatch, 70_000_000_000)
    front: dict[str, object] = {"name": "front", "proxy": {"bitrate_kbps": 300}}
    rear: dict[str, object] = {"name": "rear", "proxy": {"bitrate_kbps": 200, "source": f"file:{tmp_path}/nope.mp4"}}
    settings = settings_of(tmp_path, front, rear)
    assert "days of footage fit at 8500 kbit/s" in storage_of(settings)[1]
    monkeypatch.setattr(cli_check, "_try_source", lambda *_: ("ok", "a picture came"))
    findings = {finding.what: finding.verdict for finding in cli_check._findings(settings, FakeClock())}
    cameras = {what: verdict for what, verdict in findings.items() if what.startswith("camera")}
    assert cameras == {"camera front": "ok", "camera rear": "ok", "camera rear-proxy": "failed"}


def test_a_running_recorder_is_believed_and_the_unit_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = {
        "main": make_state(camera="main", bitrate_kbps=2500.0, size_bytes=3_000_000_000),
        "rear": make_state(camera="rear", bitrate_kbps=1500.0, size_bytes=1_000_000_000),
    }

    def call(path: Path, *_rest: object, **_more: object) -> dict[str, Any]:
        return states[path.stem].to_object()

    monkeypatch.setattr(cli_check, "call_sync", call)
    has_free(monkeypatch, 50_000_000_000)
    settings = settings_of(tmp_path, {"name": "main"}, {"name": "rear", "max_bytes": 2_000_000_000})
    _, text = storage_of(settings)

    figures = storage_figures({"free_bytes": 50_000_000_000}, settings.camera, states.values())
    assert f"{figures['days_that_fit']} days of footage fit at 4000 kbit/s, rear has the fewest" in text


def test_footage_that_is_there_counts_when_no_recorder_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = RingBench(tmp_path)
    ring = bench.open()
    bench.record(ring, 8)
    ring.close()
    found = cli_check._load_of(tmp_path, bench.camera, FakeClock())
    assert found.size_bytes == sum(path.stat().st_size for path in bench.files().values())

    def silent(*_rest: object, **_more: object) -> dict[str, Any]:
        raise RingUnavailableError("nobody answers")

    monkeypatch.setattr(cli_check, "call_sync", silent)
    assert cli_check._load_of(tmp_path / "none", bench.camera, FakeClock()).size_bytes == 0


def test_a_file_in_place_of_the_data_directory_is_named(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.touch()
    verdict, text = storage_of(settings_of(data_dir, {"name": "main"}))
    assert verdict == "failed"
    assert f"data_dir {data_dir} is no folder" in text


def test_a_recorder_without_pictures_tells_no_rate() -> None:
    state: RecorderState = make_state(bitrate_kbps=0.0)
    assert load_of(state) is None


LINK = {
    "mqtt": {"url": "mqtt://127.0.0.1"},
    "upload": {"url": "http://127.0.0.1/files/"},
    "trust": {"command_keys_file": Path("/nonexistent/keys.json")},
}


@pytest.mark.parametrize(
    ("tables", "verdict", "words"),
    [
        ((), "warning", "no [mqtt]"),
        (("upload",), "warning", "[upload] without [mqtt] and [trust]"),
        (("mqtt", "upload"), "failed", "[mqtt] and [upload] without [trust]"),
        (("mqtt", "upload", "trust"), "failed", "trust.command_keys_file = '/nonexistent/keys.json'"),
    ],
)
def test_what_a_link_lacks_is_said(tmp_path: Path, tables: tuple[str, ...], verdict: str, words: str) -> None:
    settings = settings_of(tmp_path, {"name": "main"})
    settings = Settings.model_validate(settings.model_dump() | {name: LINK[name] for name in tables})
    finding = cli_check._guarded("link", lambda: cli_check._check_link(settings))
    assert finding.verdict == verdict
    assert words in finding.text


def test_a_file_that_a_camera_lacks_is_said(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, {"name": "main", "source": f"file:{tmp_path}/nope.mp4"})
    finding = cli_check._guarded("main", lambda: cli_check._check_camera(settings, settings.camera[0], FakeClock()))
    assert finding.verdict == "failed"
    assert "camera 'main': source" in finding.text
