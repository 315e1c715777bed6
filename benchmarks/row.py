"""One line of the result table."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Judge = Literal["ours", "ratio", "difference", "none"]
"""Which figure the bar is about: our own, ours over the peer's, ours minus the peer's, or nothing."""

COLUMNS = ("benchmark", "ours", "peer", "ratio", "bar", "verdict")


@dataclass(frozen=True, slots=True)
class Row:
    """A measured figure beside a peer's, and the bar that it is held against.

    Attributes:
        name: what was measured.
        ours: our figure, in `unit`.
        unit: such as `ms`, `CPU s/h`, `MB`.
        peer: the peer's figure in the same unit, measured in the same run.
        peer_name: which program, and what it did.
        judge: which figure the bar is about.
        bar: the limit, in `unit` (`ours`, `difference`) or as a factor (`ratio`).
        at_least: the figure must not be below the bar, instead of not above it.
        note: how it was measured, spread, and what else a reader needs.
    """

    name: str
    ours: float
    unit: str
    peer: float | None = None
    peer_name: str = ""
    judge: Judge = "none"
    bar: float = 0.0
    at_least: bool = False
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours over the peer's."""
        return self.ours / self.peer if self.peer else None

    @property
    def passed(self) -> bool | None:
        """Whether the bar is met; None without a bar."""
        figure = self._judged()
        if figure is None:
            return None
        return figure >= self.bar if self.at_least else figure <= self.bar

    def _judged(self) -> float | None:
        if self.judge == "ratio":
            return self.ratio
        if self.judge == "difference":
            return None if self.peer is None else self.ours - self.peer
        return self.ours if self.judge == "ours" else None

    def cells(self) -> tuple[str, ...]:
        """As text, in the order of the table's columns."""
        peer = "" if self.peer is None else f"{_number(self.peer)} {self.unit}"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}×"
        verdict = {True: "pass", False: "FAIL", None: ""}[self.passed]
        return (self.name, f"{_number(self.ours)} {self.unit}", peer, ratio, self._bar_text(), verdict)

    def _bar_text(self) -> str:
        sign = "≥" if self.at_least else "≤"
        if self.judge == "ratio":
            return f"{sign} {self.bar:g}×"
        if self.judge == "difference":
            return f"{sign} peer + {self.bar:g} {self.unit}"
        return f"{sign} {self.bar:g} {self.unit}" if self.judge == "ours" else ""

    def to_object(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self) | {"ratio": self.ratio, "passed": self.passed}


def _number(value: float) -> str:
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 1 else f"{value:.1f}"


def format_table(rows: Sequence[Row]) -> str:
    """The rows as aligned text, each followed by its peer's name and note."""
    table = [COLUMNS, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [_aligned(COLUMNS, widths)]
    for row in rows:
        lines.append(_aligned(row.cells(), widths))
        lines += [f"    {text}" for text in (f"peer: {row.peer_name}" if row.peer_name else "", row.note) if text]
    return "\n".join(lines)


def _aligned(cells: Iterable[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
