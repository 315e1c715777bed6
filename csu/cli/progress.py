"""How a clip comes, for people: a bar on a terminal, a line now and then elsewhere."""

import sys
from types import TracebackType
from typing import Protocol, Self

from csu.cli.common import clock_text, printable
from edge_agent.clock import Clock

_STEP_PERCENT = 10


class ClipView(Protocol):
    """Shows states and bytes; a context manager."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def state(self, text: str) -> None:
        """The request is now so."""
        ...

    def bytes(self, done: int, total: int) -> None:
        """So much has arrived."""
        ...


class LineView:
    """A line for each change of state and for each tenth of the bytes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._state = ""
        self._percent = -_STEP_PERCENT

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def state(self, text: str) -> None:
        """Print it when it is new."""
        if text != self._state:
            self._state = text
            self._print(text)

    def bytes(self, done: int, total: int) -> None:
        """Print it when it is a tenth more."""
        percent = 100 * done // total
        if percent >= self._percent + _STEP_PERCENT or percent == 100 != self._percent:
            self._percent = percent
            self._print(f"{percent} % of {total / 1e6:.1f} MB")

    def _print(self, text: str) -> None:
        print(f"{clock_text(self._clock.wall_us())}  {printable(text)}", flush=True)


class BarView:
    """A progress bar by rich."""

    def __init__(self) -> None:
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TransferSpeedColumn,
        )

        columns = (
            TextColumn("{task.description:<10}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
        )
        self._progress = Progress(*columns, TimeElapsedColumn())
        self._task = self._progress.add_task("asked", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def state(self, text: str) -> None:
        """The word before the bar."""
        self._progress.update(self._task, description=printable(text))

    def bytes(self, done: int, total: int) -> None:
        """The bar."""
        self._progress.update(self._task, completed=done, total=total)


def make_view(clock: Clock) -> ClipView:
    """A bar when standard output is a terminal, else lines."""
    return BarView() if sys.stdout.isatty() else LineView(clock)
