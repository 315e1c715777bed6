"""The peer of the command benchmark: paho that publishes what it receives, and nothing else.

`python -m benchmarks.echo_process HOST PORT USER PASSWORD_FILE FROM_TOPIC TO_TOPIC`
"""

import sys
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.ping import send_at_once


def main(host: str, port: str, user: str, password_file: str, from_topic: str, to_topic: str) -> None:
    """Echo until killed."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=user, protocol=mqtt.MQTTv5)
    client.username_pw_set(user, Path(password_file).read_text(encoding="ascii"))

    def subscribe(*_: object) -> None:
        client.subscribe(from_topic, qos=1)

    def echo(_client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        client.publish(to_topic, message.payload, qos=1)

    client.on_socket_open = send_at_once
    client.on_connect = subscribe
    client.on_message = echo
    client.connect(host, int(port))
    client.loop_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
