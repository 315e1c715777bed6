"""A file or folder that its storage cannot read any more: every call on its name fails, as on a rotten inode."""

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def rot(monkeypatch: pytest.MonkeyPatch, path: Path, number: int = errno.EIO, *, times: int | None = None) -> None:
    """Have stat, open, unlink and listing of a path fail, for ever or so many times."""
    left = [times]

    def failing(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(name: object, *args: object, **more: object) -> object:
            if isinstance(name, str | Path) and os.fspath(name) == os.fspath(path) and left[0] != 0:
                if left[0] is not None:
                    left[0] -= 1
                raise OSError(number, os.strerror(number), str(path))
            return real(name, *args, **more)

        return call

    for module, names in ((os, ("stat", "lstat", "open", "unlink", "listdir", "scandir")), (io, ("open",))):
        for name in names:
            monkeypatch.setattr(module, name, failing(getattr(module, name)))
