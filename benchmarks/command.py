"""From a signed command to its reply, against a bare paho echo through the same broker.

`clip.request` is answered `accepted` when the command is stored, the clip planned, the plan durable and its segments
pinned; each is cancelled again before the next. The uploads' address refuses connections, so that no upload is
measured along.
"""

import json
import socket
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from benchmarks.footage import minute_of_footage
from benchmarks.measure import median, percentile
from benchmarks.ping import Pinger
from benchmarks.row import Row
from benchmarks.unit import UNIT_ID, LinkSide, Unit, prepare_link, write_unit
from benchmarks.workspace import Workspace, end, python, wait_for
from csu.broker import Broker
from edge_agent.clock import SystemClock
from edge_agent.contract.commands import CommandClaims
from edge_agent.contract.names import DEFAULT_PREFIX, Topics
from edge_agent.contract.times import format_utc

_BAR_MS = 20.0
_TIMES = 300
_QUICK_TIMES = 20
_WARM_UP = 5
_FOOTAGE_US = 8_000_000
_ECHO_USER = "echo-01"
_LIFETIME_S = 600
_TOPICS = Topics(DEFAULT_PREFIX, UNIT_ID)
_ECHO_TOPICS = Topics(DEFAULT_PREFIX, _ECHO_USER)


def run(workspace: Workspace) -> Iterator[Row]:
    """p50 and p99 of two commands; commands and echoes take turns."""
    directory = workspace.directory("command")
    unit_side = workspace.directory("command/unit")
    with Broker(directory / "broker") as broker, socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        side = prepare_link(unit_side, broker, f"http://127.0.0.1:{refusing.getsockname()[1]}/files/")
        unit = write_unit(unit_side, f"file:{minute_of_footage(workspace)}", link=side.tables)
        recorder = unit.record(workspace, "command-recorder")
        interval = _recorded(unit)
        link = workspace.start(python("-m", "edge_agent", "link", "--config", unit.config), "command-link")
        echo = _start_echo(workspace, directory, broker)
        topics = [_TOPICS.up("reply"), _TOPICS.up("status"), _ECHO_TOPICS.up("reply")]
        with Pinger(broker.host, broker.port, "csu", broker.password_of("csu"), topics) as pinger:
            asker = Asker(pinger, side, interval)
            asker.wait_until_all_answer()
            measured = _measure(asker, _QUICK_TIMES if workspace.quick else _TIMES)
        for process in (link, recorder, echo):
            end(process)
    yield from _rows(measured)


def _recorded(unit: Unit) -> tuple[int, int]:
    """An interval of which everything is recorded."""

    def probe() -> tuple[int, int] | None:
        state = unit.state()
        if state is None or state.oldest_us is None or state.newest_us is None:
            return None
        start_us, end_us = state.oldest_us + 1_000_000, state.oldest_us + _FOOTAGE_US
        return (start_us, end_us) if state.newest_us > end_us + 2_000_000 else None

    return wait_for(probe, "footage to ask for")


def _start_echo(workspace: Workspace, directory: Path, broker: Broker) -> Popen[bytes]:
    password_file = directory / "echo-password"
    password_file.write_text(broker.add_user(_ECHO_USER), encoding="ascii")
    password_file.chmod(0o600)
    topics = (_ECHO_TOPICS.down("command"), _ECHO_TOPICS.up("reply"))
    module = ("-m", "benchmarks.echo_process", broker.host, str(broker.port))
    return workspace.start(python(*module, _ECHO_USER, password_file, *topics), "command-echo")


@dataclass(frozen=True, slots=True)
class Asker:
    """Gives commands and times their answers.

    Attributes:
        pinger: MQTT.
        side: whose key signs.
        interval: UTC of footage to ask for, µs.
    """

    pinger: Pinger
    side: LinkSide
    interval: tuple[int, int]

    def wait_until_all_answer(self) -> None:
        """A broker keeps nothing for a client that it never saw."""
        self.pinger.wait_until(_is_online)
        wait_for(self._try_echo, "the echo")

    def _try_echo(self) -> float | None:
        return self.pinger.try_ms(_ECHO_TOPICS.down("command"), b"0", lambda body: body == b"0", timeout_s=1.0)

    def echo_ms(self) -> float:
        """A payload as long as a signed command, there and back."""
        _, body = self._signed("clip.list", {})
        return self.pinger.ask_ms(_ECHO_TOPICS.down("command"), body, lambda answer: answer == body)

    def list_clips_ms(self) -> float:
        """`clip.list` to `done`."""
        return self.ask_ms("clip.list", {"limit": 1}, "done")[1]

    def request_clip_ms(self) -> float:
        """`clip.request` to `accepted`; cancelled afterwards."""
        start_us, end_us = self.interval
        params = {"camera": "main", "from": format_utc(start_us), "to": format_utc(end_us)}
        clip_id, elapsed_ms = self.ask_ms("clip.request", params, "accepted")
        self.ask_ms("clip.cancel", {"clip_id": clip_id}, "done")
        return elapsed_ms

    def ask_ms(self, command: str, params: Mapping[str, object], state: str) -> tuple[str, float]:
        command_id, body = self._signed(command, params)

        def is_answer(answer: bytes) -> bool:
            reply = json.loads(answer) if answer[:1] == b"{" else {}
            if reply.get("command_id") != command_id:
                return False
            if reply["state"] in {"rejected", "failed"}:
                raise RuntimeError(f"{command}: {reply}")
            return bool(reply["state"] == state)

        return command_id, self.pinger.ask_ms(_TOPICS.down("command"), body, is_answer)

    def _signed(self, command: str, params: Mapping[str, object]) -> tuple[str, bytes]:
        issued_s = SystemClock().wall_us() // 1_000_000
        claims = CommandClaims(
            iss="bench",
            aud=UNIT_ID,
            jti=str(uuid.uuid4()),
            iat=issued_s,
            exp=issued_s + _LIFETIME_S,
            sub="bench",
            role="investigator",
            cmd=command,
            params=dict(params),
            reference="bench",
            purpose="bench",
        )
        return claims.jti, self.side.key.sign("command", claims.to_object()).encode("ascii")


def _is_online(body: bytes) -> bool:
    return bool(json.loads(body).get("state") == "online")


def _measure(asker: Asker, times: int) -> dict[str, list[float]]:
    measured: dict[str, list[float]] = {"echo": [], "clip.list": [], "clip.request": []}
    for number in range(times + _WARM_UP):
        turn = {
            "echo": asker.echo_ms(),
            "clip.list": asker.list_clips_ms(),
            "clip.request": asker.request_clip_ms(),
        }
        if number >= _WARM_UP:
            for name, elapsed_ms in turn.items():
                measured[name].append(elapsed_ms)
    return measured


def _rows(measured: dict[str, list[float]]) -> Iterator[Row]:
    echo = measured["echo"]
    for name, state in (("clip.request", "accepted"), ("clip.list", "done")):
        values = measured[name]
        yield Row(
            name=f"signed {name} to `{state}`, p99",
            ours=percentile(values, 99),
            unit="ms",
            peer=percentile(echo, 99),
            peer_name="bare paho echo, QoS 1, the same broker, p99",
            judge="difference",
            bar=_BAR_MS,
            note=f"{len(values)} turns; p50 {median(values):.1f} ms, echo's p50 {median(echo):.1f} ms",
        )
