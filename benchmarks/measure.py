"""Figures of processes and of the machine, from /proc (proc(5))."""

import os
import platform
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import TypeVar

import psutil

Outcome = TypeVar("Outcome")


def cpu_s(process: psutil.Process) -> float:
    """CPU time that a process and its living children have used, user and system."""
    family = [process, *process.children(recursive=True)]
    return sum(times.user + times.system for times in (member.cpu_times() for member in family))


def cpu_spent_s(processes: Sequence[Popen[bytes]], meanwhile: Callable[[], Outcome]) -> tuple[list[float], Outcome]:
    """CPU time that each process and its children use while something else is done, and what came of that.

    Raises:
        RuntimeError: one of them ended before its time.
    """
    members = [psutil.Process(process.pid) for process in processes]
    before = [cpu_s(member) for member in members]
    outcome = meanwhile()
    for process in processes:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended before its time, with {process.returncode}")
    return [cpu_s(member) - earlier for member, earlier in zip(members, before, strict=True)], outcome


def pss_bytes(pid: int) -> int:
    """Proportional set size of one process (smaps_rollup); shared pages count by their share."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/{pid}/smaps_rollup has no Pss line")


@dataclass(frozen=True, slots=True)
class Io:
    """Counters of /proc/<pid>/io.

    Attributes:
        passed_bytes: `wchar`, handed to write(2) and the like, sockets included.
        dirtied_bytes: `write_bytes`, what the process made the storage write, in whole pages.
    """

    passed_bytes: int
    dirtied_bytes: int

    def since(self, earlier: "Io") -> "Io":
        """What was counted since `earlier`."""
        return Io(self.passed_bytes - earlier.passed_bytes, self.dirtied_bytes - earlier.dirtied_bytes)


def read_io(pid: int) -> Io:
    """The counters of one process as they stand."""
    lines = Path(f"/proc/{pid}/io").read_text(encoding="ascii").splitlines()
    values = {name: int(value) for name, value in (line.split(": ") for line in lines)}
    return Io(values["wchar"], values["write_bytes"])


def drop_from_cache(paths: Iterable[Path]) -> None:
    """Write back and forget the page cache of these files, and as root also directory entries and inodes."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
    if os.geteuid() == 0:
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("3\n", encoding="ascii")


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return statistics.median(values)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]


def machine() -> dict[str, str]:
    """What a figure depends on, without names or paths of this machine."""
    memory_gb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    return {
        "cpu": f"{os.cpu_count()} × {_cpu_model()}",
        "memory": f"{memory_gb:.0f} GB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": f"{os.getloadavg()[0]:.2f} at the start",
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.machine()
