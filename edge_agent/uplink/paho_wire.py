"""The unit's wire to a real broker: what `Wire` promises, over `PahoConnection`.

Its last will has no delay (MQTT 5 §3.1.3.2.2). mosquitto 2.0.11 looks at delayed wills from the newest on and stops
at the first that is not due yet: while units are lost faster than the delay is long, none of them shows. Whoever
watches lets a will rest instead (`csu/fleet_standing.py`). A loss then shows within 90 s: a broker gives a silent
unit up after one and a half keep-alives (§3.1.2.10), 67.5 s of 45 s each, and mosquitto looks every 6 s.
"""

from functools import partial
from pathlib import Path

from paho.mqtt import client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_agent.errors import BrokerUnavailableError, ConnectionLostError
from edge_agent.mqtt_options import ConnectionOptions, Will
from edge_agent.mqtt_packets import make_properties, topic_of
from edge_agent.paho_connection import ConnectionErrors, PahoConnection
from edge_agent.settings import MqttSettings
from edge_agent.uplink.wire import Inbound, Outgoing, WireEvents, WireOptions

_MAX_CORRELATION_BYTES = 256
_SUBSCRIBE = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
_ERRORS = ConnectionErrors(BrokerUnavailableError, ConnectionLostError)


class PahoWire:
    """See `wire.Wire`."""

    def __init__(self, settings: MqttSettings, options: WireOptions, events: WireEvents, generation: int) -> None:
        self._url = settings.url
        self._generation = generation
        self._connection = PahoConnection(
            _options_of(settings, options), _ERRORS, events.on_message, events.on_closed, events.on_round_trip
        )

    async def open(self) -> bool:
        """See `Wire.open`."""
        return await self._connection.open()

    async def subscribe(self, topic: str) -> None:
        """See `Wire.subscribe`."""
        if not await self._connection.subscribe(topic, _SUBSCRIBE):
            raise BrokerUnavailableError(f"{self._url}: subscription to {topic} refused")

    async def publish(self, message: Outgoing) -> bool:
        """See `Wire.publish`."""
        properties = make_properties(PacketTypes.PUBLISH)
        if message.correlation is not None:
            properties.CorrelationData = message.correlation
        return await self._connection.publish(message.topic, message.payload, properties, retain=message.retain)

    def take(self) -> Inbound | None:
        """See `Wire.take`."""
        message = self._connection.take()
        return None if message is None else _inbound_of(message, self._generation)

    def acknowledge(self, message: Inbound) -> None:
        """See `Wire.acknowledge`."""
        if message.generation == self._generation:
            self._connection.acknowledge(message.packet_id, message.qos)

    def is_stranded(self) -> bool:
        """See `Wire.is_stranded`."""
        return self._connection.is_stranded()

    async def close(self, timeout_s: float, *, said_farewell: bool) -> None:
        """See `Wire.close`."""
        await self._connection.close(timeout_s, with_will=not said_farewell)


def _options_of(settings: MqttSettings, options: WireOptions) -> ConnectionOptions:
    will = options.will
    return ConnectionOptions(
        url=settings.url,
        client_id=options.client_id,
        keepalive_s=settings.keepalive_s,
        session_expiry_s=settings.session_expiry_s,
        receive_maximum=options.receive_maximum,
        max_packet_bytes=options.max_packet_bytes,
        username=settings.username,
        read_password=partial(_read_password, settings.password_file),
        ca_file=settings.ca_file,
        certificate_file=settings.certificate_file,
        key_file=settings.key_file,
        will=Will(will.topic, will.payload, will.retain),
    )


def _read_password(path: Path | None) -> str | None:
    return None if path is None else path.read_text(encoding="utf-8").strip()


def _inbound_of(message: mqtt.MQTTMessage, generation: int) -> Inbound:
    properties = message.properties
    correlation = getattr(properties, "CorrelationData", None)
    return Inbound(
        topic=topic_of(message),
        payload=bytes(message.payload),
        qos=message.qos,
        packet_id=message.mid,
        generation=generation,
        response_topic=getattr(properties, "ResponseTopic", None),
        correlation=correlation if correlation and len(correlation) <= _MAX_CORRELATION_BYTES else None,
    )
