"""What a verification says: findings, each with its place, and the verdict that follows from them."""

from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
SignatureState = Literal["valid", "invalid", "not-checked"]

_MAX_FINDINGS = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found; an `error` means that the clip is not what it claims to be."""

    severity: Severity
    place: str
    """Such as `part 1, segment 123, fragment 17`."""
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class Findings:
    """Collects findings; beyond 200 they are only counted, errors last: no number of warnings hides one."""

    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.left_out = 0
        self.left_out_errors = 0
        self.is_unreadable = False
        """Some of it could not be read from this machine's storage: that says nothing of the clip."""

    def add(self, severity: Severity, place: str, message: str) -> None:
        """Remember one."""
        finding = Finding(severity, place, message)
        if finding in self.kept:
            return
        if len(self.kept) >= _MAX_FINDINGS:
            self.left_out += 1
            if severity != "error":
                return
            if not self._make_room():
                self.left_out_errors += 1
                return
        self.kept.append(finding)

    def _make_room(self) -> bool:
        """Leave the last finding out that is no error; False when all are."""
        lesser = [index for index, finding in enumerate(self.kept) if finding.severity != "error"]
        if lesser:
            del self.kept[lesser[-1]]
        return bool(lesser)

    def error(self, place: str, message: str) -> None:
        """Remember an error."""
        self.add("error", place, message)

    @property
    def errors(self) -> int:
        """How many of those kept are errors."""
        return sum(finding.severity == "error" for finding in self.kept)


@dataclass(frozen=True, slots=True)
class PartReport:
    """What a part holds, as far as it could be read."""

    file_name: str
    length_bytes: int
    fragments: int = 0
    samples: int = 0
    shown: int = 0
    """Pictures inside the edit list."""
    decoded: int | None = None
    """Pictures that came out of the decoder; None when nothing was decoded."""
    duration_s: float = 0.0

    def to_object(self) -> dict[str, Any]:
        """As JSON types."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome for one clip."""

    clip: str
    signature: SignatureState
    findings: tuple[Finding, ...]
    parts: tuple[PartReport, ...]
    clip_id: str | None = None
    unit_id: str | None = None
    left_out: int = 0
    """Findings beyond those listed."""
    left_out_errors: int = 0
    """How many of those are errors."""
    summary: dict[str, Any] = field(default_factory=dict)
    """What the manifest says of the clip: camera, intervals, reference, clock."""
    is_unreadable: bool = False
    """Some of it could not be read from this machine's storage: the errors may be that storage's."""

    @property
    def ok(self) -> bool:
        """No error was found. Without a checked signature this says nothing of the origin."""
        return not any(finding.severity == "error" for finding in self.findings)

    @property
    def reason(self) -> str | None:
        """The first errors in words; None when there is none."""
        errors = [str(finding) for finding in self.findings if finding.severity == "error"]
        if not errors:
            return None
        more = len(errors) - 3 + self.left_out_errors
        return "; ".join(errors[:3]) + (f"; and {more} more" if more > 0 else "")

    def to_object(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "clip": self.clip,
            "ok": self.ok,
            "signature": self.signature,
            "clip_id": self.clip_id,
            "unit_id": self.unit_id,
            "summary": self.summary,
            "parts": [part.to_object() for part in self.parts],
            "findings": [
                {"severity": finding.severity, "place": finding.place, "message": finding.message}
                for finding in self.findings
            ],
            "left_out": self.left_out,
        }
