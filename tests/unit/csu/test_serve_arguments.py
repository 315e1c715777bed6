"""What `csu serve` takes for the page: a time zone, tiles, a name."""

import pytest

from csu.cli.parser import build_parser
from csu.cli.serve import _settings_of
from csu.errors import CsuSettingsError
from csu.serve_settings import ServeSettings


def settings_of(*words: str) -> ServeSettings:
    return _settings_of(build_parser().parse_args(["serve", *words]))


def test_the_page_is_told_what_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Lisbon")
    assert settings_of().zone == "Europe/Lisbon"
    tiles = "https://{s}.tiles.example:8443/a/{z}/{x}/{y}.png?key=1"
    found = settings_of("--zone", "Europe/Paris", "--tile-url", tiles, "--operator", "a. moreau")
    assert (found.zone, found.tile_url, found.operator) == ("Europe/Paris", tiles, "a. moreau")


def test_a_machine_of_no_known_zone_shows_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Nowhere/Land")
    assert settings_of().zone == "UTC"


@pytest.mark.parametrize(
    "words",
    [
        ("--zone", "Nowhere/Land"),
        ("--zone", "../etc/passwd"),
        ("--tile-url", "https://tiles.example/{z}/{x}.png"),
        ("--tile-url", "ftp://tiles.example/{z}/{x}/{y}"),
        ("--tile-url", "https://a.example;script-src */{z}/{x}/{y}"),
        ("--tile-url", "https://a.example /{z}/{x}/{y}"),
        ("--tile-url", "https://user:secret@a.example/{z}/{x}/{y}"),
        ("--tile-url", "/{z}/{x}/{y}"),
    ],
)
def test_what_cannot_be_used_is_refused(words: tuple[str, str]) -> None:
    with pytest.raises(CsuSettingsError, match=words[0]):
        settings_of(*words)
