"""Small file systems of a test's own, in a name space that it made (unshare(1)): full disks, read-only ones."""

import shutil
import subprocess
from pathlib import Path

import pytest


def require_mounts(trial: Path) -> None:
    """Skip where neither root nor unprivileged name spaces are allowed, as in some containers: nothing else can tell.

    Args:
        trial: a folder that is made for the trial.
    """
    trial.mkdir(exist_ok=True)
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", str(trial)]
    if shutil.which("unshare") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount in a name space of his own (unshare -rm)")
