import base64
import hashlib
from pathlib import Path

import pytest

from csu.broker_files import BrokerPaths, access_text, config_text, format_passwords, hash_password, parse_passwords
from csu.errors import BrokerError


def test_a_hash_is_what_mosquitto_computes() -> None:
    _, kind, iterations, salt, digest = hash_password("secret").split("$")
    computed = hashlib.pbkdf2_hmac("sha512", b"secret", base64.b64decode(salt), int(iterations))
    assert kind == "7"
    assert len(base64.b64decode(salt)) == 12
    assert base64.b64decode(digest) == computed


def test_two_hashes_of_one_password_differ() -> None:
    assert hash_password("secret") != hash_password("secret")


def test_password_files_are_read_as_written() -> None:
    users = {"nomad-07": "$7$101$a$b", "csu": "$7$101$c$d"}
    assert parse_passwords(format_passwords(users)) == users


@pytest.mark.parametrize("text", ["nomad-07\n", ":hash\n", "nomad-07:\n", "a:b\n\nc:d\n"])
def test_a_torn_password_file_is_named(text: str) -> None:
    with pytest.raises(BrokerError, match="line"):
        parse_passwords(text)


def test_access_is_own_topics_for_units_and_all_for_the_centre() -> None:
    text = access_text("csu/v1", ["csu"])
    assert text == (
        "user csu\ntopic readwrite csu/v1/#\n\npattern write csu/v1/%u/up/#\npattern read csu/v1/%u/down/#\n"
    )


def test_nobody_is_anonymous_and_what_is_acknowledged_is_kept() -> None:
    lines = config_text(BrokerPaths(Path("/srv")), "127.0.0.1", 1883, "operator").splitlines()
    for line in ("allow_anonymous false", "use_username_as_clientid true", "persistence true", "autosave_interval 1"):
        assert line in lines
    assert "listener 1883 127.0.0.1" in lines
