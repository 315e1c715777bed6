"""A line of the measurement's own: two network name spaces joined by a veth pair, whose every packet is captured.

Nothing of it has a name outside: the name spaces end with the two processes that hold them. Needs root, or the right
to make name spaces (unshare(1)), and tcpdump.
"""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from subprocess import Popen

from tests.support.polling import wait_until
from tests.support.processes import Processes

CENTRE, UNIT = "10.77.0.1", "10.77.0.2"
_PROGRAMS = ("unshare", "nsenter", "ip", "tcpdump", "tshark")


def why_not() -> str | None:
    """Why no such line can be made here; None when it can."""
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"missing programs: {', '.join(missing)}"
    if subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode:
        return "this machine lets nobody make network name spaces (unshare -n)"
    return None


@dataclass(frozen=True, slots=True)
class PrivateLine:
    """Commands run on either side of it by `at_centre` and `at_unit`.

    Attributes:
        centre_pid: of the process that holds the centre's name space.
        unit_pid: of the one that holds the unit's.
    """

    centre_pid: int
    unit_pid: int

    def at_centre(self, *command: str | Path) -> list[str]:
        """A command line in the centre's name space, which has the address `CENTRE`."""
        return _inside(self.centre_pid, command)

    def at_unit(self, *command: str | Path) -> list[str]:
        """A command line in the unit's name space, which has the address `UNIT`."""
        return _inside(self.unit_pid, command)

    def capture(self, processes: Processes, file: Path) -> "Popen[bytes]":
        """Write every packet of the line to a file until the process is ended; captures when it returns."""
        command = self.at_centre("tcpdump", "-i", "line", "-U", "-Z", "root", "-s", "0", "-w", file)
        process = processes.start(command, stderr=subprocess.DEVNULL)
        wait_until(lambda: file.exists() and file.stat().st_size >= 24, what="the capture's first bytes")
        return process


def make_line(processes: Processes) -> PrivateLine:
    """Make the two name spaces and the pair between them.

    Segmentation is left to TCP (`gso_max_segs 1`), so that a packet of the capture is a packet of the network.
    """
    holders = [processes.start(["unshare", "-n", "sleep", "infinity"]) for _ in range(2)]
    line = PrivateLine(*(holder.pid for holder in holders))
    for pid in (line.centre_pid, line.unit_pid):
        wait_until(partial(_has_own_net, pid), what="a network name space")
    far_end = ["peer", "name", "line", "netns", str(line.unit_pid)]
    _run(line.at_centre("ip", "link", "add", "line", "type", "veth", *far_end))
    for inside, address in ((line.at_centre, CENTRE), (line.at_unit, UNIT)):
        _run(inside("ip", "link", "set", "lo", "up"))
        _run(inside("ip", "link", "set", "line", "gso_max_segs", "1"))
        _run(inside("ip", "address", "add", f"{address}/30", "dev", "line"))
        _run(inside("ip", "link", "set", "line", "up"))
    return line


def _has_own_net(pid: int) -> bool:
    return Path(f"/proc/{pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()


def _inside(pid: int, command: Sequence[str | Path]) -> list[str]:
    return ["nsenter", "-t", str(pid), "-n", *map(str, command)]


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
