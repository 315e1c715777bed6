"""Who connects where to a broker, and what paho and TLS are told of it."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from paho.mqtt import client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_agent.mqtt_packets import make_properties


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes, at QoS 1, when we fall silent."""

    topic: str
    payload: bytes
    retain: bool


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """Who connects where, and what the two agree on.

    Attributes:
        url: `mqtt://host[:port]` or `mqtts://host[:port]`.
        client_id: also names the session that the broker keeps for us; it is never begun anew.
        keepalive_s: a silent line is asked after so long.
        session_expiry_s: so long does the broker keep the session.
        receive_maximum: unacknowledged QoS 1 messages that the broker may have under way to us (mosquitto exceeds
            it).
        max_packet_bytes: larger messages are not delivered by the broker; None for all.
        username: None connects without credentials.
        read_password: called in the network thread; may read a file.
        ca_file: authorities that vouch for the broker; None takes the system's.
        certificate_file: certificate that we show, for brokers that ask for one.
        key_file: its key.
        will: None for none.
        answer_timeout_s: an acknowledgement that takes longer, while we read, ends the connection.
    """

    url: str
    client_id: str
    keepalive_s: int
    session_expiry_s: int
    receive_maximum: int
    max_packet_bytes: int | None = None
    username: str | None = None
    read_password: Callable[[], str | None] = lambda: None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    will: Will | None = None
    answer_timeout_s: float = 30.0

    @property
    def address(self) -> tuple[str, int]:
        """Host and port; the port that MQTT has with or without TLS unless the URL names one."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or (8883 if self.is_tls else 1883)

    @property
    def is_tls(self) -> bool:
        """Whether the connection is to be encrypted."""
        return urlsplit(self.url).scheme == "mqtts"


def connect_properties(options: ConnectionOptions) -> Properties:
    """What CONNECT says beside names (MQTT 5 §3.1.2.11)."""
    properties = make_properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = options.session_expiry_s
    properties.ReceiveMaximum = options.receive_maximum
    if options.max_packet_bytes is not None:
        properties.MaximumPacketSize = options.max_packet_bytes
    return properties


def set_will(client: mqtt.Client, will: Will) -> None:
    """Tell paho of the last will, before it connects."""
    client.will_set(will.topic, will.payload, 1, will.retain)


def tls_context(options: ConnectionOptions) -> ssl.SSLContext:
    """Whom we trust and what we show; reads files.

    Raises:
        OSError: a file cannot be read (`ssl.SSLError`, which is one: it holds no certificate or key).
    """
    context = ssl.create_default_context(cafile=options.ca_file and str(options.ca_file))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if options.certificate_file is not None:
        context.load_cert_chain(options.certificate_file, options.key_file)
    return context
