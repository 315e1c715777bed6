"""How fast the last transfer was, as its progress told: what the ingest acknowledged over a minute."""

from collections import deque
from typing import Any

from edge_agent.clock import Clock
from edge_agent.contract.messages import Progress
from edge_agent.uplink.transfers import TransferListener

_WINDOW_US = 60_000_000
_SHORTEST_US = 1_000_000
_MAX_SAMPLES = 256


class UploadMeter:
    """Hands everything on to another listener, and looks at the progress as it passes."""

    def __init__(self, listener: TransferListener, clock: Clock) -> None:
        self._listener = listener
        self._clock = clock
        self._clip_id = ""
        self._samples: deque[tuple[int, int]] = deque(maxlen=_MAX_SAMPLES)
        self._rate: tuple[float, int] | None = None

    def figures(self) -> dict[str, Any]:
        """`upload_kbps` of the last transfer and `upload_age_s` since; nothing before the first."""
        if self._rate is None:
            return {}
        kbps, at_us = self._rate
        return {"upload_kbps": round(kbps, 1), "upload_age_s": round((self._clock.monotonic_us() - at_us) / 1e6)}

    def on_progress(self, clip_id: str, progress: Progress) -> None:
        """See `TransferListener.on_progress`."""
        self._note(clip_id, progress.sent_bytes)
        self._listener.on_progress(clip_id, progress)

    def on_delivered(self, clip_id: str, manifest_sha256: str) -> None:
        """See `TransferListener.on_delivered`."""
        self._listener.on_delivered(clip_id, manifest_sha256)

    def on_refused(self, clip_id: str, code: str, message: str) -> None:
        """See `TransferListener.on_refused`."""
        self._listener.on_refused(clip_id, code, message)

    def on_damaged(self, clip_id: str, message: str) -> None:
        """See `TransferListener.on_damaged`."""
        self._listener.on_damaged(clip_id, message)

    def _note(self, clip_id: str, sent_bytes: int) -> None:
        now_us = self._clock.monotonic_us()
        went_back = bool(self._samples) and sent_bytes < self._samples[-1][1]
        if clip_id != self._clip_id or went_back:
            self._clip_id = clip_id
            self._samples.clear()
        self._samples.append((now_us, sent_bytes))
        while now_us - self._samples[0][0] > _WINDOW_US and len(self._samples) > 2:
            self._samples.popleft()
        first_us, first_bytes = self._samples[0]
        if now_us - first_us >= _SHORTEST_US:
            self._rate = (sent_bytes - first_bytes) * 8 / (now_us - first_us) * 1000, now_us
