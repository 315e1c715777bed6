"""Writes the tables of `docs/health.md` from `thresholds`: `python -m edge_agent.health.reference docs/health.md`.

What stands between the document's marks is replaced; the rest of it is written by hand.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from edge_agent.health.limits import Condition, Figure, Owner, Threshold
from edge_agent.health.thresholds import CONDITIONS, FIGURES

BEGIN = "<!-- figures: written by python -m edge_agent.health.reference -->"
END = "<!-- end of figures -->"

_TITLES: dict[Owner, str] = {
    "camera": "`camera.cameras.<name>`: each camera",
    "storage": "`storage`",
    "system": "`system`",
    "process": "`system.processes`: each recorder, and the link",
    "network": "`network`",
    "clock": "`clock`",
}
_FIGURE_HEAD = ("figure", "unit", "source", "warning", "critical", "recovers", "alarm", "what to do")
_CONDITION_HEAD = ("field", "wrong when", "probe is", "alarm", "raised after", "cleared after", "what to do")


def reference_text() -> str:
    """The tables."""
    parts = [_figures_of(owner) for owner in _TITLES]
    rows = [_row(_condition_cells(condition)) for condition in CONDITIONS]
    parts.append("\n".join(["### Without a figure", "", *_head(_CONDITION_HEAD), *rows, ""]))
    return "\n".join(parts)


def replace_tables(document: str) -> str:
    """The document with the tables of now.

    Raises:
        ValueError: it does not have both marks.
    """
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{BEGIN} and {END} have to stand in the document, in this order")
    return f"{before}{BEGIN}\n\n{reference_text()}\n{END}{after}"


def _figures_of(owner: Owner) -> str:
    rows = [_row(_figure_cells(figure)) for figure in FIGURES if figure.owner == owner]
    return "\n".join([f"### {_TITLES[owner]}", "", *_head(_FIGURE_HEAD), *rows, ""])


def _figure_cells(figure: Figure) -> Iterator[str]:
    limit = figure.limit
    yield from (f"`{figure.name}`", figure.unit, figure.source)
    if limit is None:
        yield from ("", "", "", "", figure.remedy)
        return
    yield _limit_text(limit.warning, limit)
    yield _limit_text(limit.critical, limit)
    yield _recovery_text(limit)
    alarm = "" if limit.alarm is None else f"`{limit.alarm}`"
    yield f"{alarm} when critical" if limit.alarm is not None and limit.alarm_from == "critical" else alarm
    yield figure.remedy


def _limit_text(value: float | None, limit: Threshold) -> str:
    if value is None:
        return ""
    lasting = f" for {_time_text(limit.rises_after_s)}" if limit.rises_after_s else ""
    return f"{'≤' if limit.low_is_bad else '≥'} {value:,g}{lasting}"


def _recovery_text(limit: Threshold) -> str:
    slack = f"back by over {limit.slack:,g}" if limit.slack else "behind its limit"
    lasting = f", for {_time_text(limit.falls_after_s)}" if limit.falls_after_s else ""
    return slack + lasting


def _condition_cells(condition: Condition) -> Iterator[str]:
    yield from (f"`{condition.owner}`: `{condition.name}`", condition.meaning, condition.state)
    yield from (f"`{condition.alarm}`", _time_text(condition.rises_after_s), _time_text(condition.falls_after_s))
    yield condition.remedy


def _time_text(seconds: float) -> str:
    if not seconds:
        return "at once"
    if seconds % 3600 == 0:
        return f"{seconds / 3600:g} h"
    return f"{seconds / 60:g} min" if seconds % 60 == 0 else f"{seconds:g} s"


def _head(names: tuple[str, ...]) -> list[str]:
    return [_row(iter(names)), f"|{'---|' * len(names)}"]


def _row(cells: Iterator[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(replace_tables(path.read_text(encoding="utf-8")), encoding="utf-8")
