"""The closing line of several runs of pytest, from their JUnit reports.

python -m tests.support.counts REPORT … [--skipped NAME …]
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET


def counted(reports: Sequence[Path], skipped_runs: Sequence[str] = ()) -> tuple[str, int]:
    """The line, and an exit code: 1 when a test failed or could not be set up, or when a run wrote no report,
    or one that cannot be read.

    Args:
        reports: of each run.
        skipped_runs: those that could not begin on this machine; each counts as one that was skipped.
    """
    passed = failed = 0
    skipped = len(skipped_runs)
    seconds = 0.0
    for report in reports:
        try:
            suites = list(ET.parse(report).iter("testsuite"))
        except (OSError, ET.ParseError):
            failed += 1
            continue
        for suite in suites:
            bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            left_out = int(suite.get("skipped", 0))
            passed += int(suite.get("tests", 0)) - bad - left_out
            failed += bad
            skipped += left_out
            seconds += float(suite.get("time", 0))
    return f"{passed} passed, {failed} failed, {skipped} skipped in {seconds:.0f}s", min(failed, 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("reports", nargs="+", type=Path)
    parser.add_argument("--skipped", nargs="*", default=[], metavar="NAME")
    asked = parser.parse_args()
    for name in asked.skipped:
        sys.stdout.write(f"{name}: skipped, this machine cannot run it; why stands above\n")
    line, exit_code = counted(asked.reports, asked.skipped)
    sys.stdout.write(line + "\n")
    sys.exit(exit_code)
