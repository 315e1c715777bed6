"""Times of `edge-agent clip`: wrong ones are wrong usage, told before the ring is asked."""

from pathlib import Path

import pytest

from edge_agent.cli import main

SETTINGS = """
[unit]
id = "nomad-07"
data_dir = "data"
timezone = "Europe/Paris"

[[camera]]
name = "main"
source = "test:"
width = 640
height = 360
fps = 5
bitrate_kbps = 300
"""


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("blah", "now", ["--from", "'blah'", "now, -90s", "Europe/Paris", "RFC 3339"]),
        ("-90s", "yesterday", ["--to", "'yesterday'", "-90s"]),
        ("2026-10-25 02:30", "now", ["--from", "twice", "02:30:00+02:00"]),
        ("-5s", "-10s", ["--to -10s is not after --from -5s"]),
        ("now", "now", ["--to now is not after --from now"]),
    ],
)
def test_wrong_times_are_wrong_usage(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    start: str,
    end: str,
    words: list[str],
) -> None:
    monkeypatch.setattr("edge_agent.cli_clip.signal.signal", lambda _number, _handler: None)
    (tmp_path / "unit.toml").write_text(SETTINGS)
    times = ["--from", start, "--to", end]
    reason = ["--reference", "R", "--purpose", "P", "-o", str(tmp_path / "out")]
    assert main(["clip", "main", *times, *reason, "--config", str(tmp_path / "unit.toml")]) == 2
    complaint = capsys.readouterr().err
    assert "unit.toml" not in complaint
    assert all(word in complaint for word in words), complaint
    assert not (tmp_path / "out").exists()
