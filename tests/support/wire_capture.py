"""What went over a port of the loopback, as Wireshark's dissector reads it: tshark(1)."""

import json
import shutil
import signal
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.polling import wait_until
from tests.support.processes import Processes


@dataclass(frozen=True, slots=True)
class Packet:
    """One MQTT control packet.

    Attributes:
        tree: its fields, as PDML.
        to_port: where it went.
    """

    tree: ET.Element
    to_port: int

    def values(self, name: str) -> list[str]:
        """Every value of a field, as shown."""
        return [field.get("show", "") for field in self.tree.iter("field") if field.get("name") == name]

    def value(self, name: str) -> str:
        """The one value of a field."""
        (value,) = self.values(name)
        return value

    @property
    def kind(self) -> int:
        """Its type (MQTT 5 §2.1.2)."""
        return int(self.value("mqtt.msgtype"))

    @property
    def body(self) -> bytes:
        """What a PUBLISH carries."""
        found = [field.get("value", "") for field in self.tree.iter("field") if field.get("name") == "mqtt.msg"]
        return bytes.fromhex(found[0]) if found else b""

    def to_object(self) -> dict[str, Any]:
        """The body as JSON."""
        body: dict[str, Any] = json.loads(self.body)
        return body

    def property_of(self, group: str, number: int) -> int | None:
        """A property's numeric value in `mqtt.properties` or `mqtt.will_properties`; None when it is not there."""
        for properties in (field for field in self.tree.iter("field") if field.get("name") == group):
            fields = list(properties.iter("field"))
            for at, field in enumerate(fields):
                if field.get("name") == "mqtt.property_id" and int(field.get("show", "0"), 0) == number:
                    return int(fields[at + 1].get("show", ""))
        return None


class Capture:
    """Captures a port of the loopback from its construction on; skips the test where capturing is not allowed."""

    def __init__(self, file: Path, port: int, processes: Processes) -> None:
        if shutil.which("tshark") is None:
            pytest.skip("tshark is not installed")
        self._file, self._port = file, port
        self._log = file.with_suffix(".log")
        with self._log.open("wb") as log:
            command = ["tshark", "-i", "lo", "-q", "-f", f"tcp port {port}", "-w", str(file)]
            self._process = processes.start(command, stderr=log)
        wait_until(self._is_capturing, what="tshark captures")

    def _is_capturing(self) -> bool:
        if self._process.poll() is not None:
            pytest.skip(f"this machine lets nobody capture: {self._log.read_text()}")
        # Its words come before its file, whose header is there when packets are taken.
        return "Capturing on" in self._log.read_text() and self._file.exists() and self._file.stat().st_size > 0

    def end(self, last_words: str) -> None:
        """Stop capturing once these words, the last ones that matter, are in the file: it is written with a delay."""
        wait_until(lambda: last_words.encode() in self._file.read_bytes(), what=f"{last_words} captured")
        self._process.send_signal(signal.SIGINT)
        self._process.wait(20)

    def packets(self) -> list[Packet]:
        """The MQTT packets in order."""
        found = []
        for frame in ET.fromstring(self._read("-T", "pdml", "-Y", "mqtt")).iter("packet"):
            fields = {field.get("name"): field.get("show", "") for field in frame.iter("field")}
            found += [
                Packet(layer, int(fields["tcp.dstport"]))
                for layer in frame.iter("proto")
                if layer.get("name") == "mqtt" and layer.find("field") is not None
            ]
        return found

    def complaints(self) -> str:
        """Packets that the dissector calls malformed or warns of."""
        return self._read("-Y", "_ws.malformed || (mqtt && _ws.expert.severity >= 0x00600000)")

    def _read(self, *options: str) -> str:
        command = ["tshark", "-r", str(self._file), "-d", f"tcp.port=={self._port},mqtt", *options]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
