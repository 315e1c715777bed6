"""Commands from the inbox to their end, on a broker in memory, with rings and transfers that do as the test says."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge_agent.contract.clip import Interval
from edge_agent.contract.codes import ErrorCode
from edge_agent.contract.commands import Priority
from edge_agent.contract.jws import SigningKey, TrustedKeys
from edge_agent.contract.messages import CameraCoverage, Progress
from edge_agent.contract.names import Topics
from edge_agent.contract.ring_protocol import CoveragePage, PlanRequest, PlanResult, RecorderState
from edge_agent.errors import LedgerError, RingError, RingRequestError, RingUnavailableError, TransferInterruptedError
from edge_agent.limiter import RateLimiter
from edge_agent.settings import UploadSettings
from edge_agent.uplink.admission import Admission
from edge_agent.uplink.checks import UnitFacts
from edge_agent.uplink.clips import ClipDriver
from edge_agent.uplink.command_inbox import CommandInbox
from edge_agent.uplink.database import LinkDatabase
from edge_agent.uplink.ephemeral import Ephemeral
from edge_agent.uplink.events import Events
from edge_agent.uplink.executor import Executor
from edge_agent.uplink.fake_wire import FakeBroker
from edge_agent.uplink.ledger import MAX_OPEN, Ledger
from edge_agent.uplink.newest import NewestIat
from edge_agent.uplink.outbox import Pump
from edge_agent.uplink.queries import Queries
from edge_agent.uplink.receipts import Receipts
from edge_agent.uplink.receiver import Receiver
from edge_agent.uplink.replies import Replies
from edge_agent.uplink.session import Session
from edge_agent.uplink.stamps import ClockBelief, Stamper
from edge_agent.uplink.wire import Outgoing, WireOptions
from tests.support.fake_recorder import make_intervals, make_state
from tests.support.patient_clock import PatientClock
from tests.support.polling import until
from tests.unit.uplink.test_admission import claims_at

KEY = SigningKey.generate()
UPLOAD = UploadSettings(url="https://ingest.example/files/")


@dataclass
class Ring:
    """A ring port."""

    problems: list[Exception] = field(default_factory=list)
    always: Exception | None = None
    pinned: set[str] = field(default_factory=set)
    released: list[str] = field(default_factory=list)

    def _meet(self) -> None:
        if self.always is not None:
            raise self.always
        if self.problems:
            raise self.problems.pop(0)

    async def state(self) -> RecorderState:
        return make_state()

    async def plan(self, request: PlanRequest) -> PlanResult:
        self._meet()
        self.pinned.add(request.clip_id)
        return PlanResult(state="planned", plan_file="p", length_bytes=9, parts=1, delivered=request.interval)

    async def release(self, clip_id: str) -> bool:
        self._meet()
        self.released.append(clip_id)
        self.pinned.discard(clip_id)
        return True

    async def plans(self) -> list[str]:
        return sorted(self.pinned)

    async def coverage(self, max_intervals: int = 60) -> CameraCoverage:
        return CameraCoverage(camera="main", size_bytes=1)

    async def coverage_query(
        self, interval: Interval, cursor: str | None = None, max_intervals: int = 80
    ) -> CoveragePage:
        self._meet()
        return CoveragePage(intervals=make_intervals(max_intervals))


@dataclass
class Uploads:
    """A transfer port."""

    submitted: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    problems: list[Exception] = field(default_factory=list)

    def _meet(self) -> None:
        if self.problems:
            raise self.problems.pop(0)

    async def submit(self, clip_id: str, plan_file: Path, url: str, priority: Priority) -> None:
        self._meet()
        self.submitted.append(clip_id)

    async def cancel(self, clip_id: str) -> None:
        self._meet()
        self.cancelled.append(clip_id)

    async def known(self) -> list[str]:
        return self.orphans


@dataclass
class Unit:
    """The command half of a link."""

    broker: FakeBroker
    clock: PatientClock
    topics: Topics
    ring: Ring
    rings: dict[str, Ring]
    uploads: Uploads
    ledger: Ledger
    clips: ClipDriver
    checks: list[asyncio.Event]

    def send(self, cmd: str = "clip.request", **changes: object) -> str:
        if cmd != "clip.request":
            changes = {"params": {}} | changes
        claims = claims_at(self.clock, cmd=cmd, **changes)
        self.broker.send(self.topics.down("command"), KEY.sign("command", claims).encode())
        return str(claims["jti"])

    def send_receipt(self, clip_id: str, sha256: str) -> None:
        claims = {"schema": "receipt/1", "aud": "nomad-07", "clip_id": clip_id, "sha256": sha256}
        token = KEY.sign("receipt", claims | {"verdict": "verified", "iat": 1})
        self.broker.send(self.topics.down("receipt"), token.encode())

    def replies(self, command_id: str) -> list[dict[str, Any]]:
        bodies = [json.loads(m.payload) for m in self.broker.published if m.topic == self.topics.up("reply")]
        return [body for body in bodies if body["command_id"] == command_id]

    def events(self, name: str) -> list[dict[str, Any]]:
        bodies = [json.loads(m.payload) for m in self.broker.published if m.topic == self.topics.up("event")]
        return [body for body in bodies if body["name"] == name]

    async def reply(self, command_id: str, state: str) -> dict[str, Any]:
        found = await until(
            lambda: [body for body in self.replies(command_id) if body["state"] == state], what=f"reply {state}"
        )
        return found[0]


class NobodyToGreet:
    async def on_online(self, session_present: bool) -> None:
        """Nothing is published at a connection's begin."""


@pytest.fixture
def clock() -> PatientClock:
    return PatientClock()


@pytest.fixture
async def unit(
    clock: PatientClock, database: LinkDatabase, ledger: Ledger, stamper: Stamper, topics: Topics, tmp_path: Path
) -> AsyncIterator[Unit]:
    wake, broker, ring, uploads = asyncio.Event(), FakeBroker(), Ring(), Uploads()
    rings = {"main": ring}
    checks: list[asyncio.Event] = []

    async def check() -> dict[str, Any]:
        checks.append(asyncio.Event())
        await checks[-1].wait()
        return {"ok": True}

    replies, events = Replies(ledger, stamper, topics, wake), Events(database, stamper, topics, wake)
    clips = ClipDriver(ledger, rings, uploads, UPLOAD, tmp_path, replies, events, clock)
    executor = Executor(ledger, clips, Queries(ledger, rings, clips.wake), replies, clock)
    ephemeral, keys = Ephemeral({"unit.check": check}, replies), TrustedKeys.from_jwks(KEY.public_jwk())
    facts, newest = UnitFacts("nomad-07", frozenset({"main"}), UPLOAD), await NewestIat.load(database)
    admission = Admission(facts, keys, ledger, clock, ClockBelief(), newest)
    limiter = RateLimiter(clock)
    session = Session(WireOptions("nomad-07", Outgoing("w", b"")), topics.down("#"), broker.factory, clock)
    commands = CommandInbox(admission, ledger, executor, ephemeral, replies, events, limiter)
    receipts = Receipts("nomad-07", keys, ledger, clips, events, limiter)
    receiver = Receiver(session, {topics.down("command"): commands, topics.down("receipt"): receipts})
    pump = Pump(session, (replies, events), wake)
    runs = [executor.run(), ephemeral.run(), receiver.run(), pump.run(), session.run(NobodyToGreet())]
    tasks = {asyncio.ensure_future(run) for run in runs}
    yield Unit(broker, clock, topics, ring, rings, uploads, ledger, clips, checks)
    assert not [task for task in tasks if task.done()], "a part of the link ended by itself"
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_a_camera_that_left_the_settings_since_the_command_came_is_unknown(unit: Unit) -> None:
    del unit.rings["main"]
    span = {"from": "2026-11-01T00:00:00Z", "to": "2026-11-02T00:00:00Z"}
    for command_id in (unit.send(), unit.send("coverage.query", params={"camera": "main", **span})):
        refused = await unit.reply(command_id, "rejected")
        assert refused["error"]["code"] == "unknown-camera"


async def test_a_clip_goes_its_way(unit: Unit) -> None:
    clip_id = unit.send()
    await until(lambda: unit.uploads.submitted == [clip_id], what="the submission")
    await unit.reply(clip_id, "running")
    unit.clips.on_progress(clip_id, Progress(sent_bytes=4, total_bytes=9))
    unit.clips.on_progress(clip_id, Progress(sent_bytes=5, total_bytes=9))
    unit.send_receipt(clip_id, "a" * 64)  # before the unit itself knows that it delivered
    unit.clips.on_delivered(clip_id, "a" * 64)
    done = await unit.reply(clip_id, "done")
    assert done["result"]["manifest_sha256"] == "a" * 64
    assert done["result"]["clip"]["length_bytes"] == 9
    assert done["result"]["before_overwrite"] is True
    await until(lambda: unit.ring.released == [clip_id], what="release")
    assert unit.uploads.cancelled == [clip_id]
    assert len(unit.broker.acknowledged) == 2


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (lambda clips, clip_id: clips.on_refused(clip_id, "upload-refused", "413 too much"), "upload-refused"),
        (lambda clips, clip_id: clips.on_damaged(clip_id, "segment 7 is short"), "footage-damaged"),
    ],
)
async def test_a_transfer_that_ends_badly_ends_the_request(
    unit: Unit, report: Callable[[ClipDriver, str], None], code: str
) -> None:
    clip_id = unit.send()
    await unit.reply(clip_id, "running")
    report(unit.clips, clip_id)
    assert (await unit.reply(clip_id, "failed"))["error"]["code"] == code
    await until(lambda: unit.ring.released == [clip_id], what="release")


async def test_a_recorder_that_never_answers_is_waited_for_until_exp(unit: Unit) -> None:
    unit.ring.always = RingUnavailableError("no answer")
    clip_id = unit.send()
    await until(lambda: bool(unit.events("command-waiting")), what="the event")
    for _ in range(20):
        unit.clock.advance(35)
        await asyncio.sleep(0.01)
    rejected = await unit.reply(clip_id, "rejected")
    assert rejected["error"]["code"] == "recorder-unavailable"
    assert len(unit.events("command-waiting")) == 1
    unit.ring.always = None
    unit.clock.advance(120)
    await until(lambda: unit.ring.released == [clip_id], what="release of what may have been planned")


async def test_a_retriable_problem_of_the_ring_is_tried_again(unit: Unit) -> None:
    unit.ring.problems = [
        RingUnavailableError("no answer"),
        RingError("nonsense"),
        RingRequestError(ErrorCode.STORAGE_ERROR, "disk"),
        RingRequestError(ErrorCode.NOT_YET, "still recording"),
    ]
    clip_id = unit.send()
    for _ in range(8):
        unit.clock.advance(20)
        await asyncio.sleep(0.02)
    await unit.reply(clip_id, "running")


async def test_a_query_waits_for_its_recorder_and_its_page_fits(unit: Unit) -> None:
    unit.ring.problems = [RingUnavailableError("no answer")]
    params = {"camera": "main", "from": "2026-09-01T00:00:00Z", "to": "2026-09-02T00:00:00Z"}
    query = unit.send("coverage.query", params=params)
    await until(lambda: not unit.ring.problems, what="the first attempt")
    unit.clock.advance(30)
    done = await unit.reply(query, "done")
    assert len(done["result"]["intervals"]) == 80


async def test_a_page_that_the_ring_refuses_is_a_rejection(unit: Unit) -> None:
    unit.ring.problems = [RingRequestError(ErrorCode.PARAMETERS_INVALID, "cursor: not one of ours")]
    params = {"camera": "main", "from": "2026-09-01T00:00:00Z", "to": "2026-09-02T00:00:00Z", "cursor": "x"}
    query = unit.send("coverage.query", params=params)
    assert (await unit.reply(query, "rejected"))["error"]["message"] == "cursor: not one of ours"


async def test_too_many_open_commands_are_refused_for_now(unit: Unit) -> None:
    unit.ring.always = RingUnavailableError("no answer")
    for _ in range(MAX_OPEN):
        unit.send()
    late = unit.send()
    refused = await unit.reply(late, "rejected")
    assert refused["error"]["code"] == "too-many"
    assert await unit.ledger.find(late) is None
    assert len(unit.broker.acknowledged) == MAX_OPEN + 1


async def test_clips_that_wait_keep_nobody_from_cancelling_them(unit: Unit) -> None:
    unit.ring.always = RingUnavailableError("no answer")
    clips = [unit.send() for _ in range(MAX_OPEN)]
    cancel = unit.send("clip.cancel", params={"clip_id": clips[0]})
    assert (await unit.reply(cancel, "done"))["result"]["cancelled"] is True
    assert await unit.reply(clips[0], "cancelled")


async def test_a_storage_that_refuses_does_not_burn_the_id(unit: Unit, database: LinkDatabase) -> None:
    await database.read(lambda connection: connection.execute("PRAGMA query_only=1"))
    clip_id = unit.send()
    assert (await unit.reply(clip_id, "rejected"))["error"]["code"] == "storage-error"
    wrong = unit.send(role="technician")
    assert (await unit.reply(wrong, "rejected"))["error"]["code"] == "not-authorised"
    await database.read(lambda connection: connection.execute("PRAGMA query_only=0"))
    assert await unit.ledger.find(clip_id) is None


async def test_a_copy_of_what_runs_is_not_rejected_while_the_ledger_cannot_be_read(
    unit: Unit, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = claims_at(unit.clock)
    body = KEY.sign("command", claims).encode()
    unit.broker.send(unit.topics.down("command"), body)
    await unit.reply(claims["jti"], "running")

    async def refuse(command_id: str) -> None:
        raise LedgerError("I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(unit.ledger, "find", refuse)
        unit.broker.send(unit.topics.down("command"), body)
        await until(lambda: len(unit.broker.acknowledged) == 2, what="the acknowledgement")
        await asyncio.sleep(0.05)
    unit.broker.send(unit.topics.down("command"), body)
    unit.clips.on_refused(claims["jti"], "upload-refused", "413 too much")
    await unit.reply(claims["jti"], "failed")
    assert {reply["state"] for reply in unit.replies(claims["jti"])} <= {"accepted", "running", "failed"}


async def test_a_storage_that_refuses_a_step_is_tried_again(unit: Unit, database: LinkDatabase) -> None:
    clip_id = unit.send()
    await unit.reply(clip_id, "running")
    await database.read(lambda connection: connection.execute("PRAGMA query_only=1"))
    unit.clips.on_delivered(clip_id, "a" * 64)
    await asyncio.sleep(0.05)
    await database.read(lambda connection: connection.execute("PRAGMA query_only=0"))
    unit.clock.advance(30)
    unit.send_receipt(clip_id, "a" * 64)
    assert (await unit.reply(clip_id, "done"))["state"] == "done"


async def test_a_defect_ends_one_command_and_no_other(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    unit.ring.problems = [ZeroDivisionError("a defect")]
    broken, sound = unit.send(), unit.send()
    rejected = await unit.reply(broken, "rejected")
    assert rejected["error"] == {"code": "internal", "message": "ZeroDivisionError: a defect"}
    await unit.reply(sound, "running")


async def test_a_clip_that_met_a_defect_is_let_go(unit: Unit) -> None:
    unit.uploads.problems = [ZeroDivisionError("a defect"), TransferInterruptedError("no space"), KeyError("another")]
    clip_id = unit.send()
    assert (await unit.reply(clip_id, "failed"))["error"]["code"] == "internal"
    await until(lambda: len(unit.uploads.problems) == 1, what="an attempt to clean up that the disk refuses")
    unit.uploads.problems.clear()
    unit.clock.advance(10)
    await until(lambda: unit.ring.released == [clip_id], what="release")
    await until(lambda: unit.uploads.cancelled == [clip_id], what="the end of its transfer")


async def test_a_defect_while_a_clip_is_let_go_ends_nothing_else(unit: Unit) -> None:
    unit.uploads.problems = [ZeroDivisionError("a defect"), ZeroDivisionError("another")]
    broken = unit.send()
    await unit.reply(broken, "failed")
    await until(lambda: not unit.uploads.problems, what="the attempt to clean up")
    sound = unit.send()
    await unit.reply(sound, "running")
    assert unit.ring.pinned == {broken, sound}


async def test_a_submission_that_the_disk_refuses_is_tried_again(unit: Unit) -> None:
    unit.uploads.problems = [TransferInterruptedError("no space"), TransferInterruptedError("no space")]
    clip_id = unit.send()
    for _ in range(4):
        unit.clock.advance(10)
        await asyncio.sleep(0.02)
    await unit.reply(clip_id, "running")


async def test_a_transfer_that_was_lost_is_submitted_again(unit: Unit) -> None:
    clip_id = unit.send()
    await unit.reply(clip_id, "running")
    entry = await unit.ledger.find(clip_id)
    assert entry is not None
    again = asyncio.create_task(unit.clips.drive(entry))
    await until(lambda: unit.uploads.submitted == [clip_id, clip_id], what="the second submission")
    again.cancel()


async def test_ephemeral_commands_run_once_and_a_few_at_a_time(unit: Unit) -> None:
    now_s = unit.clock.wall_us() // 1_000_000
    ids = [unit.send("unit.check", exp=now_s + 20) for _ in range(5)]
    assert (await unit.reply(ids[4], "rejected"))["error"]["code"] == "too-many"
    for check in unit.checks:
        check.set()
    for command_id in ids[:4]:
        assert (await unit.reply(command_id, "done"))["result"] == {"ok": True}
    assert len(unit.checks) == 4
    assert await unit.ledger.find(ids[0]) is None


async def test_an_upload_without_command_is_ended(
    unit: Unit, clock: PatientClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = unit.send()
    await unit.reply(known, "running")
    unit.uploads.orphans = [known, "0197a1b2-0000-7000-8000-00000000dead"]
    await unit.clips.forget_orphans()
    assert unit.uploads.cancelled == unit.ring.released == ["0197a1b2-0000-7000-8000-00000000dead"]


async def test_garbage_is_answered_a_few_times_and_then_only_counted(unit: Unit) -> None:
    for number in range(30):
        unit.broker.send(unit.topics.down("command"), b"garbage %d" % number)
        unit.broker.send(unit.topics.down("receipt"), b"garbage %d" % number)
    await until(lambda: len(unit.broker.acknowledged) == 60, what="60 acknowledgements")
    unit.clock.advance(6)
    unit.broker.send(unit.topics.down("command"), b"garbage")
    await until(lambda: len(unit.events("command-refused") + unit.events("receipt-refused")) == 11, what="events")
    assert len(unit.replies("unknown")) == len(unit.events("command-refused"))
    assert unit.events("command-refused")[-1]["details"]["left_out"] == 50
