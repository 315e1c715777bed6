"""What a source says of itself beside its pictures: what was configured, what is not as it was asked, who encodes."""

import logging
import threading
from dataclasses import dataclass, field, replace

_log = logging.getLogger(__name__)

_MAX_WARNINGS = 16


@dataclass(frozen=True, slots=True)
class Configured:
    """What a camera really gives, read back from it.

    Attributes:
        device: which camera, for people.
        format: what comes from it, such as `MJPG` or `h264`.
        width_px: of its pictures.
        height_px: of its pictures.
        fps: pictures a second, as it promises; 0.0 when it does not tell.
        detail: what else a technician wants to know; no credentials.
    """

    device: str
    format: str
    width_px: int
    height_px: int
    fps: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ReportState:
    """As it is now.

    Attributes:
        configured: None before a camera was opened.
        warnings: code → sentence with the remedy.
        encoder: which one works; empty before, and where none does.
        encoder_detail: what of the settings it does not follow.
        encoder_failures: since the recorder began.
        encoder_fault: why the last one failed; empty before.
    """

    configured: Configured | None = None
    warnings: dict[str, str] = field(default_factory=dict)
    encoder: str = ""
    encoder_detail: str = ""
    encoder_failures: int = 0
    encoder_fault: str = ""


class CaptureReport:
    """One a recorder's life; any thread may tell and ask. People are told, in the log, of what changes."""

    def __init__(self, camera: str) -> None:
        """`camera` is its name, for the log."""
        self._camera = camera
        self._lock = threading.Lock()  # protects _state
        self._state = ReportState()

    @property
    def state(self) -> ReportState:
        """As it is now."""
        with self._lock:
            return self._state

    def configured(self, configured: Configured) -> None:
        """A camera was opened."""
        with self._lock:
            is_news = configured != self._state.configured
            self._state = replace(self._state, configured=configured)
        if is_news:
            _log.info(
                "camera %s: %s gives %s %d×%d at %g pictures/s%s",
                self._camera,
                configured.device,
                configured.format,
                configured.width_px,
                configured.height_px,
                configured.fps,
                f"; {configured.detail}" if configured.detail else "",
            )

    def warn(self, code: str, detail: str) -> None:
        """Something is not as it was asked; `code` is stable and kebab-case, `detail` has the remedy."""
        with self._lock:
            known = self._state.warnings
            if known.get(code) == detail or (code not in known and len(known) >= _MAX_WARNINGS):
                return
            is_news = code not in known
            self._state = replace(self._state, warnings=known | {code: detail})
        if is_news:
            _log.warning("camera %s: %s: %s", self._camera, code, detail)

    def clear(self, code: str) -> None:
        """It is as it was asked."""
        with self._lock:
            if code not in self._state.warnings:
                return
            left = {known: detail for known, detail in self._state.warnings.items() if known != code}
            self._state = replace(self._state, warnings=left)
        _log.info("camera %s: %s: no longer", self._camera, code)

    def encoder(self, name: str, detail: str, passed_over: str = "") -> None:
        """An encoder begins; `passed_over` says why those before it in order are not used."""
        with self._lock:
            is_news = (name, detail) != (self._state.encoder, self._state.encoder_detail)
            self._state = replace(self._state, encoder=name, encoder_detail=detail)
        if is_news:
            _log.info(
                "camera %s: encoded by %s%s%s",
                self._camera,
                name,
                f": {detail}" if detail else "",
                f" (not by {passed_over})" if passed_over else "",
            )

    def encoder_failed(self, name: str, detail: str) -> None:
        """An encoder failed; another begins, or the same anew."""
        with self._lock:
            failures = self._state.encoder_failures + 1
            self._state = replace(
                self._state, encoder="", encoder_failures=failures, encoder_fault=f"{name}: {detail}"
            )
        _log.error("camera %s: encoder %s failed: %s", self._camera, name, detail)
