"""The tables in a camera's table: from the file, from the environment, and what is refused of them."""

from pathlib import Path

import pytest

from edge_agent.camera_settings import CameraSettings, ProxySettings
from edge_agent.errors import SettingsError
from edge_agent.settings_file import load_settings

LEAST = """
[unit]
id = "nomad-07"
data_dir = "data"

[[camera]]
name = "main"
source = "file:street.mp4"
"""
TRIANGLE = "[[[0.0, 0.0], [0.5, 0.0], [0.0, 0.5]]]"


def write(tmp_path: Path, more: str = "") -> Path:
    path = tmp_path / "unit.toml"
    path.write_text(LEAST + more, encoding="utf-8")
    return path


def test_variables_reach_into_the_tables_of_a_camera(tmp_path: Path) -> None:
    environment = {
        "EDGE_CAMERA_0_PROXY_BITRATE_KBPS": "300",
        "EDGE_CAMERA_0_ENCODER_ORDER": "libx264, v4l2m2m",
        "EDGE_CAMERA_0_SENSOR_EXPOSURE_US": "2000",
        "EDGE_CAMERA_0_MASKS": TRIANGLE,
        "EDGE_CAMERA_0_OVERLAY": "true",
    }
    (camera,) = load_settings(write(tmp_path), environment).camera
    assert camera.proxy == ProxySettings(bitrate_kbps=300)
    assert camera.encoder.order == ("libx264", "v4l2m2m")
    assert camera.sensor.exposure_us == 2000
    assert camera.masks == (((0.0, 0.0), (0.5, 0.0), (0.0, 0.5)),)
    assert camera.overlay


def test_an_outline_that_crosses_itself_is_a_mask(tmp_path: Path) -> None:
    (camera,) = load_settings(write(tmp_path, "masks = [[[0, 0], [1, 1], [1, 0], [0, 1]]]\n"), {}).camera
    assert len(camera.masks) == 1


def test_a_proxy_is_a_ring_of_its_own(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, "max_age_h = 48\n[camera.proxy]\nmax_bytes = 5000000\n"), {})
    assert [ring.name for ring in settings.rings] == ["main", "main-proxy"]
    assert [ring.name for ring in settings.recorders] == ["main"]
    proxy = settings.rings[1]
    assert (proxy.width, proxy.height, proxy.bitrate_kbps, proxy.sync) == (640, 360, 250, "10s")
    assert (proxy.max_bytes, proxy.max_age_h, proxy.proxy) == (5_000_000, 48, None)
    assert settings.proxies == settings.made_proxies == {"main-proxy"}


def test_a_proxy_with_an_address_of_its_own_has_a_recorder_of_its_own(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, '[camera.proxy]\nsource = "file:small.mp4"\n'), {})
    assert [ring.name for ring in settings.recorders] == ["main", "main-proxy"]
    assert settings.recorders[1].video_file == tmp_path / "small.mp4"
    assert settings.proxies == {"main-proxy"}
    assert not settings.made_proxies


def test_a_camera_may_be_called_like_a_proxy(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, '[[camera]]\nname = "rear-proxy"\nsource = "test:"\n'), {})
    assert [ring.name for ring in settings.recorders] == ["main", "rear-proxy"]
    assert not settings.proxies


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("masks = [[[0, 0], [1, 1]]]", ["camera 'main'", "masks", "3 items"]),
        ("masks = [[[0, 0], [0.5, 0.5], [1, 1]]]", ["camera 'main'", "mask 1 covers nothing"]),
        ("masks = [[[0, 0], [640, 0], [0, 360]]]", ["camera 'main'", "masks", "less than or equal to 1"]),
        ("fps = 0.0001", ["camera 'main'", "fps", "0.1"]),
        ("rotation_deg = 45", ["camera 'main'", "rotation_deg", "90"]),
        ("[camera.encoder]\norder = []", ["encoder.order", "at least 1"]),
        ('[camera.encoder]\norder = ["nvenc"]', ["encoder.order", "libx264"]),
        ("[camera.proxy]\nwidth = 641", ["proxy.width", "even"]),
        ("[camera.sensor]\nfocus_dioptre = 1", ["camera 'main'", "autofocus"]),
        ('[camera.v4l2]\nformat = "bayer"', ["v4l2.format", "mjpeg"]),
        ("[camera.proxy]\nsize = 3", ["proxy.size", "no such key"]),
        ('[[camera]]\nname = "main-proxy"\nsource = "test:"', []),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, more: str, words: list[str]) -> None:
    if not words:  # two rings of one name
        path = write(tmp_path, "[camera.proxy]\n" + more)
        with pytest.raises(SettingsError, match="named main-proxy"):
            load_settings(path, {})
        return
    with pytest.raises(SettingsError) as caught:
        load_settings(write(tmp_path, more + "\n"), {})
    for word in words:
        assert word in str(caught.value)


def test_a_variable_that_is_no_list_of_masks_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="EDGE_CAMERA_0_MASKS"):
        load_settings(write(tmp_path), {"EDGE_CAMERA_0_MASKS": "0,0 1,1"})


@pytest.mark.parametrize("name", ["EDGE_CAMERA_0_PROXY", "EDGE_CAMERA_0_PROXY_SIZE", "EDGE_CAMERA_0_SENSOR_"])
def test_a_variable_that_is_no_key_of_a_table_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="no such setting"):
        load_settings(write(tmp_path), {name: "1"})


def test_a_name_leaves_room_for_that_of_the_proxy() -> None:
    with pytest.raises(ValueError, match="at most 25 characters"):
        CameraSettings(name="a" * 26, source="test:", proxy=ProxySettings())
