"""The result table as Markdown, kept between two marks of a document."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.row import COLUMNS, Row

BEGIN = "<!-- results: written by scripts/bench --document -->"
END = "<!-- end of results -->"


def format_markdown(about: Mapping[str, str], rows: Sequence[Row]) -> str:
    """The machine, the table, and a line a row on how it was measured."""
    machine = ", ".join(f"{key}: {value}" for key, value in about.items())
    table = [COLUMNS, ("---",) * len(COLUMNS), *(row.cells() for row in rows)]
    lines = [f"Measured on: {machine}.", ""]
    lines += [f"| {' | '.join(cells)} |" for cells in table]
    lines.append("")
    lines += [f"- **{row.name}**: {_remark(row)}" for row in rows if row.note or row.peer_name]
    return "\n".join(lines)


def _remark(row: Row) -> str:
    return "; ".join(text for text in (row.note, f"peer: {row.peer_name}" if row.peer_name else "") if text) + "."


def replace_results(document: Path, text: str) -> None:
    """Put `text` between the marks of a document.

    Raises:
        ValueError: the document does not have both marks, in order, once.
    """
    content = document.read_text(encoding="utf-8")
    before, begin, rest = content.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise ValueError(f"{document}: {BEGIN} and {END} have to stand in it, once, in this order")
    document.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
