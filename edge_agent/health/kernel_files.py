"""Reads the kernel's small text files under a root, so that nothing in them can hang or fill a probe.

Procfs and sysfs show every value as a regular file (proc(5), sysfs(5)); whatever else has such a name, a pipe or a
device, is not opened for reading, and no more than `MAX_BYTES` are taken of one that has no end.
"""

import os
import stat
from pathlib import Path

MAX_BYTES = 65_536
MAX_DIGITS = 20
"""Of the kernel's 64 bits."""


def read_text(path: Path) -> str | None:
    """The file's text, what is not ASCII replaced; None when it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):  # the latter for a name with a null byte
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        return os.read(descriptor, MAX_BYTES).decode("ascii", "replace")
    except OSError:  # a sensor that is there and does not answer
        return None
    finally:
        os.close(descriptor)


def number(text: str | None) -> int | None:
    """The whole number that a text begins with; None when it begins with none that the kernel could mean."""
    words = (text or "").split(maxsplit=1)
    digits = words[0].removeprefix("-") if words else ""
    return int(words[0]) if digits.isdecimal() and len(digits) <= MAX_DIGITS else None


def decimal(text: str) -> float | None:
    """A number with a decimal point, such as `0.52`; None when it is none."""
    whole, _, part = text.partition(".")
    is_number = whole.isdecimal() and (not part or part.isdecimal()) and len(text) <= 2 * MAX_DIGITS
    return float(text) if is_number else None


def folders(path: Path, pattern: str, at_most: int) -> list[Path]:
    """Entries of a folder by name, the first so many; none when it cannot be read."""
    try:
        return sorted(path.glob(pattern))[:at_most]
    except OSError:
        return []
