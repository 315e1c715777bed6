import socket
from pathlib import Path

import pytest

from csu.broker import Broker
from csu.serve_settings import ServeSettings


@pytest.mark.parametrize(
    ("host", "public", "name"),
    [
        ("127.0.0.1", None, "127.0.0.1"),
        ("0.0.0.0", None, socket.gethostname()),
        ("0.0.0.0", "csu.example", "csu.example"),
        ("::1", None, "[::1]"),
        ("::", "2001:db8::7", "[2001:db8::7]"),
    ],
)
def test_units_are_given_a_name_that_they_can_reach(host: str, public: str | None, name: str) -> None:
    assert ServeSettings(Path("csu"), host=host, public_host=public).reached_as == name


def test_a_brokers_url_is_one(tmp_path: Path) -> None:
    assert Broker(tmp_path, host="::1").url == "mqtt://[::1]:0"
    assert Broker(tmp_path).url == "mqtt://127.0.0.1:0"
