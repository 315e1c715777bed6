"""`scripts/demo`: a broker, the centre and one unit on this machine; a clip is asked for over MQTT and arrives.

Everything lies in one directory and every process that was started here is ended here. A second run on the same
directory goes on with what is there: footage, keys and earlier clips.
"""

import argparse
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from csu.children import bound
from csu.cli import main as csu_main
from csu.cli.common import printable
from csu.cli.enrol import settings_text, write_unit_files
from csu.client import Client
from csu.demo_footage import Interval, complaint_of, find_interval
from csu.errors import CsuError, CsuSettingsError, ServiceUnreachableError
from edge_agent.clock import Clock, SystemClock
from edge_agent.contract.errors import ContractError
from edge_agent.contract.times import format_utc
from edge_agent.durable import make_directory, write_file

UNIT_ID = "bench-01"
CAMERA = "main"

_MARK = "demo.json"
_READY_TIMEOUT_S = 60.0
_FOOTAGE_TIMEOUT_S = 120.0
_POLL_S = 0.2
_ASK_AGAIN_S = 2.0
_END_TIMEOUT_S = 10.0
_SOURCES = frozenset({"file", "rtsp", "rtsps", "test"})
_PATIENCE_S = 8.0
"""So long may a camera go on without a picture after the unit, which waits for 10 s, has told of it."""


class DemoError(CsuError):
    """The demonstration cannot go on; the message says why and where to look."""


class Demo:
    """One demonstration on one directory."""

    def __init__(self, directory: Path, source: str, seconds: int, clock: Clock) -> None:
        self._directory = directory.absolute()
        self._source = source
        self._seconds = seconds
        self._clock = clock
        self._start_us = clock.monotonic_us()
        self._client = Client(self._directory / "csu", clock)
        self._children: list[tuple[str, subprocess.Popen[bytes], Path]] = []
        self._reason = ""
        """What the unit answered last, when it had no footage."""
        self._lock: int | None = None
        self._unit_start_us = 0
        self._complaint = ""
        self._complaint_us = 0
        """Since when the unit complains of its camera, on the monotonic clock."""
        self._asked: Interval = 0, 0
        """What the clip is asked for."""

    @property
    def _unit_file(self) -> Path:
        return self._directory / "unit" / "unit.toml"

    def say(self, text: str) -> None:
        """A step, with the time since the start."""
        print(f"{(self._clock.monotonic_us() - self._start_us) / 1e6:6.1f} s  {text}", flush=True)

    def run_cycle(self) -> Path:
        """Start everything, fetch one clip; the folder that it lies in.

        Raises:
            DemoError: a part did not come up or the clip was not verified.
            CsuError: as the centre's client raises.
        """
        self._prepare()
        self.say("starting the centre: broker, ingest, registry")
        self._start("centre", [sys.executable, "-m", "csu", "serve", "--dir", self._directory / "csu"])
        self._wait("the centre", self._is_centre_ready, _READY_TIMEOUT_S)
        self._enrol()
        self.say(f"starting the unit {UNIT_ID}, camera {self._source}")
        self._start("unit", [sys.executable, "-m", "edge_agent", "run", "--config", self._unit_file])
        self._unit_start_us = self._clock.wall_us()
        self._wait("the unit to come online", self._is_unit_online, _READY_TIMEOUT_S)
        self.say(f"{UNIT_ID} is online; waiting for {self._seconds} s of footage")
        self._wait("footage", self._has_footage, _FOOTAGE_TIMEOUT_S)
        return self._fetch_clip()

    def wait_for_end(self) -> None:
        """Block until a child ends by itself.

        Raises:
            DemoError: one did.
        """
        while True:
            self._check_children()
            self._clock.sleep(_POLL_S)

    def stop(self) -> None:
        """End what was started, the last first; by force what does not end."""
        for name, process, _ in reversed(self._children):
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(_END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.say(f"the {name} does not end; killing it")
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its own group: what it left behind
            process.wait()
        self._children.clear()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _prepare(self) -> None:
        if self._directory.exists() and any(self._directory.iterdir()) and not (self._directory / _MARK).exists():
            raise CsuSettingsError(f"--dir {self._directory} holds other things; name an empty or a new directory")
        make_directory(self._directory)
        self._take_lock()
        write_file(self._directory / _MARK, b'{"schema":"demo/1"}\n')
        make_directory(self._directory / "unit")
        self._forget_ports()
        self.say(f"working in {self._directory}")

    def _take_lock(self) -> None:
        """On the directory itself, until `stop`: another demonstration must not be disturbed by this one's start."""
        self._lock = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if not _is_locked_by_us(self._lock):
            raise DemoError(f"another demonstration runs in {self._directory}; end it, or name another --dir")

    def _forget_ports(self) -> None:
        """The unit's settings are written anew each time, so the ports need not be those of the last run."""
        centre = self._directory / "csu"
        if not centre.is_dir():
            return
        deadline_us = self._clock.monotonic_us() + round(_END_TIMEOUT_S * 1e6)
        with (centre / "serve.lock").open("ab") as lock:
            # That of a demonstration which was killed a moment ago is just ending.
            while not _is_locked_by_us(lock.fileno()):
                if self._clock.monotonic_us() > deadline_us:
                    raise DemoError(f"a csu serve runs on {centre}; end it, or name another --dir")
                self._clock.sleep(_POLL_S)
            for kept in ("ports.json", "broker/port"):
                (centre / kept).unlink(missing_ok=True)

    def _start(self, name: str, command: Sequence[str | Path]) -> None:
        log = self._directory / f"{name}.log"
        # Settings of the caller's own unit must not leak into this one.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("EDGE_")}
        with log.open("wb") as output:
            process = subprocess.Popen(
                bound(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=environment,
            )
        self._children.append((name, process, log))

    def _wait(self, what: str, probe: Callable[[], bool], timeout_s: float) -> None:
        deadline_us = self._clock.monotonic_us() + round(timeout_s * 1e6)
        while not probe():
            self._check_children()
            if self._clock.monotonic_us() > deadline_us:
                logs = ", ".join(str(log) for _, _, log in self._children)
                reason = f" ({self._reason})" if self._reason else ""
                raise DemoError(f"waited {timeout_s:.0f} s for {what} in vain{reason}; look into {logs}")
            self._clock.sleep(_POLL_S)

    def _check_children(self) -> None:
        for name, process, log in self._children:
            if process.poll() is not None:
                raise DemoError(f"the {name} ended with code {process.returncode}: {_last_line(log)} (all in {log})")

    def _is_centre_ready(self) -> bool:
        try:
            return self._client.info().pid == self._children[0][1].pid and bool(self._client.units() or True)
        except ServiceUnreachableError:
            return False

    def _enrol(self) -> None:
        write_file(self._unit_file, self._base_settings().encode())
        command = [sys.executable, "-m", "edge_agent", "identity", "--config", str(self._unit_file)]
        answer = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        if answer.returncode != 0:
            raise DemoError(f"the unit has no identity: {answer.stderr.strip()}")
        enrolment = self._client.enrol(UNIT_ID, json.loads(answer.stdout))
        write_unit_files(self._unit_file.parent, enrolment)
        settings = self._base_settings() + "\n" + settings_text(enrolment)
        write_file(self._unit_file, settings.encode())
        self.say(f"{UNIT_ID} is enrolled with its own key; its settings are {self._unit_file}")

    def _base_settings(self) -> str:
        # TOML basic strings and JSON strings agree on what a source may hold.
        lines = ["[unit]", f'id = "{UNIT_ID}"', 'data_dir = "data"', ""]
        lines += ["[[camera]]", f'name = "{CAMERA}"', f"source = {json.dumps(self._source)}"]
        if self._source == "test:":
            lines += ["width = 1280", "height = 720", "fps = 25", "bitrate_kbps = 4000"]
        lines += ["# A demonstration leaves the disk alone; a unit takes what it gives.", "max_bytes = 2000000000"]
        return "\n".join([*lines, ""])

    def _is_unit_online(self) -> bool:
        return any(unit.unit_id == UNIT_ID and unit.is_online for unit in self._client.units())

    def _has_footage(self) -> bool:
        """Ask the unit over MQTT what it holds since its start; end early when its camera gives nothing."""
        span = self._unit_start_us, self._clock.wall_us()
        try:
            found, self._reason = find_interval(self._client, UNIT_ID, CAMERA, span, self._seconds)
            if found is not None:
                self._asked = found
                return True
            self._heed_camera()
        except ServiceUnreachableError:
            return False
        self._clock.sleep(_ASK_AGAIN_S)
        return False

    def _heed_camera(self) -> None:
        """Say what the unit says of its camera, and give up when that lasts.

        Raises:
            DemoError: it does.
        """
        now_us = self._clock.monotonic_us()
        unit = next(one for one in self._client.units() if one.unit_id == UNIT_ID)
        complaint = complaint_of(unit, CAMERA, self._unit_start_us)
        if complaint is None:
            self._complaint = ""
        elif not self._complaint:
            self._complaint, self._complaint_us = complaint, now_us
            self.say(f"{UNIT_ID} says: {printable(complaint)}")
        elif now_us - self._complaint_us > _PATIENCE_S * 1e6:
            log = self._directory / "unit.log"
            raise DemoError(f"no picture comes of {self._source}: {printable(complaint)} (all in {log})")

    def _fetch_clip(self) -> Path:
        start_us, end_us = self._asked
        folder = self._directory / "clips" / format_utc(end_us).replace(":", "").replace("-", "")[:15]
        words = ["clip", UNIT_ID, "--camera", CAMERA, "--from", format_utc(start_us), "--to", format_utc(end_us)]
        words += ["--reference", "DEMO-1", "--purpose", "demonstration", "-o", str(folder)]
        self.say("asking for a clip over MQTT, as an operator would:")
        print(f"          $ {self._shown(words)}", flush=True)
        code = csu_main([*words, "--dir", str(self._directory / "csu"), "--operator", "demo"])
        if code != 0:
            raise DemoError(f"csu clip ended with code {code}; look into {self._directory}/unit.log and centre.log")
        self.say(f"the clip lies in {folder}")
        return folder

    def _shown(self, words: Sequence[str]) -> str:
        return " ".join(["csu", *(f"'{word}'" if " " in word else word for word in words)])

    def commands_to_try(self, folder: Path) -> str:
        """What a person may type now, in another terminal."""
        programs = Path(sys.executable).parent
        csu, agent = programs / "csu", programs / "edge-agent"
        return "\n".join(
            (
                "",
                "It keeps running until Ctrl-C. In another terminal:",
                f"  export CSU_DIR={self._directory / 'csu'}",
                f"  {csu} units",
                f"  {csu} watch",
                f"  {csu} check {UNIT_ID}",
                f"  {csu} coverage {UNIT_ID} {CAMERA} --from -5m",
                f"  {csu} clip {UNIT_ID} --camera {CAMERA} --last 20s --reference R --purpose P -o my-clip",
                f"  {csu} verify {folder}",
                f"  {agent} status --config {self._unit_file}",
                "",
            )
        )


def _is_locked_by_us(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _check_source(text: str) -> str:
    """A file's path made absolute, since the unit runs elsewhere."""
    kind, colon, rest = text.partition(":")
    if not colon or kind not in _SOURCES:
        raise CsuSettingsError(f"--source {text}: expected file:street.mp4, rtsp://…, or test:")
    if kind != "file":
        return text
    path = Path(rest).expanduser().absolute()
    if not path.is_file():
        raise CsuSettingsError(f"--source {text}: no such file")
    return f"file:{path}"


def _seconds(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 600:
        raise argparse.ArgumentTypeError(f"{text!r}: expected 1 to 600 seconds")
    return int(text)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--dir", type=Path, default=Path("demo-data"), help="working directory (default: %(default)s)")
    add("--source", default="test:", help="the camera: test:, file:street.mp4, rtsp://… (default: %(default)s)")
    add("--seconds", type=_seconds, default=10, metavar="N", help="length of the clip (default: %(default)s)")
    add("--once", action="store_true", help="fetch one clip, then end")
    return parser.parse_args(argv)


class _Interruption:
    """SIGTERM and Ctrl-C end the demonstration, whatever it is about to do."""

    def __init__(self) -> None:
        self.number: int | None = None
        """Which came; `csu clip` makes a code of its own of one that comes during it."""

    def arm(self) -> None:
        """From now on; a Ctrl-C that whoever started us wants ignored stays so."""
        signal.signal(signal.SIGTERM, self._interrupt)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._interrupt)

    def disarm(self) -> None:
        """The end has begun and goes on to its own end."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)

    def _interrupt(self, number: int, _frame: object) -> None:
        self.number = number
        raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None, clock: Clock | None = None) -> int:
    """Run the demonstration.

    Returns:
        0 when the clip was verified, also when a signal ended what runs on after it; 1 when it was not, 2 for usage
        or settings, 128 and the signal's number when one came before it was.
    """
    arguments = _parse(argv)
    interruption = _Interruption()
    interruption.arm()
    code_if_ended = None
    try:
        demo = Demo(arguments.dir, _check_source(arguments.source), arguments.seconds, clock or SystemClock())
        with ExitStack() as stack:
            stack.callback(demo.stop)
            stack.callback(interruption.disarm)
            folder = demo.run_cycle()
            code_if_ended = 0
            if not arguments.once:
                print(demo.commands_to_try(folder), flush=True)
                demo.wait_for_end()
            demo.say("ending the unit and the centre")
    except (CsuError, ContractError, OSError, KeyboardInterrupt) as error:
        if interruption.number is None:
            print(f"demo: {error}", file=sys.stderr)
            return 2 if isinstance(error, CsuSettingsError) else 1
        print("\nended", flush=True)
        return 128 + interruption.number if code_if_ended is None else code_if_ended
    return 0


if __name__ == "__main__":
    sys.exit(main())
