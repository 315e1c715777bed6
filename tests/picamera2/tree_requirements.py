"""What Python packages the tree of scripts/test-picamera2 gets: a unit's, picamera2, and what its tests need.

Prints one requirements file with hashes. Conditions are decided here, for the tree's Python: pip decides them by the
Python that runs it, whatever `--python-version` says.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

FOLDER = Path(__file__).parents[2] / "requirements"
FOR_TESTS = frozenset(
    {"iniconfig", "numpy", "packaging", "pluggy", "psutil", "pygments", "pytest", "pytest-asyncio", "pytest-timeout"}
)
_ENTRY = re.compile(r"^[A-Za-z0-9.-]+==.*\n(?:[ \t].*\n)*", re.MULTILINE)


def entries(kind: str) -> Iterator[tuple[Requirement, str]]:
    """Each package of a lock file, and its hashes."""
    text = (FOLDER / f"{kind}.txt").read_text(encoding="utf-8")
    for match in _ENTRY.finditer(text):
        first, _, hashes = match[0].partition(" \\\n")
        yield Requirement(first), hashes


def chosen(python_version: str) -> dict[str, str]:
    """Name → line with hashes."""
    short = ".".join(python_version.split(".")[:2])
    environment = {"python_version": short, "python_full_version": python_version}
    found: dict[str, str] = {}
    for kind in ("unit", "picamera2", "dev"):
        for requirement, hashes in entries(kind):
            wanted = kind != "dev" or requirement.name in FOR_TESTS
            holds = requirement.marker is None or requirement.marker.evaluate(environment)
            if wanted and holds:
                found[requirement.name] = f"{requirement.name}{requirement.specifier} \\\n{hashes}"
    return found


if __name__ == "__main__":
    sys.stdout.write("".join(chosen(sys.argv[1]).values()))
