"""The link process: everything that speaks to the supervision centre, wired together.

    MQTT thread ──► inbox ──► receiver ──► ledger ──► executor ──► rings (Unix sockets), transfers (HTTP)
                                               │
    MQTT thread ◄── pump ◄── retained topics, replies, events ◄── monitor (recorders, probes)

One event loop; what blocks (database, probes, name lookups) has threads of its own. Killed at any instant, it goes on
from its database and the transfers' files. Without `[mqtt]`, `[upload]` or `[trust]` it idles: recording needs none.
"""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_agent import __version__
from edge_agent.buffer.client import RingClient
from edge_agent.clock import Clock, read_boot_id
from edge_agent.clock_source import ClockReading, SystemClockProbe
from edge_agent.contract.deployment import DeploymentRecord
from edge_agent.contract.event_names import EventName
from edge_agent.contract.jws import SigningKey, TrustedKeys
from edge_agent.contract.names import Topics
from edge_agent.deployment.record import load_or_create
from edge_agent.errors import EdgeAgentError, LedgerError, SettingsError, SignatureError
from edge_agent.evidence.keys import load_or_create_unit_key
from edge_agent.health.round_trips import RoundTrips
from edge_agent.limiter import RateLimiter
from edge_agent.link_health import make_prober
from edge_agent.link_lock import hold_link_lock
from edge_agent.link_position import PositionFeed, PositionReporter, make_feed
from edge_agent.notify import Notifier
from edge_agent.paths import link_directory, ring_socket
from edge_agent.settings import MqttSettings, Settings, TrustSettings, UploadSettings
from edge_agent.uplink.admission import Admission
from edge_agent.uplink.boot_clocks import BootClocks
from edge_agent.uplink.checks import UnitFacts
from edge_agent.uplink.clips import ClipDriver
from edge_agent.uplink.command_inbox import CommandInbox
from edge_agent.uplink.damage import set_damaged_rows_aside
from edge_agent.uplink.database import LinkDatabase
from edge_agent.uplink.ephemeral import Ephemeral
from edge_agent.uplink.events import Events
from edge_agent.uplink.executor import Executor
from edge_agent.uplink.history import History
from edge_agent.uplink.ledger import Ledger, StepHook
from edge_agent.uplink.monitor import Monitor
from edge_agent.uplink.newest import NewestIat
from edge_agent.uplink.outbox import Pump, RetainedTopics, in_order
from edge_agent.uplink.paho_wire import PahoWire
from edge_agent.uplink.publisher import Publisher, offline_status
from edge_agent.uplink.queries import Queries
from edge_agent.uplink.receipts import Receipts
from edge_agent.uplink.receiver import Receiver
from edge_agent.uplink.replies import Replies
from edge_agent.uplink.session import Session
from edge_agent.uplink.stamps import ClockBelief, SequenceCounter, Stamper
from edge_agent.uplink.transfers import Transfers
from edge_agent.uplink.upload_meter import UploadMeter
from edge_agent.uplink.wire import WireEvents, WireOptions

logger = logging.getLogger(__name__)

HEARTBEAT_S = 2.0
CLOCK_INTERVAL_S = 10.0
WATCH_TIMEOUT_S = 4.0
"""What the monitor gives a recorder to answer; a plan may take longer."""
END_S = 2.5
"""How long the end of the process waits for its tasks."""


def main_link(settings: Settings, clock: Clock, take_over: bool = False, step_hook: StepHook | None = None) -> int:
    """Run the link until SIGTERM or SIGINT; the exit code.

    Args:
        settings: of the unit.
        clock: injected.
        take_over: end a link that an earlier supervisor left behind.
        step_hook: called around each durable step; fault tests kill the process there.

    Raises:
        SettingsError: files that the settings name cannot be used.
        LinkBusyError: another process is this unit's link.
        EdgeAgentError: the data directory cannot be used.
    """
    with hold_link_lock(settings.unit.data_dir, clock, take_over):
        try:
            asyncio.run(run_link(settings, clock, step_hook or _no_hook))
        except BaseExceptionGroup as group:
            reason = _first_reason(group)
            if reason is None:
                raise
            raise reason from group
    return 0


def _first_reason(group: BaseExceptionGroup[BaseException]) -> EdgeAgentError | None:
    """The first of our own errors in what a task group raised; None when there are only defects."""
    for error in group.exceptions:
        found = _first_reason(error) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(found, EdgeAgentError):
            return found
    return None


def _no_hook(_name: str) -> None:
    """Nothing happens at a step."""


async def run_link(settings: Settings, clock: Clock, step_hook: StepHook = _no_hook) -> None:
    """Run the link until a signal asks for its end; the caller holds the link's lock."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    notifier = Notifier.from_environment()
    serving = asyncio.create_task(_serve(settings, clock, step_hook, notifier), name="link")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    beating = asyncio.create_task(_beat(notifier, clock), name="heartbeat")
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    notifier.stopping()
    for task in (stopping, beating):
        task.cancel()
    if serving.done():
        serving.result()
        return
    serving.cancel()
    await asyncio.wait({serving}, timeout=END_S)
    logger.info("the link ends")


async def _beat(notifier: Notifier, clock: Clock) -> None:
    while True:
        notifier.heartbeat()
        await clock.async_sleep(HEARTBEAT_S)


async def _serve(settings: Settings, clock: Clock, step_hook: StepHook, notifier: Notifier) -> None:
    lacks = settings.link_lacks
    if lacks is not None or settings.mqtt is None or settings.upload is None or settings.trust is None:
        logger.warning("the link idles: %s", lacks)
        notifier.ready()
        feed = await asyncio.to_thread(make_feed, settings, clock)
        await (asyncio.Event().wait() if feed is None else feed.run())
        return
    plan = LinkPlan(settings, settings.mqtt, settings.upload, settings.trust, clock, step_hook)
    async with build_link(plan) as link:
        notifier.ready()
        await link.run()


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """What a link is made of: the settings, all there, and what is injected."""

    settings: Settings
    mqtt: MqttSettings
    upload: UploadSettings
    trust: TrustSettings
    clock: Clock
    step_hook: StepHook

    @property
    def topics(self) -> Topics:
        """The unit's topics."""
        return Topics(self.mqtt.topic_prefix, self.settings.unit.id)


@dataclass(frozen=True, slots=True)
class Link:
    """The parts that run."""

    clock: Clock
    belief: ClockBelief
    clocks: BootClocks
    session: Session
    pump: Pump
    publisher: Publisher
    events: Events
    history: History
    monitor: Monitor
    executor: Executor
    ephemeral: Ephemeral
    receiver: Receiver
    transfers: Transfers
    position: PositionReporter
    feed: PositionFeed | None

    async def run(self) -> None:
        """Run every part until cancelled; the session says goodbye to the broker, what that did not hear is kept."""
        try:
            await self._run_parts()
        finally:
            await self.history.keep()

    async def _run_parts(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(keep_clock(self.clock, self.belief, self.clocks, self.position.vouch), name="clock")
            group.create_task(self.transfers.run(), name="transfers")
            group.create_task(self.executor.run(), name="executor")
            group.create_task(self.ephemeral.run(), name="ephemeral commands")
            group.create_task(self.receiver.run(), name="receiver")
            group.create_task(self.pump.run(), name="pump")
            group.create_task(self.events.run(lambda: self.session.is_online), name="acknowledged events")
            group.create_task(self.history.run(), name="history")
            group.create_task(self.monitor.run_health(), name="health")
            group.create_task(self.monitor.run_coverage(), name="coverage")
            group.create_task(self.position.run(), name="position")
            if self.feed is not None:
                group.create_task(self.feed.run(), name="position feed")
            group.create_task(self.session.run(self), name="session")

    async def on_online(self, session_present: bool) -> None:
        """See `session.SessionListener`."""
        self.events.reconnected()
        self.history.reconnected()
        await self.publisher.on_online(session_present)
        self.monitor.on_online()
        self.transfers.kick()


async def keep_clock(
    clock: Clock, belief: ClockBelief, clocks: BootClocks, vouch: Callable[[ClockReading], ClockReading]
) -> None:
    """Ask for ever who vouches for the wall clock, and keep what that says of this boot's.

    Args:
        clock: read.
        belief: kept up to date.
        clocks: of this boot and those before.
        vouch: adds what GNSS says to a reading.
    """
    probe = SystemClockProbe(clock)
    while True:
        reading = vouch(await asyncio.to_thread(probe.read))
        if reading.source != belief.source:
            logger.info("the clock's source is %s now", reading.source)
        belief.source, belief.bound_us = reading.source, reading.bound_us
        belief.synced_us, belief.offset_us = reading.synced_us, reading.offset_us
        await clocks.look()
        await clock.async_sleep(CLOCK_INTERVAL_S)


@asynccontextmanager
async def build_link(plan: LinkPlan) -> AsyncIterator[Link]:
    """Open what lies on disk and wire the parts.

    Raises:
        SettingsError: the file of trusted keys cannot be used.
        EdgeAgentError: the data directory cannot be used.
    """
    settings, clock = plan.settings, plan.clock
    keys = await asyncio.to_thread(read_trusted_keys, plan.trust.command_keys_file)
    database = await LinkDatabase.open(link_directory(settings.unit.data_dir) / "link.db", clock.wall_us())
    try:
        yield await _wire(plan, keys, database)
    finally:
        await database.close()


def read_trusted_keys(path: Path) -> TrustedKeys:
    """The keys whose commands and receipts the unit obeys.

    Raises:
        SettingsError: missing, unreadable, or no keys in it.
    """
    try:
        return TrustedKeys.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, SignatureError) as error:
        raise SettingsError(
            f"[trust] command_keys_file = {path}: {error}; put the supervision centre's public keys there (JWK set)"
        ) from error


async def _wire(plan: LinkPlan, keys: TrustedKeys, database: LinkDatabase) -> Link:
    settings, clock, topics = plan.settings, plan.clock, plan.topics
    data_dir, unit_id = settings.unit.data_dir, settings.unit.id
    boot_id, key, deployment, counter = await asyncio.to_thread(_open_files, settings, clock)
    belief, wake = ClockBelief(), asyncio.Event()
    stamper = Stamper(unit_id, boot_id, clock, belief, counter)
    ledger = Ledger(database, clock, plan.step_hook)
    retained = RetainedTopics(wake)
    replies = Replies(ledger, stamper, topics, wake)
    clocks = BootClocks(database, stamper)
    events = Events(database, stamper, topics, wake, clocks, plan.step_hook)
    history = History(database, stamper, clocks, topics, wake, plan.step_hook)
    await _load(database, clock, clocks, replies, events)

    rings = {camera.name: RingClient(ring_socket(data_dir, camera.name)) for camera in settings.rings}
    transfers = Transfers(data_dir, plan.upload, key, unit_id, clock)
    clips = ClipDriver(ledger, rings, transfers, plan.upload, data_dir, replies, events, clock)
    uploads, round_trips = UploadMeter(clips, clock), RoundTrips(clock)
    transfers.listen(uploads)
    executor = Executor(ledger, clips, Queries(ledger, rings, clips.wake), replies, clock)

    publisher = Publisher(topics, retained, stamper, __version__, deployment.deployment_id)
    feed = await asyncio.to_thread(make_feed, settings, clock)
    deployment_id = deployment.deployment_id
    position = PositionReporter(settings.position, feed, deployment_id, publisher, events, history, clock)
    prober = make_prober(settings, clock, stamper, uploads, round_trips)
    watched = {name: RingClient(ring.socket_path, answer_timeout_s=WATCH_TIMEOUT_S) for name, ring in rings.items()}
    monitor = Monitor(watched, prober, publisher, events, position.current, clock, history)

    options, factory = _options(topics, boot_id, clock), _wire_factory(plan.mqtt)
    session = Session(options, topics.down("#"), factory, clock, witness=history, on_round_trip=round_trips.note)
    unit = UnitFacts(unit_id, frozenset(rings), plan.upload)
    newest = await NewestIat.load(database)
    admission = Admission(unit, keys, ledger, clock, belief, newest)
    ephemeral = Ephemeral({"unit.check": monitor.check}, replies)
    limiter = RateLimiter(clock)
    commands = CommandInbox(admission, ledger, executor, ephemeral, replies, events, limiter)
    receipts = Receipts(unit_id, keys, ledger, clips, events, limiter)
    receiver = Receiver(session, {topics.down("command"): commands, topics.down("receipt"): receipts})
    pump = Pump(session, in_order(topics, retained, replies, events, history), wake)
    return Link(
        clock,
        belief,
        clocks,
        session,
        pump,
        publisher,
        events,
        history,
        monitor,
        executor,
        ephemeral,
        receiver,
        transfers,
        position,
        feed,
    )


def _options(topics: Topics, boot_id: str, clock: Clock) -> WireOptions:
    return WireOptions(
        client_id=topics.unit_id,
        will=offline_status(topics, boot_id),
        farewell=lambda: offline_status(topics, boot_id, clock.wall_us()),
    )


async def _load(database: LinkDatabase, clock: Clock, clocks: BootClocks, replies: Replies, events: Events) -> None:
    """What earlier lives of the link left in the database."""
    await set_damaged_rows_aside(database, events, clock)
    await clocks.load()
    await replies.load()
    await events.load()
    if database.replaced is not None:
        await events.occurred(EventName.LEDGER_REPLACED, {"set_aside": database.replaced.name})


def _open_files(settings: Settings, clock: Clock) -> tuple[str, SigningKey, DeploymentRecord, SequenceCounter]:
    data_dir, boot_id = settings.unit.data_dir, read_boot_id()
    key = load_or_create_unit_key(data_dir)
    try:
        deployment = load_or_create(settings, clock)
        counter = SequenceCounter(data_dir / "run" / "link.seq", boot_id)
    except OSError as error:
        raise LedgerError(f"{data_dir} cannot be used: {error}") from error
    return boot_id, key, deployment, counter


def _wire_factory(settings: MqttSettings) -> Callable[[WireOptions, WireEvents, int], PahoWire]:
    return lambda options, events, generation: PahoWire(settings, options, events, generation)
