"""`csu serve`: broker, MQTT session, ingest, verification, receipts and API in one process.

Everything that must survive is in the registry, in the broker's store or in the ingest's files; the process may be
killed at any instant and started again on the same directory.
"""

import asyncio
import errno
import fcntl
import json
import logging
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from csu import broker_uptime, stored_said, stored_units
from csu.api import Api, Enrolment, EnrolRequest, Expulsion, PageInfo, Parts
from csu.api.server import ApiServer
from csu.broker import Broker
from csu.bus import Bus
from csu.commander import Commander
from csu.errors import CsuSettingsError, ServiceUnreachableError
from csu.feed import Feed
from csu.inbound import Inbound
from csu.ingest import Ingest
from csu.ingest_server import IngestServer
from csu.keys import KeyStore
from csu.mqtt_connection import BusSettings, Message
from csu.registry import Registry
from csu.serve_settings import LOOPBACK, ServeSettings
from csu.service_info import ServiceInfo, remove_info, token_file, write_info
from csu.verifier import Verifier
from csu.watching import Watching
from edge_agent import __version__
from edge_agent.clock import Clock
from edge_agent.contract.jws import TrustedKeys
from edge_agent.contract.local_time import load_zone
from edge_agent.durable import make_directory, write_file

_log = logging.getLogger(__name__)

SERVICE_USER = "csu"
_PORTS = "ports.json"
_PORTS_REMEDY = "remove it, and give the port that the units know with --ingest-port"
_MIN_TOKEN_CHARACTERS = 20


class Service:
    """The parts, and their joint start and end."""

    def __init__(self, settings: ServeSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._directory = settings.directory.absolute()
        self._feed = Feed()
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """End `run` in order."""
        self._stop.set()

    async def run(self, on_ready: Callable[[ServiceInfo], None]) -> None:
        """Serve until `stop` is called.

        Raises:
            CsuSettingsError: the directory or a port cannot be used, or another service runs on the directory.
            BrokerError: the own broker does not start.
            RegistryError: the database cannot be opened.
        """
        async with AsyncExitStack() as stack:
            try:
                await asyncio.to_thread(self._prepare, stack)
            except OSError as error:
                raise CsuSettingsError(f"--dir {self._directory} cannot be used: {error}") from error
            await self._run_parts(stack, on_ready)

    def _prepare(self, stack: AsyncExitStack) -> None:
        make_directory(self._directory, 0o700)
        lock = (self._directory / "serve.lock").open("ab")
        stack.callback(lock.close)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CsuSettingsError(f"another csu serve runs on {self._directory}; end it, or choose --dir") from error
        self._token = _load_or_make_token(token_file(self._directory))
        self._keys = KeyStore(self._directory / "keys")
        self._ports = _read_ports(self._directory / _PORTS)

    async def _run_parts(self, stack: AsyncExitStack, on_ready: Callable[[ServiceInfo], None]) -> None:
        registry = await stack.enter_async_context(_opened(Registry(self._directory / "registry.db")))
        for unit_id in self._keys.units():
            await registry.run(stored_units.add_unit, unit_id, self._clock.wall_us())
        self._broker = await self._start_broker(stack)
        commander = Commander(
            registry, self._keys.signing_key, self._settings.prefix, self._publish, self._feed, self._clock
        )
        uptime = broker_uptime.BrokerUptime(self._clock)
        watching = await self._watch(registry, uptime)
        inbound = Inbound(
            registry,
            commander,
            self._keys,
            self._feed,
            watching.fleet,
            watching.alarms,
            self._settings.prefix,
            self._clock,
        )
        ups = f"{self._settings.prefix}/+/up"
        bus_settings = await asyncio.to_thread(self._bus_settings)

        async def handle(message: Message) -> None:
            if message.topic == broker_uptime.TOPIC:
                if uptime.hear(message):
                    watching.fleet.broker_began()
            else:
                await inbound.handle(message)

        self._bus = Bus(
            bus_settings,
            (f"{ups}/event", f"{ups}/reply"),
            handle,
            commander.wake,
            self._clock,
            # All others: states, and what no unit should say, which is counted.
            retained_topics=(f"{ups}/#",),
            on_link=watching.fleet.link,
            wished_topics=(broker_uptime.TOPIC,) if self._broker is None else (),
        )
        verifier = Verifier(registry, commander, self._keys, self._feed, self._clock, watching.alarms.take)
        ingest = self._make_ingest(verifier)
        ingest_url = await self._start_ingest(stack, ingest)
        enrol = self._enroller(registry, watching)
        expel = self._expeller(registry, ingest, watching)
        parts = Parts(
            registry=registry,
            commander=commander,
            feed=self._feed,
            fleet=watching.fleet,
            alarms=watching.alarms,
            history=watching.history,
            summarise=watching.summarise,
            enrol=enrol,
            expel=expel,
            describe=lambda: self._describe(inbound),
            clock=self._clock,
            token=self._token,
            page=self._page_info(),
        )
        api_url = await self._start_api(stack, await asyncio.to_thread(Api, parts))
        self._info = self._make_info(api_url, ingest_url)
        await asyncio.to_thread(self._publish_info)
        stack.push_async_callback(asyncio.to_thread, remove_info, self._directory)
        await self._run_tasks((self._bus.run, commander.run, verifier.run, watching.run), on_ready)

    async def _watch(self, registry: Registry, uptime: broker_uptime.BrokerUptime) -> Watching:
        broker = self._broker
        watching = Watching(
            registry,
            self._feed,
            self._clock,
            await asyncio.to_thread(load_zone, self._settings.zone),
            self._directory,
            lambda: self._bus.is_connected,
            lambda: uptime.began_us if broker is None else broker.began_us,
        )
        await watching.load()
        if self._settings.notify is not None:
            await watching.notify(self._settings.notify)
        return watching

    async def _run_tasks(
        self, parts: "tuple[Callable[[], Awaitable[None]], ...]", on_ready: Callable[[ServiceInfo], None]
    ) -> None:
        """Run the endless parts until the stop; a part that fails ends all, and its error is raised."""
        tasks = {asyncio.ensure_future(part()) for part in parts}
        waiter = asyncio.create_task(self._stop.wait(), name="stop")
        on_ready(self._info)
        done, _ = await asyncio.wait({*tasks, waiter}, return_when=asyncio.FIRST_COMPLETED)
        self._feed.close()
        for task in {*tasks, waiter} - done:
            task.cancel()
        await asyncio.wait({*tasks, waiter})
        for task in done:
            task.result()

    def _publish(self, topic: str, payload: bytes, expiry_s: int) -> Awaitable[None]:
        return self._bus.publish(topic, payload, expiry_s)

    async def _start_broker(self, stack: AsyncExitStack) -> Broker | None:
        if self._settings.foreign_broker is not None:
            return None
        broker = Broker(
            self._directory / "broker",
            host=self._settings.host,
            port=self._settings.mqtt_port,
            prefix=self._settings.prefix,
            service_users=(SERVICE_USER,),
            clock=self._clock,
        )
        await asyncio.to_thread(broker.start)
        stack.push_async_callback(asyncio.to_thread, broker.stop)
        return broker

    def _bus_settings(self) -> BusSettings:
        foreign = self._settings.foreign_broker
        if foreign is not None:
            return BusSettings(
                foreign.url,
                SERVICE_USER,
                foreign.username,
                foreign.password,
                foreign.ca_file,
                foreign.certificate_file,
                foreign.key_file,
            )
        broker = self._own_broker()
        return BusSettings(broker.url, SERVICE_USER, SERVICE_USER, broker.password_of(SERVICE_USER))

    def _own_broker(self) -> Broker:
        if self._broker is None:
            raise ServiceUnreachableError("the broker is not the service's own")
        return self._broker

    def _make_ingest(self, verifier: Verifier) -> Ingest:
        async def upload_keys(unit_id: str) -> TrustedKeys | None:
            return self._keys.upload_keys(unit_id)

        async def evidence_keys(unit_id: str) -> TrustedKeys | None:
            return self._keys.known_keys(unit_id)

        return Ingest(self._directory, upload_keys, verifier.on_complete, self._clock, evidence_keys=evidence_keys)

    async def _start_ingest(self, stack: AsyncExitStack, ingest: Ingest) -> str:
        async def listen(port: int) -> str:
            server = IngestServer(ingest, self._settings.host, port)
            url = await server.start()
            stack.push_async_callback(server.stop)
            return url

        url = await self._listen("ingest", self._settings.ingest_port, listen)
        parts = urlsplit(url)
        public = f"http://{self._settings.reached_as}:{parts.port}{parts.path}"
        for address in (public, *self._settings.ingest_origins):
            ingest.add_origin(address)
        return public

    async def _start_api(self, stack: AsyncExitStack, api: Api) -> str:
        async def listen(port: int) -> str:
            server = ApiServer(api, LOOPBACK, port)
            url = await server.start()
            stack.push_async_callback(server.stop)
            return url

        return await self._listen("api", self._settings.api_port, listen)

    async def _listen(self, name: str, asked: int, listen: Callable[[int], Awaitable[str]]) -> str:
        """Listen on the asked port, else on that of the last start, else on any."""
        port = asked or self._ports.get(name, 0)
        try:
            return await listen(port)
        except OSError as error:
            remedy = f"end the program that has it, choose --{name}-port, or remove {self._directory / _PORTS}"
            problem = f"port {port} for the {name} cannot be used: {error.strerror}"
            # A negative number is getaddrinfo's: the name is not known.
            if error.errno is not None and (error.errno < 0 or error.errno == errno.EADDRNOTAVAIL):
                problem = f"--host {self._settings.host!r:.100}: {error.strerror}"
                remedy = "give an address of this machine, such as 127.0.0.1 or 0.0.0.0"
            raise CsuSettingsError(f"{problem}; {remedy}") from error

    def _make_info(self, api_url: str, ingest_url: str) -> ServiceInfo:
        foreign = self._settings.foreign_broker
        return ServiceInfo(
            pid=os.getpid(),
            started_us=self._clock.wall_us(),
            api_url=api_url,
            mqtt_url=foreign.url if foreign else f"mqtt://{self._settings.reached_as}:{self._own_broker().port}",
            ingest_url=ingest_url,
            topic_prefix=self._settings.prefix,
            own_broker=foreign is None,
        )

    def _publish_info(self) -> None:
        ports = {"api": _port_of(self._info.api_url), "ingest": _port_of(self._info.ingest_url)}
        write_file(self._directory / _PORTS, json.dumps(ports).encode())
        write_info(self._directory, self._info)

    def _describe(self, inbound: Inbound) -> dict[str, Any]:
        figures = {"broker_connected": self._bus.is_connected, "messages_of_strangers": inbound.strangers}
        return self._info.to_object() | figures

    def _page_info(self) -> PageInfo:
        return PageInfo(
            software_version=__version__,
            zone=self._settings.zone,
            tile_url=self._settings.tile_url,
            tile_attribution=self._settings.tile_attribution,
            operator=self._settings.operator,
        )

    def _enroller(self, registry: Registry, watching: Watching) -> Callable[[EnrolRequest], Awaitable[Enrolment]]:
        async def enrol(request: EnrolRequest) -> Enrolment:
            await asyncio.to_thread(self._keys.enrol, request.unit_id, request.jwk)
            password = None
            if self._broker is not None:
                password = await asyncio.to_thread(self._broker.add_user, request.unit_id)
            await registry.run(stored_units.add_unit, request.unit_id, self._clock.wall_us())
            watching.fleet.add(request.unit_id)
            return Enrolment(
                unit_id=request.unit_id,
                mqtt_url=self._info.mqtt_url,
                topic_prefix=self._info.topic_prefix,
                password=password,
                upload_url=self._info.ingest_url,
                command_keys=self._keys.public_jwks(),
            )

        return enrol

    def _expeller(
        self, registry: Registry, ingest: Ingest, watching: Watching
    ) -> Callable[[str], Awaitable[Expulsion]]:
        async def expel(unit_id: str) -> Expulsion:
            # The registry last: until then the command can be given again after a failure.
            await registry.run(stored_units.load_unit, unit_id)
            await asyncio.to_thread(self._keys.expel, unit_id, self._clock.wall_us())
            ingest.shut_out(unit_id)
            if self._broker is not None:
                await asyncio.to_thread(self._broker.remove_user, unit_id)
            changes = await registry.run(stored_said.forget_unit, unit_id, self._clock.wall_us())
            watching.fleet.remove(unit_id)
            watching.alarms.take(changes)
            return Expulsion(unit_id=unit_id, own_broker=self._broker is not None)

        return expel


@asynccontextmanager
async def _opened(registry: Registry) -> AsyncIterator[Registry]:
    await registry.open()
    try:
        yield registry
    finally:
        await registry.close()


def _port_of(url: str) -> int:
    return urlsplit(url).port or 0


def _load_or_make_token(path: Path) -> str:
    if not path.exists():
        write_file(path, secrets.token_urlsafe(32).encode(), 0o600)
    try:
        token = path.read_text(encoding="ascii").strip()
    except UnicodeDecodeError as error:
        raise CsuSettingsError(f"{path} is damaged: {error}; remove it, a new one is made") from error
    if len(token) < _MIN_TOKEN_CHARACTERS or not token.isprintable():
        raise CsuSettingsError(f"{path} holds no token; remove it, a new one is made")
    return token


def _read_ports(path: Path) -> dict[str, int]:
    """The ports of the last start; raises CsuSettingsError when they cannot be read: units were given them."""
    try:
        document = dict(json.loads(path.read_text(encoding="ascii")))
        ports = {name: int(document[name]) for name in ("api", "ingest") if name in document}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise CsuSettingsError(f"{path} is damaged: {error}; {_PORTS_REMEDY}") from error
    if not all(0 <= port <= 65_535 for port in ports.values()):
        raise CsuSettingsError(f"{path} is damaged: {ports} are no ports; {_PORTS_REMEDY}")
    return ports
