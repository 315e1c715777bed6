"""The process that runs a pipeline: started, ordered, listened to, and ended whatever state it is in.

It lives in a session of its own, so that all that it starts (GStreamer's plugin scanner) ends with it, and a
recorder that is killed leaves none behind: it ends when its control pipe does, and a camera's is ended by the kernel
with the thread that started it (PR_SET_PDEATHSIG, prctl(2)), stopped as it may be.
What it prints is read on, so that it never waits for a reader, and its last words are kept. What it started in a
session of its own may outlive it, and keep its pipes open: they are read to its end, not to theirs.
"""

import fcntl
import io
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.capture.gstreamer.framing import Record, RecordReader, RecordWriter
from edge_agent.capture.redact import redact
from edge_agent.errors import SourceUnavailableError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SYSTEM_PYTHON = Path("/usr/bin/python3")
CHILD = Path(__file__).with_name("pipeline_child")
_RUN = (
    "import runpy, sys; sys.path.append(sys.argv.pop(1)); "
    f"runpy.run_module({CHILD.name!r}, run_name='__main__', alter_sys=True)"
)
"""Runs `CHILD` by itself: of the folder that it lies in, whose name is the next word, nothing else is looked for."""
_PIPE_BYTES = 1 << 20
"""As much as a pipe may have without privileges (pipe(7), `pipe-max-size`)."""
_WORDS_BYTES = 2_000
_END_S = 3.0
_PRIVATE = ("EDGE_", "PYTHON", "NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
class Order:
    """What a child is to run.

    Attributes:
        description: as `gst-launch-1.0` takes it, its end open; its beginning too for an encoder.
        input_caps: of the pictures that an encoder is given; None for a camera.
        settle_s: for how long a pipeline that is not live may prepare its first picture.
        is_free: one that is not live is not played in real time, but as fast as it can.
    """

    description: str
    input_caps: str | None = None
    settle_s: float = 10.0
    is_free: bool = False


def interpreter() -> str:
    """The Python that has GStreamer's bindings: the system's, and where there is none the agent's own."""
    return str(SYSTEM_PYTHON) if SYSTEM_PYTHON.exists() else sys.executable


def _environment() -> dict[str, str]:
    """Ours without settings, what belongs to another Python, and the service manager's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_PRIVATE)}
    return kept | {"GST_DEBUG_NO_COLOR": "1"}


class Child:
    """One process; made by `running`."""

    def __init__(self, order: Order, command: Sequence[str]) -> None:
        """Start it.

        Raises:
            SourceUnavailableError: the interpreter cannot be started.
        """
        self._lock = threading.Lock()  # protects the process's end: no id is signalled after it was waited for
        self._words = b""
        """The last that it printed. One reference, swapped whole."""
        output, far_output = _pipe()
        printed, far_printed = os.pipe2(os.O_CLOEXEC)
        far_control, control = os.pipe2(os.O_CLOEXEC)
        ends = [far_output, far_control]
        self._feed_lock = threading.Lock()  # protects the descriptor, and keeps pictures whole
        self._feed: int | None = None
        if order.input_caps is not None:
            far_input, self._feed = _pipe()
            os.set_blocking(self._feed, False)
            ends.append(far_input)
        self._control = io.FileIO(control, "wb")
        os.set_blocking(control, False)
        try:
            self._process = subprocess.Popen(
                [*command, *map(str, ends)],
                stdin=subprocess.DEVNULL,
                stdout=far_printed,
                stderr=subprocess.STDOUT,
                pass_fds=ends,
                env=_environment(),
                start_new_session=True,
            )
        except OSError as error:
            os.close(output)
            os.close(printed)
            self.end_feed()
            self._control.close()
            raise SourceUnavailableError(
                f"{command[0]} cannot be started: {error.strerror}; install python3"
            ) from error
        finally:
            for end in (*ends, far_printed):
                os.close(end)
        self._stream = io.BufferedReader(_UntilItsEnd(output, self.pid), _PIPE_BYTES // 4)
        self.reader = RecordReader(self._stream)
        """What it says."""
        self._writer = RecordWriter()
        self._printed = _UntilItsEnd(printed, self.pid)
        self._listener = threading.Thread(target=self._listen, name="gstreamer-words", daemon=True)
        self._listener.start()
        self._write_control(json.dumps(asdict(order)).encode() + b"\n")

    @property
    def pid(self) -> int:
        """Its process id, which is also that of its session."""
        return self._process.pid

    @property
    def words(self) -> str:
        """The last lines that it printed, without credentials; empty when it printed nothing."""
        lines = [line.strip() for line in self._words.decode(errors="replace").splitlines()]
        said = " | ".join(line for line in lines[-5:] if line)
        return redact("".join(char if char.isprintable() else "?" for char in said))[-600:]

    def ask_key(self) -> None:
        """Ask the encoder for a key frame; any thread may call it."""
        self._write_control(b"key\n")

    def ask_end(self) -> None:
        """Ask for an end in order: what is being encoded still comes, then its end record."""
        self._write_control(b"stop\n")

    def give(self, record: Record, timeout_s: float) -> None:
        """Give an encoder a picture; waits when it is behind.

        Raises:
            OSError: it has ended, or (`TimeoutError`) takes nothing for so long.
        """
        left = [memoryview(part) for part in self._writer.frame(record) if part]
        with self._feed_lock:
            if self._feed is None:
                raise BrokenPipeError
            poll = select.poll()
            poll.register(self._feed, select.POLLOUT)
            while left:
                if not poll.poll(timeout_s * 1000):
                    raise TimeoutError
                written = os.writev(self._feed, left)
                while left and written >= len(left[0]):
                    written -= len(left.pop(0))
                if left:
                    left[0] = left[0][written:]

    def end_feed(self) -> None:
        """No more pictures: the encoder gives what it holds back, and ends."""
        with self._feed_lock:
            feed, self._feed = self._feed, None
            if feed is not None:
                os.close(feed)

    def kill(self) -> None:
        """End it at once, stopped or hung as it may be; any thread may call it, and any number of times."""
        with self._lock:
            if self._process.returncode is None:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Wait for its end, for a moment; then end it. Its exit code, negative for a signal (as `subprocess`).

        Its `words` are whole afterwards.
        """
        with suppress(subprocess.TimeoutExpired):
            self._wait_unreaped(_END_S)
        self.kill()
        with self._lock:
            code = self._process.wait()
        self._listener.join(_END_S)
        return code

    def close(self) -> None:
        """End it, and let go of everything."""
        self.kill()
        with self._lock:
            self._process.wait()
        self._close_streams()

    def _wait_unreaped(self, timeout_s: float) -> None:
        """Until it has ended; its id stays its own, so that its whole session can still be killed."""
        descriptor = os.pidfd_open(self._process.pid)
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            poll.poll(timeout_s * 1000)
        finally:
            os.close(descriptor)

    def _write_control(self, words: bytes) -> None:
        with suppress(OSError, ValueError):  # it has ended, which its records say
            self._control.write(words)

    def _listen(self) -> None:
        """Read what it prints for as long as it lives."""
        with self._printed as words:
            while said := words.read(65_536):
                self._words = (self._words + said)[-_WORDS_BYTES:]

    def _close_streams(self) -> None:
        self.end_feed()
        self._control.close()
        self._stream.close()


class _UntilItsEnd(io.RawIOBase):
    """What a process writes into a pipe, until it has ended: what it started may keep the pipe open for ever."""

    def __init__(self, descriptor: int, pid: int) -> None:
        """Takes `descriptor` over; the process must not have been waited for yet."""
        super().__init__()
        self._descriptor = descriptor
        self._ended = os.pidfd_open(pid)
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._poll.register(self._ended, select.POLLIN)

    def readable(self) -> bool:
        """As `io.RawIOBase`."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """As `io.RawIOBase`; waits."""
        if not self._holds(None) and not self._holds(0):  # looked at once more: its last words may lie there by now
            return 0
        return os.readv(self._descriptor, [buffer])

    def _holds(self, timeout_ms: int | None) -> bool:
        """Whether there is something to read, when there is or the process has ended."""
        return any(descriptor == self._descriptor for descriptor, _ in self._poll.poll(timeout_ms))

    def close(self) -> None:
        """As `io.RawIOBase`."""
        if not self.closed:
            os.close(self._descriptor)
            os.close(self._ended)
        super().close()


def _pipe() -> tuple[int, int]:
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    with suppress(OSError):  # the user's share of pipe memory is used up; a small one does
        fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return read_end, write_end


def start(order: Order, command: Sequence[str] | None = None) -> Child:
    """A child that carries out `order`; whoever calls this closes it. Tests name another `command`.

    Raises:
        SourceUnavailableError: the interpreter cannot be started.
    """
    return Child(order, command or (interpreter(), "-I", "-B", "-c", _RUN, str(CHILD.parent)))


@contextmanager
def running(order: Order, command: Sequence[str] | None = None) -> Iterator[Child]:
    """A child that carries out `order`, and is gone afterwards; as `start`.

    Raises:
        SourceUnavailableError: the interpreter cannot be started.
    """
    child = start(order, command)
    try:
        yield child
    finally:
        child.close()
