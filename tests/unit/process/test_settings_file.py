"""The settings file, the environment over it, and the sentences about what is wrong."""

from pathlib import Path

import pytest

from edge_agent.errors import SettingsError
from edge_agent.settings_file import check_camera_files, check_link_files, load_settings
from tests.support.rotten import rot

LEAST = """
[unit]
id = "nomad-07"
data_dir = "data"

[[camera]]
name = "main"
source = "test:"
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "unit.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_least_that_a_unit_needs(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, LEAST), {})
    assert settings.unit.data_dir == tmp_path / "data"
    assert settings.camera[0].source == "test:"
    assert settings.mqtt is None


def test_a_variable_wins_over_the_file_and_adds_a_camera(tmp_path: Path) -> None:
    environment = {
        "EDGE_UNIT_ID": "nomad-08",
        "EDGE_CAMERA_0_BITRATE_KBPS": "2000",
        "EDGE_CAMERA_1_NAME": "rear",
        "EDGE_CAMERA_1_SOURCE": "test:",
        "HOME": "/nowhere",
    }
    settings = load_settings(write(tmp_path, LEAST), environment)
    assert settings.unit.id == "nomad-08"
    assert [camera.name for camera in settings.camera] == ["main", "rear"]
    assert settings.camera[0].bitrate_kbps == 2000


def test_origins_from_a_variable_are_a_list(tmp_path: Path) -> None:
    text = LEAST + '[mqtt]\nurl = "mqtt://127.0.0.1"\n[upload]\nurl = "http://127.0.0.1/files/"\n'
    text += '[trust]\ncommand_keys_file = "keys.json"\n'
    environment = {"EDGE_UPLOAD_ALLOWED_ORIGINS": "https://a.example, https://b.example"}
    settings = load_settings(write(tmp_path, text), environment)
    assert settings.upload is not None
    assert settings.upload.allowed_origins == ("https://a.example", "https://b.example")
    assert settings.trust is not None
    assert settings.trust.command_keys_file == tmp_path / "keys.json"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["unit", "missing"]),
        ("[unit\n", ["not TOML"]),
        (LEAST.replace("nomad-07", "Nomad 07"), ["unit.id", "Nomad 07"]),
        (LEAST + "colour = 1\n", ["camera 'main': colour", "no such key"]),
        (LEAST + "width = 'wide'\n", ["camera 'main': width", "wide", "integer"]),
        (LEAST + "fps = nan\n", ["camera 'main': fps", "finite"]),
        (LEAST + "max_age_h = 800\n", ["camera 'main': max_age_h", "744"]),
        (LEAST + '[[camera]]\nname = "main"\nsource = "test:"\n', ["unit.toml: two cameras are named main;"]),
        (LEAST + '[[camera]]\nname = "main"\nsource = "test:"\nfps = 0\n', ["the second [[camera]]: fps = 0"]),
        (LEAST + '[[camera]]\nsource = "test:"\n', ["the second [[camera]]: name: the key is missing"]),
        ("camera = [3]\n" + LEAST.partition("[[")[0], ["the first [[camera]] = 3"]),
        (LEAST + '[mqtt]\nurl = "http://x"\n', ["mqtt.url", "mqtts://host"]),
        (LEAST + '[mqtt]\nurl = "mqtt://[x"\n', ["mqtt.url", "mqtts://host"]),
        (LEAST.replace('id = "nomad-07"', 'id = "nomad-07"\ntimezone = "Mars/Base"'), ["Mars/Base", "Europe/Paris"]),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(write(tmp_path, text), {})
    assert [word for word in words if word not in str(caught.value)] == []
    assert "unit.toml" in str(caught.value)
    assert "Value error" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "file"),
    [
        ("file:street.mp4", "{folder}/street.mp4"),
        ("file:clips/a street.mp4", "{folder}/clips/a street.mp4"),
        ("FILE:street.mp4", "{folder}/street.mp4"),
        ("file:/srv/street.mp4", "/srv/street.mp4"),
        ("file:///srv/a%20street.mp4", "/srv/a street.mp4"),
        ("file://localhost/srv/[1] a?.mp4", "/srv/[1] a?.mp4"),
        ("file://street.mp4", None),
        ("file://[street.mp4", None),
        ("rtsp://192.0.2.7/street.mp4", None),
        ("rtsp://admin:sec[ret@192.0.2.7/1", None),
        ("rtsp://admin:]@192.0.2.7/1", None),
        ("rtsps://admin:sec\u2100ret@192.0.2.7/1", None),
        ("file:", None),
    ],
)
def test_a_video_file_is_looked_for_beside_the_settings(tmp_path: Path, source: str, file: str | None) -> None:
    settings = load_settings(write(tmp_path, LEAST.replace("test:", source)), {})
    expected = None if file is None else Path(file.format(folder=tmp_path))
    assert settings.camera[0].video_file == expected


def test_a_video_file_that_is_missing_is_named_with_its_whole_path(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, LEAST.replace("test:", "file:nope.mp4")), {})
    with pytest.raises(SettingsError) as caught:
        check_camera_files(settings.camera[0])
    assert "camera 'main': source" in str(caught.value)
    assert str(tmp_path / "nope.mp4") in str(caught.value)
    (tmp_path / "nope.mp4").touch()
    check_camera_files(settings.camera[0])


def test_a_file_that_the_storage_cannot_read_stops_no_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only who needs it fails: footage does not wait for a password."""
    text = LEAST + '[mqtt]\nurl = "mqtt://x"\npassword_file = "password"\n'
    text += '[upload]\nurl = "http://x/"\n[trust]\ncommand_keys_file = "keys.json"\n'
    for name in ("password", "keys.json"):
        (tmp_path / name).touch()
    settings = load_settings(write(tmp_path, text), {})
    rot(monkeypatch, tmp_path / "password")
    check_link_files(settings)
    (tmp_path / "keys.json").unlink()
    with pytest.raises(SettingsError, match=r"trust\.command_keys_file"):
        check_link_files(settings)


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ("", "no [mqtt] in the settings"),
        ('[mqtt]\nurl = "mqtt://x"\n', "[mqtt] without [upload] and [trust]"),
        ('[upload]\nurl = "http://x/"\n', "[upload] without [mqtt] and [trust]"),
        ('[trust]\ncommand_keys_file = "missing"\n', "[trust] without [mqtt] and [upload]"),
        ('[mqtt]\nurl = "mqtt://x"\n[upload]\nurl = "http://x/"\n', "[mqtt] and [upload] without [trust]"),
    ],
)
def test_half_a_link_is_no_reason_not_to_record(tmp_path: Path, tables: str, words: str) -> None:
    settings = load_settings(write(tmp_path, LEAST + tables), {})
    assert (settings.link_lacks or "").startswith(words)
    check_link_files(settings)


@pytest.mark.parametrize(
    ("upload", "words"),
    [
        ('url = "https://me:secret@x/"', "upload.url"),
        ('url = "https://ä.example/"', "upload.url"),
        ('url = "https://x/"\nallowed_origins = ["https://y", "secret"]', "upload.allowed_origins"),
    ],
)
def test_an_ingest_that_is_no_address_is_no_reason_not_to_record(tmp_path: Path, upload: str, words: str) -> None:
    text = LEAST + f'[mqtt]\nurl = "mqtt://x"\n[upload]\n{upload}\n[trust]\ncommand_keys_file = "k"\n'
    lacks = load_settings(write(tmp_path, text), {}).link_lacks or ""
    assert lacks.startswith(words)
    assert "secret" not in lacks


def test_a_variable_without_origins_names_none(tmp_path: Path) -> None:
    environment = {"EDGE_UPLOAD_URL": "https://x/", "EDGE_UPLOAD_ALLOWED_ORIGINS": " "}
    upload = load_settings(write(tmp_path, LEAST), environment).upload
    assert upload is not None
    assert upload.allowed_origins == ()


def test_an_ingest_for_a_whole_fleet_is_no_reason_not_to_record(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, LEAST), {"EDGE_UPLOAD_URL": "https://ingest.example/files/"})
    assert settings.link_lacks is not None


@pytest.mark.parametrize("variable", ["EDGE_UNIT_COLOUR", "EDGE_MQT_URL", "EDGE_CAMERA_5_NAME", "EDGE_CAMERA_SOURCE"])
def test_a_misspelt_variable_is_refused(tmp_path: Path, variable: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        load_settings(write(tmp_path, LEAST), {variable: "x"})


@pytest.mark.parametrize("variable", ["EDGE_TRUST_COMMAND_KEYS_FILE", "EDGE_UPLOAD_URL", "EDGE_UNIT_ENROLLED"])
def test_an_enrolled_unit_takes_its_trust_from_the_file_only(tmp_path: Path, variable: str) -> None:
    path = write(tmp_path, LEAST.replace("[unit]", "[unit]\nenrolled = true"))
    with pytest.raises(SettingsError, match="unset it"):
        load_settings(path, {variable: "x"})


@pytest.mark.parametrize("password", ["secret", "@secret", "a@b 'secret"])
def test_credentials_of_a_source_are_not_shown(tmp_path: Path, password: str) -> None:
    text = LEAST.replace('source = "test:"', f'source = ["rtsp://admin:{password}@192.0.2.7/1"]')
    with pytest.raises(SettingsError) as caught:
        load_settings(write(tmp_path, text), {})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("table", ["mqtt", "upload"])
def test_a_password_in_a_url_that_cannot_be_taken_apart_is_not_shown(tmp_path: Path, table: str) -> None:
    text = LEAST + f'[{table}]\nurl = "https://me:sec\u2100ret@192.0.2.7/"\n'
    with pytest.raises(SettingsError, match=rf"{table}\.url") as caught:
        load_settings(write(tmp_path, text), {})
    assert "\u2100" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml.*--config"):
        load_settings(tmp_path / "nowhere.toml", {})


def test_bytes_that_are_not_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "unit.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(path, {})


def test_a_wrong_camera_is_complained_of_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(write(tmp_path, LEAST + "colour = 1\n"), {})
    assert "at least 1" not in str(caught.value)


@pytest.mark.parametrize(
    ("mqtt", "upload", "words"),
    [
        ("mqtts://h:99999", "https://h/files/", "mqtt.url"),
        ("mqtts://h:port", "https://h/files/", "mqtt.url"),
        ("mqtts://h", "https://h:99999/files/", "upload.url"),
        ("mqtts://h", "https://h:port/files/", "upload.url"),
    ],
)
def test_a_port_that_is_none_stops_the_link_and_no_camera(tmp_path: Path, mqtt: str, upload: str, words: str) -> None:
    link = f'[mqtt]\nurl = "{mqtt}"\n[upload]\nurl = "{upload}"\n[trust]\ncommand_keys_file = "keys.json"\n'
    settings = load_settings(write(tmp_path, LEAST + link), {})
    assert words in (settings.link_lacks or "")
