"""How a clip comes, for people: a bar on a terminal, a line now and then elsewhere."""

import sys
from types import TracebackType
from typing import Protocol, Self

from csu.cli.common import clock_text, count_of, percent_of, printable, size_text
from csu.records import ClipRecord, CommandRecord
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
        percent = percent_of(done, total)
        if percent >= self._percent + _STEP_PERCENT or percent == 100 != self._percent:
            self._percent = percent
            self._print(f"{percent} % of {size_text(total, 1)}")

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


class ClipProgress:
    """What is known of a request, as it comes to be known, on a view; a later phase ends the earlier ones.

    The unit's replies may come after its clip, when the broker was away meanwhile: they say nothing new then.
    """

    def __init__(self, view: ClipView) -> None:
        self._view = view
        self._has_arrived = False

    def show(self, command: CommandRecord, clip: ClipRecord | None) -> None:
        """The next thing that was heard."""
        if clip is None and self._has_arrived:
            return
        if not self._has_arrived:
            self._show_bytes(command, clip)
        if clip is not None:
            self._has_arrived = True
            self._view.state("verifying" if clip.verdict == "pending" else clip.verdict)
        elif command.error is not None and command.state == "waiting":
            self._view.state(f"waiting: {command.error.message}")
        else:
            self._view.state(command.state)

    def _show_bytes(self, command: CommandRecord, clip: ClipRecord | None) -> None:
        progress = (command.reply or {}).get("progress") or {}
        total_bytes, sent_bytes = (count_of(progress.get(name)) for name in ("total_bytes", "sent_bytes"))
        if total_bytes:
            self._view.bytes(total_bytes if clip is not None else min(sent_bytes or 0, total_bytes), total_bytes)


def make_view(clock: Clock) -> ClipView:
    """A bar when standard output is a terminal, else lines."""
    return BarView() if sys.stdout.isatty() else LineView(clock)
