"""`edge-agent status`, `coverage` and `identity`: read only, for people and with `--json` for programs."""

import json
from collections.abc import Iterator
from typing import Any

from edge_agent.buffer.client import call_sync
from edge_agent.clock import Clock
from edge_agent.contract.messages import CameraCoverage
from edge_agent.contract.ring_protocol import CaptureFigures, CoverageRequest, RecorderState
from edge_agent.contract.times import format_utc
from edge_agent.errors import RingUnavailableError
from edge_agent.evidence.keys import load_or_create_unit_key
from edge_agent.paths import ring_socket
from edge_agent.settings import Settings

EXIT_UNAVAILABLE = 3


def print_identity(settings: Settings) -> int:
    """Print the unit's public JWK."""
    print(json.dumps(load_or_create_unit_key(settings.unit.data_dir).public_jwk()))
    return 0


def print_status(settings: Settings, clock: Clock, *, as_json: bool) -> int:
    """Print what every recorder says; 3 when one does not answer."""
    answers = dict(_ask_all(settings, clock, {"op": "state"}))
    if as_json:
        print(json.dumps(answers, indent=2))
    else:
        for camera, answer in answers.items():
            print("\n".join(_status_lines(camera, answer)))
    return EXIT_UNAVAILABLE if any("error" in answer for answer in answers.values()) else 0


def print_coverage(settings: Settings, clock: Clock, *, as_json: bool) -> int:
    """Print what every ring holds; 3 when one recorder does not answer."""
    answers = dict(_ask_all(settings, clock, CoverageRequest(max_intervals=500).to_object()))
    if as_json:
        print(json.dumps(answers, indent=2))
    else:
        for camera, answer in answers.items():
            print("\n".join(_coverage_lines(camera, answer)))
    return EXIT_UNAVAILABLE if any("error" in answer for answer in answers.values()) else 0


def _ask_all(settings: Settings, clock: Clock, request: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for camera in settings.rings:
        try:
            yield camera.name, call_sync(ring_socket(settings.unit.data_dir, camera.name), request, clock)
        except RingUnavailableError as error:
            yield camera.name, {"error": str(error)}


def _status_lines(camera: str, answer: dict[str, Any]) -> Iterator[str]:
    if "error" in answer:
        yield f"{camera}: {answer['error']}"
        return
    state = RecorderState.from_object(answer)
    yield _recording_line(camera, state)
    if not state.storage_ok:
        yield f"  nothing is written: {state.storage_detail}"
    if state.capture is not None:
        yield from (f"  {line}" for line in _capture_lines(state.capture))


def _recording_line(camera: str, state: RecorderState) -> str:
    if not state.recording:
        return (
            f"{camera}: NOT RECORDING since {format_utc(state.since_us)}: {state.cause or 'unknown'} {state.detail}"
        )
    size = f"{state.width_px}x{state.height_px}" if state.width_px else "size unknown"
    bound = f"±{state.clock.bound_us / 1000:.0f} ms" if state.clock.bound_us is not None else "bound unknown"
    line = (
        f"{camera}: recording {state.codec} {size} at {state.frames_per_second:.1f} fps,"
        f" {state.bitrate_kbps:.0f} kbit/s; ring {state.size_bytes / 1e6:.0f} MB; clock {state.clock.source}, {bound}"
    )
    return " ".join([line, *(f"[{warning}]" for warning in state.warnings)])


def _capture_lines(capture: CaptureFigures) -> Iterator[str]:
    """What the camera was really configured to, who encodes, and what is not as it was asked."""
    if capture.device:
        rate = f" at {capture.promised_fps:g} fps" if capture.promised_fps else ""
        detail = f"; {capture.detail}" if capture.detail else ""
        yield f"{capture.device}: {capture.format} {capture.width_px}x{capture.height_px}{rate}{detail}"
    if capture.encoder:
        yield f"encoded by {capture.encoder}" + (f": {capture.encoder_detail}" if capture.encoder_detail else "")
    if capture.encoder_failures:
        yield f"encoders failed {capture.encoder_failures} times; the last one: {capture.encoder_fault}"
    if capture.unmasked:
        yield f"{capture.unmasked} pictures were not recorded, as they could not be masked: {capture.hook_fault}"
    yield from (f"{code}: {detail}" for code, detail in capture.notes.items())


def _coverage_lines(camera: str, answer: dict[str, Any]) -> Iterator[str]:
    if "error" in answer:
        yield f"{camera}: {answer['error']}"
        return
    coverage = CameraCoverage.from_object(answer)
    if coverage.oldest_us is None or coverage.newest_us is None:
        yield f"{camera}: nothing recorded yet"
        return
    yield (
        f"{camera}: {format_utc(coverage.oldest_us)} to {format_utc(coverage.newest_us)},"
        f" {coverage.size_bytes / 1e6:.0f} MB"
    )
    for interval in coverage.last_24h:
        kind = "held" if interval.held else f"GAP ({interval.cause})"
        yield f"  {format_utc(interval.start_us)}  {format_utc(interval.end_us)}  {kind}"
