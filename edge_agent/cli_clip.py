"""`edge-agent clip`: a clip and its signed manifest, taken on the unit itself.

Of a recorder that runs, or of a ring that nobody owns; and when the unit's storage has become read-only, so that
neither can keep a plan, of the files as they lie.
"""

import argparse
import getpass
import logging
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from zoneinfo import ZoneInfo

from edge_agent import __version__
from edge_agent.buffer.access import RingAccess, open_or_ask
from edge_agent.buffer.clip.reader import read_plan
from edge_agent.buffer.clip.save import save_clip
from edge_agent.buffer.live_state import RingContext
from edge_agent.buffer.rescue import is_read_only, open_read_only
from edge_agent.clock import Clock, read_boot_id
from edge_agent.contract.clip import ClipPlan, Interval, Requester
from edge_agent.contract.codes import ErrorCode
from edge_agent.contract.ids import make_uuid7
from edge_agent.contract.local_time import load_zone, parse_instant
from edge_agent.contract.ring_protocol import PlanRequest, PlanResult
from edge_agent.contract.times import format_utc
from edge_agent.errors import ContractError, RingError, RingRequestError, RingStorageError, UsageError
from edge_agent.evidence.keys import load_or_create_unit_key
from edge_agent.paths import ring_directory
from edge_agent.recorder import find_ring, ring_context
from edge_agent.settings import CameraSettings, Settings

logger = logging.getLogger(__name__)

WAIT_LIMIT_S = 90.0
_ASK_AGAIN_S = 1.0
LOCAL_ROLE = "technician"
_ENDS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def save_local_clip(options: argparse.Namespace, settings: Settings, clock: Clock) -> int:
    """Plan, wait for the end of the interval if need be, save, release; prints the files.

    Raises:
        SettingsError: no such camera.
        UsageError: a time that cannot be read, or an end that is not after the start.
        RingError: the ring rejects the request or does not answer, the target is taken or refused.
        EvidenceError: the unit's key cannot be used.
    """
    for number in _ENDS:
        signal.signal(number, _end)  # a recorder that wants its ring, a lost terminal: the pin is released first
    camera = find_ring(settings, options.camera)
    request = _request(options, settings, clock)
    key = load_or_create_unit_key(settings.unit.data_dir)
    directory = ring_directory(settings.unit.data_dir, camera.name)
    with ExitStack() as stack:
        try:
            plan_file = stack.enter_context(_of_ring(settings, camera, request, clock))
        except RingError as error:
            if not _is_refusing(directory, error):
                raise
            print(
                f"edge-agent: read-only storage, the clip is made from the files as they lie: {error}",
                file=sys.stderr,
            )
            plan_file = stack.enter_context(_of_files(settings, camera, request, clock, options.output))
        plan = read_plan(plan_file)
        files = save_clip(plan, directory, plan_file, options.output, key)
    _print_result(plan)
    for file in files:
        print(file)
    return 0


@contextmanager
def _of_ring(settings: Settings, camera: CameraSettings, request: PlanRequest, clock: Clock) -> Iterator[Path]:
    """The plan's file, its footage pinned, from whoever owns the ring."""
    data_dir = settings.unit.data_dir
    with open_or_ask(data_dir, camera, ring_context(settings, clock), clock) as ring:
        plan_file: Path | None = None
        try:
            plan_file = data_dir / _plan(ring, request, clock).plan_file
            yield plan_file
        finally:
            _release(ring, request.clip_id, "may stay" if plan_file is None else "will stay")


def _release(ring: RingAccess, clip_id: str, otherwise: str) -> None:
    """Let the footage go; when that fails, whatever else is under way is told all the same."""
    try:
        ring.release(clip_id)
    except RingError as error:
        print(f"edge-agent: the plan of clip {clip_id} {otherwise} and pin footage: {error}", file=sys.stderr)


@contextmanager
def _of_files(
    settings: Settings, camera: CameraSettings, request: PlanRequest, clock: Clock, output: Path
) -> Iterator[Path]:
    """The plan's file, in a folder beside the output that is removed again; the ring is only read."""
    context = RingContext(settings.unit.id, read_boot_id(), uuid.uuid4().hex, __version__)
    try:
        scratch = tempfile.TemporaryDirectory(prefix=".edge-agent-", dir=_existing(output.absolute().parent))
    except OSError as error:
        raise RingStorageError(f"cannot write beside {output}, name an output elsewhere: {error.strerror}") from error
    with scratch as name, open_read_only(settings.unit.data_dir, Path(name), camera, context, clock) as ring:
        yield Path(name) / _plan(ring, request, clock).plan_file


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _is_refusing(directory: Path, error: RingError) -> bool:
    """Whether it is for a read-only storage that there is no plan."""
    is_other = isinstance(error, RingRequestError) and error.code != ErrorCode.STORAGE_ERROR
    return not is_other and is_read_only(directory)


def _end(number: int, _frame: object) -> None:
    for other in _ENDS:
        signal.signal(other, signal.SIG_IGN)  # a second one would end the release that the first one leads to
    sys.exit(128 + number)


def _request(options: argparse.Namespace, settings: Settings, clock: Clock) -> PlanRequest:
    zone, now_us = load_zone(settings.unit.timezone), clock.wall_us()
    requester = Requester(
        operator=getpass.getuser(), role=LOCAL_ROLE, reference=options.reference, purpose=options.purpose
    )
    start_us = _instant("--from", options.start, zone, now_us)
    end_us = _instant("--to", options.end, zone, now_us)
    if end_us <= start_us:
        raise UsageError(f"--to {options.end} is not after --from {options.start}")
    interval = Interval(start_us=start_us, end_us=end_us)
    return PlanRequest(clip_id=make_uuid7(now_us), interval=interval, requester=requester)


def _instant(option: str, text: str, zone: ZoneInfo, now_us: int) -> int:
    try:
        return parse_instant(text, zone, now_us)
    except ContractError as error:
        if text[:1].isdigit():  # nearly a time: the error says what is wrong with it
            raise UsageError(f"{option}: {error}") from error
        forms = f"now, -90s, -5m, -2h, 2026-03-29T02:10 (local time, {zone.key}), or RFC 3339 with an offset"
        example = "2026-03-29T02:10:00+01:00"
        raise UsageError(f"{option} {text!r:.60} is not a time; write {forms}: {example}") from error


def _plan(ring: RingAccess, request: PlanRequest, clock: Clock) -> PlanResult:
    """Plan, again and again while the interval's end is not recorded yet."""
    give_up_us = clock.monotonic_us() + round(WAIT_LIMIT_S * 1e6)
    result = ring.plan(request)
    while result.state == "reserved":
        if clock.monotonic_us() > give_up_us:
            raise RingRequestError(ErrorCode.NOT_YET, "the end of the interval was not recorded in time")
        clock.sleep(_ASK_AGAIN_S)
        result = ring.plan(request)
    return result


def _print_result(plan: ClipPlan) -> None:
    assert plan.delivered is not None  # noqa: S101 -- a planned clip has parts: narrows the type
    print(
        f"clip {plan.clip_id}: {format_utc(plan.delivered.start_us)} to {format_utc(plan.delivered.end_us)},"
        f" {plan.length_bytes / 1e6:.1f} MB in {len(plan.parts)} part(s)"
    )
    for gap in plan.gaps:
        print(f"gap {format_utc(gap.start_us)} to {format_utc(gap.end_us)}: {gap.cause}")
