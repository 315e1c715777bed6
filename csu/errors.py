"""The centre's branch of the one exception tree (`edge_agent.contract.errors`).

CsuError
├── CsuSettingsError       bad settings or arguments: command line exit code 2
├── BrokerError            mosquitto is missing, does not start, or refuses
├── RegistryError          the database refuses or holds something that it must not
├── CommandFailedError     a unit rejected or failed a command (has a code)
├── RequestRefusedError    the API refuses a request (has a code)
├── UploadRefusedError     the ingest refuses a request (has an HTTP status)
├── NotifyError            a notification could not be delivered now
├── DemoError              the demonstration cannot go on
└── ServiceUnreachableError  the service or the unit does not answer in time
"""

from edge_agent.contract.errors import ContractError, EdgeAgentError, FormatError, SignatureError

__all__ = [
    "BrokerError",
    "CommandFailedError",
    "ContractError",
    "CsuError",
    "CsuSettingsError",
    "DemoError",
    "EdgeAgentError",
    "FormatError",
    "NotifyError",
    "RegistryError",
    "RequestRefusedError",
    "ServiceUnreachableError",
    "SignatureError",
    "UploadRefusedError",
]


class CsuError(EdgeAgentError):
    """Base of everything that the centre raises on purpose."""


class CsuSettingsError(CsuError):
    """Settings or arguments that cannot be used; the message names the thing and the remedy."""


class BrokerError(CsuError):
    """The MQTT broker is missing, does not start, or does not accept."""


class RegistryError(CsuError):
    """The registry's database refuses, or holds what it must not hold."""


class CommandFailedError(CsuError):
    """A unit rejected or failed a command; `code` is one of `contract.codes.ErrorCode`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class RequestRefusedError(CsuError):
    """The API refuses a request; `code` is kebab-case, `status` the HTTP status, `headers` go with the answer."""

    def __init__(self, code: str, message: str, status: int = 400, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.headers = headers


class UploadRefusedError(CsuError):
    """The ingest refuses a request; `status` is the HTTP status of the answer, the message its body."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class NotifyError(CsuError):
    """A notification could not be delivered now; the message holds no secret."""


class DemoError(CsuError):
    """The demonstration cannot go on; the message says why and where to look."""


class ServiceUnreachableError(CsuError):
    """The service, or the unit behind it, does not answer in time."""
