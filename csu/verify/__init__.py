"""Whether a clip is what its unit recorded: offline, from the files and the unit's public keys alone."""

from csu.verify.clip import verify_clip
from csu.verify.verdict import Finding, PartReport, Verdict

__all__ = ["Finding", "PartReport", "Verdict", "verify_clip"]
