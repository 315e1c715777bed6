"""The service manager's notification protocol (sd_notify(3)): readiness, status and the watchdog's heartbeat.

The agent speaks it upwards to systemd, and `supervise` speaks it downwards to its own children. Nothing here blocks:
a manager that does not read loses messages, not the process its time.
"""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Notifier:
    """Sends state to whoever started this process; without a manager it does nothing.

    Attributes:
        address: `NOTIFY_SOCKET`, a path or `@abstract`; None without a manager.
        watchdog_s: interval in which the manager wants a heartbeat; None when it wants none.
    """

    address: str | None
    watchdog_s: float | None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Notifier":
        """Read `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`."""
        watchdog_us = environment.get("WATCHDOG_USEC", "")
        meant = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watchdog_s = int(watchdog_us) / 1e6 if watchdog_us.isdigit() and meant else None
        return cls(environment.get("NOTIFY_SOCKET") or None, watchdog_s)

    def send(self, *lines: str) -> bool:
        """Send lines such as `READY=1`; False when nobody takes them."""
        if self.address is None:
            return False
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            try:
                sender.sendto("\n".join(lines).encode(), address)
            except OSError:
                return False
        return True

    def ready(self) -> bool:
        """Say that the start is over."""
        return self.send("READY=1")

    def heartbeat(self) -> bool:
        """Say that the process is alive."""
        return self.send("WATCHDOG=1")

    def stopping(self) -> bool:
        """Say that the process is ending on purpose."""
        return self.send("STOPPING=1")
