"""A whole unit at the far end of a private line, and a broker with TLS at the near one: nobody asks it anything."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from benchmarks.private_line import CENTRE, PrivateLine, make_line
from csu.mosquitto_program import find_mosquitto
from edge_agent.clock import SystemClock
from edge_agent.contract.jws import SigningKey
from tests.support.authority import Authority, make_authority
from tests.support.link import write_settings
from tests.support.polling import wait_until
from tests.support.processes import Processes

UNIT_ID = "idle-01"
PORT = 8883
_START_TIMEOUT_S = 90.0
_SCENE = "testsrc2=s=704x576:r=12.5,noise=alls=4:allf=t"
_ENCODER = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-bf", "0", "-g", "12", "-b:v", "600k")


@dataclass(frozen=True, slots=True)
class IdleUnit:
    """The running unit and what is kept of its line.

    Attributes:
        capture: every packet (pcap).
        keys: the unit's TLS keys, so that the capture can be read (SSLKEYLOGFILE).
        data_dir: of the unit.
        settings_file: of the unit.
        process: `edge-agent run`.
    """

    capture: Path
    keys: Path
    data_dir: Path
    settings_file: Path
    process: "Popen[bytes]"


def start_idle_unit(directory: Path, processes: Processes, keepalive_s: int = 45) -> IdleUnit:
    """A real unit, one camera that plays a file, on a line of its own; connected to its broker when it returns."""
    authority = make_authority(directory / "authority")
    line = make_line(processes)
    capture, keys = directory / "line.pcap", directory / "tls-keys.txt"
    _start_broker(directory, processes, line, authority)
    line.capture(processes, capture)
    settings_file = _write_settings(directory, authority, keepalive_s)
    command = line.at_unit(Path(".venv/bin/python").absolute(), "-m", "edge_agent", "run", "--config", settings_file)
    with (directory / "unit.log").open("wb") as log:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("EDGE_")}
        process = processes.start(command, env=environment | {"SSLKEYLOGFILE": str(keys)}, stdout=log, stderr=log)
    wait_until(
        lambda: "as idle-01" in _text(directory / "broker.log"), what="the unit's session", timeout_s=_START_TIMEOUT_S
    )
    return IdleUnit(capture, keys, directory / "data", settings_file, process)


def _start_broker(directory: Path, processes: Processes, line: PrivateLine, authority: Authority) -> None:
    certificate_file, key_file = authority.issue("broker", CENTRE)
    config = directory / "mosquitto.conf"
    config.write_text(
        f"listener {PORT} {CENTRE}\ncafile {authority.file}\ncertfile {certificate_file}\nkeyfile {key_file}\n"
        f"require_certificate true\nallow_anonymous true\nuser {os.environ.get('USER', 'root')}\n"
        f"log_dest file {directory / 'broker.log'}\n",
        encoding="utf-8",
    )
    processes.start(line.at_centre(find_mosquitto(), "-c", config), stderr=subprocess.DEVNULL)
    wait_until(lambda: "running" in _text(directory / "broker.log"), what="the broker")


def _write_settings(directory: Path, authority: Authority, keepalive_s: int) -> Path:
    video = directory / "street.mp4"
    source = ["-f", "lavfi", "-i", _SCENE, "-t", "30"]
    subprocess.run(["ffmpeg", "-v", "error", *source, *_ENCODER, video], check=True, stdin=subprocess.DEVNULL)
    certificate_file, key_file = authority.issue(UNIT_ID)
    keys_file = directory / "command-keys.json"
    keys_file.write_text(json.dumps({"keys": [SigningKey.generate().public_jwk()]}), encoding="utf-8")
    mqtt = {"url": f"mqtts://{CENTRE}:{PORT}", "keepalive_s": keepalive_s, "ca_file": authority.file}
    settings_file = directory / "unit.toml"
    write_settings(
        settings_file,
        {
            "unit": {"id": UNIT_ID, "data_dir": directory / "data"},
            "camera": {
                "name": "main",
                "source": f"file:{video}",
                "min_free_bytes": 1_000_000,
                "max_bytes": 200_000_000,
            },
            "mqtt": mqtt | {"certificate_file": certificate_file, "key_file": key_file},
            "upload": {"url": f"https://{CENTRE}:8443/files/"},
            "trust": {"command_keys_file": keys_file},
            "position": {"longitude_deg": 4.85, "latitude_deg": 45.76},
        },
    )
    return settings_file


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def now_s() -> float:
    """Seconds since 1970, as a capture counts them."""
    return SystemClock().wall_us() / 1e6
