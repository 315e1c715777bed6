"""The closing line of several runs of pytest: `python -m tests.support.counts REPORT …`, from their JUnit reports."""

import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET


def counted(reports: Sequence[Path]) -> tuple[str, int]:
    """The line, and an exit code: 1 when a test failed or could not be set up, or when a run wrote no report."""
    passed = failed = skipped = 0
    seconds = 0.0
    for report in reports:
        if not report.exists():
            failed += 1
            continue
        for suite in ET.parse(report).iter("testsuite"):
            bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            left_out = int(suite.get("skipped", 0))
            passed += int(suite.get("tests", 0)) - bad - left_out
            failed += bad
            skipped += left_out
            seconds += float(suite.get("time", 0))
    return f"{passed} passed, {failed} failed, {skipped} skipped in {seconds:.0f}s", min(failed, 1)


if __name__ == "__main__":
    line, exit_code = counted([Path(word) for word in sys.argv[1:]])
    sys.stdout.write(line + "\n")
    sys.exit(exit_code)
