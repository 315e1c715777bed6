"""`scripts/bench [NAME …] [--quick] [--json FILE]`: measure, print the table, fail when a bar is missed."""

import argparse
import json
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import machine
from benchmarks.report import format_markdown, replace_results
from benchmarks.row import Row, format_table
from benchmarks.table import BENCHMARKS
from benchmarks.workspace import open_workspace

EXIT_MISSED = 1


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures the project against its peers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join(BENCHMARKS)}; all unless given")
    parser.add_argument("--quick", action="store_true", help="shorter and rougher: minutes instead of half an hour")
    parser.add_argument("--minutes", type=float, help="how long `idle` watches: 60 unless given, 3 with --quick")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there too")
    parser.add_argument("--document", type=Path, metavar="FILE", help="put the table between this document's marks")
    parser.add_argument("--dir", type=Path, help="where the temporary directory is made: the file system to measure")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; the exit code."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are: {', '.join(BENCHMARKS)}")
    names = options.names or list(BENCHMARKS)
    about = machine()
    print(", ".join(f"{key}: {value}" for key, value in about.items()), flush=True)
    rows, broken = _run(names, options.quick, options.dir, options.minutes)
    print("\n" + format_table(rows))
    if options.json is not None:
        result = {"machine": about, "quick": options.quick, "rows": [row.to_object() for row in rows]}
        options.json.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if options.document is not None and not broken:
        replace_results(options.document, format_markdown(about, rows))
    return EXIT_MISSED if broken or any(row.passed is False for row in rows) else 0


def _run(
    names: Sequence[str], quick: bool, parent: Path | None, minutes: float | None
) -> tuple[list[Row], list[str]]:
    """The rows, and the names of benchmarks that broke; each has its own directory and processes."""
    rows: list[Row] = []
    broken: list[str] = []
    for name in names:
        print(f"… {name}", file=sys.stderr, flush=True)
        begun_s = time.monotonic()
        try:
            with open_workspace(quick, parent, minutes) as workspace:
                rows.extend(BENCHMARKS[name](workspace))
        except Exception:  # noqa: BLE001 -- one benchmark that breaks is told, and the others go on
            traceback.print_exc()
            broken.append(name)
        print(f"  {name}: {time.monotonic() - begun_s:.0f} s", file=sys.stderr, flush=True)
    return rows, broken


if __name__ == "__main__":
    sys.exit(main())
