"""What `edge-agent status` says to people."""

import pytest

from edge_agent import cli_ask
from edge_agent.clock import SystemClock
from edge_agent.settings import Settings
from tests.unit.buffer.test_server import STATE


def test_a_storage_that_refuses_is_not_called_recording_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = STATE.model_copy(update={"storage_ok": False, "storage_detail": "No space left on device"}).to_object()
    monkeypatch.setattr(cli_ask, "call_sync", lambda *_: answer)
    settings = Settings.model_validate(
        {"unit": {"id": "nomad-07", "data_dir": "/nowhere"}, "camera": [{"name": "main", "source": "test:"}]}
    )
    assert cli_ask.print_status(settings, SystemClock(), as_json=False) == 0
    assert "nothing is written: No space left on device" in capsys.readouterr().out
