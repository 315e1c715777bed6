"""What is no regular file is refused at once: a FIFO would keep its reader for ever."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from csu.cli.parser import main
from csu.verify import verify_clip
from edge_agent.contract.jws import TrustedKeys
from tests.builders import make_units
from tests.support.recording import rotated
from tests.support.saved_clips import UNIT_KEY, SavedClip, asked_s, saved_clip

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def clip(tmp_path: Path) -> SavedClip:
    return saved_clip(tmp_path, rotated(tmp_path, make_units(3), 40), asked_s(0.5, 2.5), tmp_path / "clip")


def make_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's name has at most 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(here)


SPECIAL: dict[str, Callable[[Path], None]] = {
    "a FIFO": os.mkfifo,
    "a socket": make_socket,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a folder": Path.mkdir,
}


@pytest.mark.parametrize("name", ["a FIFO", "a socket", "a device"])
def test_the_command_refuses_it(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    SPECIAL[name](tmp_path / "x")
    assert main(["verify", str(tmp_path / "x"), "--dir", str(tmp_path / "csu")]) == 2
    assert "neither a regular file nor a folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", SPECIAL)
@pytest.mark.parametrize("which", ["manifest.jws", "*.mp4"])
def test_in_a_clips_folder_it_is_a_finding(clip: SavedClip, name: str, which: str) -> None:
    (file,) = clip.folder.glob(which)
    file.unlink()
    SPECIAL[name](file)
    verdict = verify_clip(clip.folder, TrustedKeys.from_jwks(UNIT_KEY.public_jwk()))
    assert not verdict.ok
    assert any(f"it is {name}, not a regular file" in str(finding) for finding in verdict.findings)
