"""`csu page`: an address that signs in once, printed or opened."""

import webbrowser
from pathlib import Path

import pytest

from csu.cli import main
from csu.page_session import Sessions
from csu.service_info import ServiceInfo, token_file, write_info
from edge_agent.clock import FakeClock

TOKEN = "a-token-that-is-long-enough"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    info = ServiceInfo.from_object(
        {
            "pid": 1,
            "started_at": "2026-01-01T00:00:00Z",
            "api_url": "http://127.0.0.1:4711",
            "mqtt_url": "mqtt://a",
            "ingest_url": "http://a",
            "topic_prefix": "csu/v1",
            "own_broker": True,
        }
    )
    write_info(tmp_path, info)
    token_file(tmp_path).write_text(TOKEN)
    return tmp_path


def test_the_address_signs_in(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clock = FakeClock()
    assert main(["page", "--dir", str(directory)], clock) == 0
    address = capsys.readouterr().out.strip()
    start, _, ticket = address.partition("?token=")
    assert start == "http://127.0.0.1:4711/sign-in"
    assert TOKEN not in ticket
    sessions = Sessions(TOKEN, clock)
    assert sessions.holds(sessions.redeem(ticket))


@pytest.mark.parametrize(("opens", "code"), [(True, 0), (False, 1)])
def test_a_browser_is_opened(
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    opens: bool,
    code: int,
) -> None:
    opened: list[str] = []

    def open_it(address: str) -> bool:
        opened.append(address)
        return opens

    monkeypatch.setattr(webbrowser, "open", open_it)
    assert main(["page", "--open", "--dir", str(directory)], FakeClock()) == code
    assert len(opened) == 1
    assert "token=" not in "".join(capsys.readouterr())


def test_without_a_service_or_its_token_there_is_no_address(directory: Path, tmp_path: Path) -> None:
    assert main(["page", "--dir", str(tmp_path / "none")], FakeClock()) == 3
    token_file(directory).unlink()
    assert main(["page", "--dir", str(directory)], FakeClock()) == 3
