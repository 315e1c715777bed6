"""Fakes of picamera2, in its place."""

import pytest

from tests.unit.capture.picamera.fake_picamera2 import Board, install


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Board:
    board = Board()
    install(monkeypatch, board)
    return board
