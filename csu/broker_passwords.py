"""Who may connect to the own broker: mosquitto's password file, and the secrets of the centre's own users."""

import secrets
import threading
from collections.abc import Mapping

from csu.broker_files import BrokerPaths, format_passwords, hash_password, parse_passwords
from csu.errors import BrokerError
from edge_agent.durable import write_file


class Passwords:
    """Safe from any thread of this process, the only one that writes them."""

    def __init__(self, paths: BrokerPaths) -> None:
        self._paths = paths
        self._lock = threading.Lock()  # protects the password file

    def of_service(self, service_user: str) -> str:
        """Password of a service user.

        Raises:
            BrokerError: no such service user, or its file is damaged.
        """
        path = self._paths.secret(service_user)
        try:
            return path.read_text(encoding="ascii").strip()
        except OSError as error:
            raise BrokerError(f"no password of the service user {service_user!r}: {error}") from error
        except UnicodeDecodeError as error:
            raise BrokerError(f"{path} is damaged: {error}; remove it, a new one is made") from error

    def make_of_service(self, service_user: str) -> str:
        """Password of a service user, made now if there is none.

        Raises:
            BrokerError: its file is damaged.
            OSError: the storage refused.
        """
        path = self._paths.secret(service_user)
        if not path.exists():
            write_file(path, secrets.token_urlsafe(24).encode(), 0o600)
        return self.of_service(service_user)

    def set(self, passwords: Mapping[str, str]) -> None:
        """Let these users in by these passwords; the broker has to read its files again.

        Raises:
            BrokerError: the password file is damaged.
            OSError: the storage refused.
        """
        self._write({name: hash_password(password) for name, password in passwords.items()})

    def remove(self, name: str) -> None:
        """Let a user in no more; the broker has to read its files again.

        Raises:
            BrokerError: the password file is damaged.
            OSError: the storage refused.
        """
        self._write({name: None})

    def _read(self) -> dict[str, str]:
        try:
            return parse_passwords(self._paths.passwords.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (UnicodeDecodeError, BrokerError) as error:
            remedy = "restore it, or remove it and enrol the units again"
            raise BrokerError(f"{self._paths.passwords} is damaged: {error}; {remedy}") from error

    def _write(self, changes: dict[str, str | None]) -> None:
        with self._lock:
            merged = self._read() | changes
            kept = {name: digest for name, digest in merged.items() if digest is not None}
            write_file(self._paths.passwords, format_passwords(kept).encode(), 0o600)
