"""What paho leaves to its users of MQTT 5 packets: their properties made, their topics and sizes read."""

from paho.mqtt import client as mqtt
from paho.mqtt.properties import Properties

MESSAGE_BYTES = 2048
"""What paho's objects of a message take besides its body, topic and properties."""


def make_properties(packet_type: int) -> Properties:
    """MQTT 5 properties of a packet of this type (`PacketTypes`), none set yet."""
    return Properties(packet_type)  # type: ignore[no-untyped-call]  # -- paho leaves its constructor untyped


def topic_of(message: mqtt.MQTTMessage) -> str:
    """A message's topic; empty, which is nobody's, when it is not UTF-8."""
    try:
        return message.topic
    except UnicodeDecodeError:
        return ""


def size_of(message: mqtt.MQTTMessage) -> int:
    """Roughly what a message takes in memory; topic and properties may be as long as a packet."""
    properties = message.properties
    described_bytes = 0 if properties is None else len(properties.pack())  # type: ignore[no-untyped-call]  # -- paho
    return MESSAGE_BYTES + len(message.payload) + len(topic_of(message)) + described_bytes
