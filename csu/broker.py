"""Mosquitto as an own, supervised instance: own directory, port, users and access rules.

The directory holds everything (`BrokerPaths`); starting again on it continues where the last broker ended, on the
same port. The broker ends with the process that started it, also when that one is killed (`setpriv --pdeathsig`).
"""

import getpass
import logging
import os
import secrets
import signal
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from csu.backoff import delay_s
from csu.broker_files import BrokerPaths, access_text, config_text
from csu.broker_passwords import Passwords
from csu.children import allow_open_files, bound, end_leftover, wait_readable
from csu.errors import BrokerError
from csu.mosquitto_program import find_mosquitto, free_port, read_port
from csu.mqtt_probe import accepts
from edge_agent.clock import Clock, SystemClock
from edge_agent.contract.names import DEFAULT_PREFIX
from edge_agent.durable import make_directory, write_file

_log = logging.getLogger(__name__)

_PROBE_USER = "_probe"
_READY_TIMEOUT_S = 20.0
_END_TIMEOUT_S = 5.0
_POLL_S = 0.02
_CHECK_INTERVAL_S = 5.0
_MAX_LOG_BYTES = 5_000_000
_PORT_ATTEMPTS = 5
_FIRST_RESTART_S = 0.2
_MAX_RESTART_S = 30.0
_HEALTHY_US = 10_000_000


class _PortTakenError(BrokerError):
    """Another program took the port between choosing and listening."""


class Broker:
    """Own mosquitto: `start`, `stop`, users; restarted with capped, jittered delays when it dies.

    All calls block for as long as their work takes (start about 50 ms) and are safe from any thread.
    """

    def __init__(
        self,
        directory: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        prefix: str = DEFAULT_PREFIX,
        service_users: Sequence[str] = ("csu",),
        clock: Clock | None = None,
    ) -> None:
        """Prepare; nothing is started or written yet.

        Args:
            directory: everything of this broker lies in it; created when missing.
            host: address to listen on.
            port: 0 takes the port of the last start, or a free one that is then kept.
            prefix: of the topics that the access rules are about.
            service_users: names that may do everything under the prefix; every client needs a user of its own,
                since the user name becomes the client id.
            clock: of this machine unless said otherwise.
        """
        self._paths = BrokerPaths(directory.absolute())
        self._host = host
        self._asked_port = port
        self._began_us: int | None = None
        self._port = 0
        self._prefix = prefix
        self._services = tuple(service_users)
        self._clock: Clock = clock or SystemClock()
        self._probe_password = secrets.token_urlsafe(18)
        self._passwords = Passwords(self._paths)
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._wake: tuple[int, int] | None = None
        self._said_before_bytes = 0

    @property
    def host(self) -> str:
        """Address that it listens on."""
        return self._host

    @property
    def port(self) -> int:
        """Port that it listens on; 0 before the first start."""
        return self._port

    @property
    def url(self) -> str:
        """Such as `mqtt://127.0.0.1:43127`."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"mqtt://{host}:{self._port}"

    @property
    def pid(self) -> int:
        """Process id of mosquitto; raises BrokerError when it is not running."""
        process = self._process
        if process is None or process.poll() is not None:
            raise BrokerError("mosquitto is not running")
        return process.pid

    @property
    def began_us(self) -> int | None:
        """When mosquitto was started last, monotonic clock; None before the first time."""
        return self._began_us

    @property
    def log_file(self) -> Path:
        """Where mosquitto writes its log."""
        return self._paths.log

    def password_of(self, service_user: str) -> str:
        """Password of a service user, made at the first start.

        Raises:
            BrokerError: no such service user, or not started yet.
        """
        return self._passwords.of_service(service_user)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start mosquitto and wait until it accepts clients.

        Raises:
            BrokerError: mosquitto is missing, its port is taken, or it does not come up.
        """
        if self._thread is not None:
            raise BrokerError("the broker is started already")
        program = find_mosquitto()
        try:
            self._prepare()
        except OSError as error:
            raise BrokerError(f"the broker's directory {self._paths.directory} cannot be used: {error}") from error
        self._stopping.clear()
        self._wake = os.pipe2(os.O_CLOEXEC)
        ready: Future[None] = Future()
        # One thread starts and watches: the parent-death signal is bound to the thread that started the child.
        self._thread = threading.Thread(target=self._supervise, args=(program, ready), name="broker", daemon=True)
        self._thread.start()
        try:
            ready.result()
        except BrokerError:
            self._end_supervision()
            raise

    def stop(self) -> None:
        """End mosquitto, its store saved; without effect when it is not started."""
        self._end_supervision()

    def kill(self) -> None:
        """SIGKILL mosquitto and leave it ended until the next `start` (for fault tests)."""
        if self._thread is None:
            return
        self._stopping.set()
        process = self._process
        if process is not None and process.poll() is None:
            process.kill()
        self._end_supervision()

    def add_user(self, name: str, password: str | None = None) -> str:
        """Let a unit in, from now on; an existing one gets the new password.

        Returns:
            Its password, random unless given.

        Raises:
            BrokerError: a reserved name, or a running broker does not take it.
        """
        if name in self._services or name == _PROBE_USER or ":" in name or "\n" in name:
            raise BrokerError(f"{name!r} is a reserved name; choose another unit id")
        chosen = password or secrets.token_urlsafe(24)
        self._passwords.set({name: chosen})
        self._reload(name, chosen)
        return chosen

    def remove_user(self, name: str) -> None:
        """Shut a unit out; its connection ends when the broker re-reads its files, at once.

        Raises:
            BrokerError: a reserved name.
        """
        if name in self._services or name == _PROBE_USER:
            raise BrokerError(f"{name!r} is a reserved name, not a unit's")
        self._passwords.remove(name)
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGHUP)

    def _prepare(self) -> None:
        make_directory(self._paths.directory, 0o700)
        end_leftover(self._paths.pid, self._paths.config)
        service_passwords = {user: self._passwords.make_of_service(user) for user in self._services}
        self._passwords.set({_PROBE_USER: self._probe_password} | service_passwords)
        write_file(self._paths.access, access_text(self._prefix, self._services).encode(), 0o600)

    def _reload(self, name: str, password: str) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGHUP)
        # The probe leaves at once; a unit that is connected with this name would be put out by it, and its old
        # password no longer holds anyway.
        deadline_us = self._clock.monotonic_us() + round(_READY_TIMEOUT_S * 1e6)
        while not accepts(self._host, self._port, name, password):
            if self._clock.monotonic_us() > deadline_us:
                raise BrokerError(f"mosquitto does not take the new user {name!r}; see {self._paths.log}")
            self._clock.sleep(_POLL_S)

    def _supervise(self, program: Path, ready: "Future[None]") -> None:
        try:
            self._first_start(program)
        except BrokerError as error:
            ready.set_exception(error)
            return
        except OSError as error:
            reason = f"mosquitto cannot be started on {self._host}: {error}"
            ready.set_exception(BrokerError(f"{reason}; --host takes an address of this machine, such as 0.0.0.0"))
            return
        except Exception as error:  # noqa: BLE001 -- whoever waits for `ready` has to hear of it
            reason = f"mosquitto cannot be started on {self._host}: {type(error).__name__}: {error}"
            ready.set_exception(BrokerError(reason))
            return
        ready.set_result(None)
        failures = 0
        while not self._stopping.is_set():
            started_us = self._clock.monotonic_us()
            try:
                self._watch()
            except OSError as error:
                _log.warning("mosquitto is watched anew: %s", error)
                self._clock.wait(self._stopping, _CHECK_INTERVAL_S)
                continue
            if self._stopping.is_set():
                break
            failures = 1 if self._clock.monotonic_us() - started_us > _HEALTHY_US else failures + 1
            _log.warning("mosquitto ended by itself; it is started again")
            self._clock.wait(self._stopping, delay_s(failures, _FIRST_RESTART_S, _MAX_RESTART_S))
            if not self._stopping.is_set():
                self._restart(program)
        self._end_process()

    def _first_start(self, program: Path) -> None:
        kept = self._asked_port or read_port(self._paths.port)
        for attempt in range(_PORT_ATTEMPTS):
            self._port = kept or free_port(self._host)
            try:
                self._spawn(program)
            except _PortTakenError as error:
                if kept or attempt == _PORT_ATTEMPTS - 1:
                    raise BrokerError(
                        f"port {self._port} of {self._host} is taken by another program; end it, or choose another"
                        f" port (the kept one is in {self._paths.port}): {error}"
                    ) from error
            else:
                write_file(self._paths.port, f"{self._port}\n".encode())
                return

    def _restart(self, program: Path) -> None:
        try:
            self._spawn(program)
        except Exception:  # noqa: BLE001 -- the thread that starts it again must not end
            _log.exception("mosquitto does not start; trying again later")

    def _spawn(self, program: Path) -> None:
        text = config_text(self._paths, self._host, self._port, getpass.getuser())
        write_file(self._paths.config, text.encode(), 0o600)
        self._said_before_bytes = _size_bytes(self._paths.log)
        self._began_us = self._clock.monotonic_us()
        self._process = subprocess.Popen(
            bound([program, "-c", self._paths.config]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            with suppress(ProcessLookupError):  # it ended at once: `_wait_ready` tells why
                allow_open_files(self._process.pid)
            self._wait_ready(self._process)
        except BrokerError:
            self._end_process()
            raise

    def _wait_ready(self, process: "subprocess.Popen[bytes]") -> None:
        deadline_us = self._clock.monotonic_us() + round(_READY_TIMEOUT_S * 1e6)
        while not accepts(self._host, self._port, _PROBE_USER, self._probe_password):
            if process.poll() is not None:
                words = _last_words(self._paths.log, self._said_before_bytes)
                if "Address already in use" in words:
                    raise _PortTakenError(words)
                remedy = f"; if its store is damaged, move {self._paths.store} away" * self._paths.store.exists()
                raise BrokerError(f"mosquitto ended at once (code {process.returncode}): {words}{remedy}")
            if self._clock.monotonic_us() > deadline_us or self._stopping.is_set():
                raise BrokerError(f"mosquitto does not accept clients; see {self._paths.log}")
            self._clock.sleep(_POLL_S)

    def _watch(self) -> None:
        """Return when the process ended or the end is asked for; keep the log short meanwhile."""
        process = self._process
        if process is None or process.poll() is not None or self._wake is None:
            return
        ended = os.pidfd_open(process.pid)
        try:
            while not wait_readable([ended, self._wake[0]], _CHECK_INTERVAL_S):
                self._rotate_log(process)
        finally:
            os.close(ended)

    def _rotate_log(self, process: "subprocess.Popen[bytes]") -> None:
        with suppress(FileNotFoundError):
            if self._paths.log.stat().st_size > _MAX_LOG_BYTES:
                self._paths.log.replace(self._paths.log.with_suffix(".log.1"))
                process.send_signal(signal.SIGHUP)

    def _end_process(self) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._process = None

    def _end_supervision(self) -> None:
        thread, wake = self._thread, self._wake
        if thread is None or wake is None:
            return
        self._stopping.set()
        os.write(wake[1], b"x")
        thread.join()
        self._thread = None
        self._wake = None
        for descriptor in wake:
            os.close(descriptor)


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _last_words(log: Path, skip_bytes: int) -> str:
    """What it said last, after what earlier ones had said."""
    try:
        words = log.read_bytes()[skip_bytes:].decode("utf-8", "replace")
    except FileNotFoundError:
        words = ""
    return " / ".join(words.splitlines()[-3:]) or "it said nothing"
