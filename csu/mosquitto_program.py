"""Where mosquitto is, and where it listens."""

import os
import shutil
import socket
import sys
from pathlib import Path

from csu.errors import BrokerError


def find_mosquitto() -> Path:
    """The broker's program: `CSU_MOSQUITTO`, else on the PATH, beside Python, or where Debian puts it.

    Raises:
        BrokerError: there is none; the message says what to install.
    """
    named = os.environ.get("CSU_MOSQUITTO")
    if named:
        if not os.access(named, os.X_OK):
            raise BrokerError(f"CSU_MOSQUITTO={named} is not a program; correct it or remove it")
        return Path(named)
    beside_python = f"{Path(sys.executable).parent}:/usr/sbin:/usr/local/sbin"  # scripts/setup links it there
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path=beside_python)
    if not found:
        raise BrokerError(
            "mosquitto is not installed; install it (sudo apt-get install mosquitto), name its program in"
            " CSU_MOSQUITTO, or use a broker of your own (csu serve --broker URL)"
        )
    return Path(found)


def free_port(host: str) -> int:
    """A port of this address that nobody listens on now.

    Raises:
        OSError: not an address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        return int(server.getsockname()[1])


def read_port(path: Path) -> int:
    """The port that was kept for the next start; 0 when none was.

    Raises:
        BrokerError: the file is damaged.
    """
    try:
        port = int(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        return 0
    except ValueError:
        port = -1
    if not 0 < port <= 65_535:
        raise BrokerError(f"{path} does not hold a port number; remove it")
    return port
