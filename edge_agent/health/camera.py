"""Figures of one camera: what its recorder says, and how that compares with what was before."""

from typing import Any

from edge_agent.clock import Clock
from edge_agent.contract.ring_protocol import RecorderState
from edge_agent.health.windows import Growth, Usual
from edge_agent.settings import CameraSettings

_DRAWN_FPS = 25.0
_ASKED = frozenset({"picamera2", "v4l2", "gstreamer"})
_STEADY_S = 30.0
"""A stream that is younger has no rate yet."""
_DROP_WINDOW_S = 600.0
_HOUR_S = 3600.0
_MIN_KBPS, _MAX_KBPS = 1.0, 1e7
_MAX_FPS = 1e4


class CameraProbe:
    """Remembers one camera's rates and counters.

    Args:
        settings: the camera's.
        clock: injected.
        is_made_here: a proxy that is made from the main stream's pictures: it has the rate that those leave it.
    """

    def __init__(self, settings: CameraSettings, clock: Clock, *, is_made_here: bool = False) -> None:
        self._clock = clock
        self._asked_fps = None if is_made_here else _asked_fps(settings)
        self._fps = Usual()
        self._kbps = Usual()
        self._dropped = Growth(_DROP_WINDOW_S)
        self._restarts = Growth(_HOUR_S)
        self._write_errors = Growth(_HOUR_S)
        self._encoder_failures = Growth(_HOUR_S)
        self.write_errors_last_hour = 0

    def figures(self, state: RecorderState) -> dict[str, Any]:
        """All but `state`; what cannot be measured is absent."""
        now_us = self._clock.monotonic_us()
        self._note_rates(state, now_us)
        self.write_errors_last_hour = self._write_errors.note(now_us, state.run_id, state.write_errors)
        figures = {
            "recording": state.recording,
            "cause": None if state.recording else state.cause,
            "detail": state.detail[:200] or None,
            "frames_per_second": round(state.frames_per_second, 2),
            **self._compared(now_us),
            "bitrate_kbps": round(state.bitrate_kbps, 1),
            "bitrate_day_kbps": _rounded(self.day_kbps, 1),
            "last_frame_age_s": state.last_frame_age_s,
            "width_px": state.width_px,
            "height_px": state.height_px,
            "codec": state.codec,
            "stream_restarts": state.stream_restarts,
            "stream_restarts_last_hour": self._restarts.note(now_us, state.run_id, state.stream_restarts),
            "dropped_units": state.dropped_units,
            "dropped_share": self._dropped_share(state, now_us),
            **self._encoding(state, now_us),
            "warnings": [text[:120] for text in state.warnings[:4]] or None,
        }
        return {name: value for name, value in figures.items() if value is not None}

    @property
    def day_kbps(self) -> float | None:
        """Mean bit rate of the last day, as far as it was seen; None before the first minute."""
        return self._kbps.day_mean

    def _encoding(self, state: RecorderState, now_us: int) -> dict[str, Any]:
        capture = state.capture
        if capture is None:
            return {}
        failures = self._encoder_failures.note(now_us, state.run_id, capture.encoder_failures)
        return {
            "encoder": capture.encoder or None,
            "encoder_failures_last_hour": failures,
            "encoder_fault": capture.encoder_fault[:200] or None,
            "unmasked_pictures": capture.unmasked or None,
            "mean_luma": capture.mean_luma,
            "notes": [f"{code}: {words}"[:160] for code, words in capture.notes.items()][:4] or None,
        }

    def _note_rates(self, state: RecorderState, now_us: int) -> None:
        lasted_s = (self._clock.wall_us() - state.since_us) / 1e6
        if not state.recording or 0 <= lasted_s < _STEADY_S:
            self._fps.forget_recent()
            return
        if 0 <= state.frames_per_second < _MAX_FPS:
            self._fps.note(now_us, state.frames_per_second)
        if _MIN_KBPS < state.bitrate_kbps < _MAX_KBPS:
            self._kbps.note(now_us, state.bitrate_kbps)

    def _compared(self, now_us: int) -> dict[str, float]:
        expected, lately = self._asked_fps or self._fps.usual, self._fps.lately(now_us)
        if not expected:
            return {}
        known = {"expected_frames_per_second": round(expected, 2)}
        return known if lately is None else known | {"frame_rate_share": round(lately / expected, 3)}

    def _dropped_share(self, state: RecorderState, now_us: int) -> float | None:
        """Left out of what came in the window; None while no rate is known."""
        dropped = self._dropped.note(now_us, state.run_id, state.dropped_units)
        lately = self._fps.lately(now_us)
        if not lately:
            return None
        return round(min(dropped / (lately * _DROP_WINDOW_S), 1.0), 4)


def _asked_fps(settings: CameraSettings) -> float | None:
    """Of sources that are asked for a rate."""
    scheme = settings.source.partition(":")[0].lower()
    if scheme == "test":
        return settings.fps or _DRAWN_FPS
    return settings.fps if scheme in _ASKED else None


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
