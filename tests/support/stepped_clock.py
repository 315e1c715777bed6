"""The machine's clock, stepped by a test: its wall time is off by as many seconds as a file says."""

from pathlib import Path

from edge_agent.clock import SystemClock


class SteppedClock(SystemClock):
    """As `SystemClock`; the file may change at any time, and no file is no step."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def wall_us(self) -> int:
        """Microseconds of UTC since 1970, as a system with a wrong clock believes it."""
        try:
            ahead_s = float(self._file.read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            ahead_s = 0.0
        return super().wall_us() + round(ahead_s * 1e6)


def step(file: Path, ahead_s: float) -> None:
    """Step the wall clocks that follow the file."""
    fresh = file.with_suffix(".new")
    fresh.write_text(str(ahead_s), encoding="ascii")
    fresh.replace(file)
