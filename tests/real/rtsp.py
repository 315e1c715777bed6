"""Starts, stops, kills and freezes the tests' RTSP camera."""

import signal
import subprocess
from pathlib import Path
from urllib.parse import quote

from tests.support.processes import Processes

SYSTEM_PYTHON = Path("/usr/bin/python3")
"""Debian's own, which has its GStreamer bindings."""

_SERVER = Path(__file__).with_name("rtsp_server.py")


class RtspServer:
    """One camera; its port stays the same when it is killed and started again."""

    def __init__(self, processes: Processes, *arguments: str, stdin: int | None = None) -> None:
        """Nothing runs until `start`.

        Args:
            processes: ends it with the test.
            arguments: see `rtsp_server.py --help`.
            stdin: file descriptor for `--stdin`.
        """
        self._processes = processes
        self._arguments = arguments
        self._stdin = stdin
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def start(self) -> "RtspServer":
        """Start, and return when it listens."""
        command = [str(SYSTEM_PYTHON), str(_SERVER), "--port", str(self.port), *self._arguments]
        self._process = self._processes.start(command, stdout=subprocess.PIPE, stdin=self._stdin)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.strip().isdigit(), "the RTSP server did not start; its words are above"
        self.port = int(line)
        return self

    def url(self, user: str = "", password: str = "", scheme: str = "rtsp") -> str:
        """Address of the camera, with credentials if they are given."""
        who = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
        return f"{scheme}://{who}127.0.0.1:{self.port}/cam"

    def kill(self) -> None:
        """SIGKILL, as a power cut of the camera."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def freeze(self) -> None:
        """SIGSTOP: connected and silent."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
