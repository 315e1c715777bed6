"""`serve.json`: where a running service is reached; what its command line clients read."""

import os
from pathlib import Path

from pydantic import Field

from csu.errors import ContractError, ServiceUnreachableError
from edge_agent.contract.model import ContractModel
from edge_agent.contract.times import UtcMicros
from edge_agent.durable import write_file

_FILE = "serve.json"
_TOKEN = "api.token"  # noqa: S105 -- the name of a file


class ServiceInfo(ContractModel):
    """A service that is ready. URLs are as units and clients reach them."""

    schema_: str = Field("csu-serve/1", alias="schema")
    pid: int = Field(gt=0, lt=1 << 31)
    started_us: UtcMicros = Field(alias="started_at")
    api_url: str
    mqtt_url: str
    ingest_url: str
    topic_prefix: str
    own_broker: bool


def token_file(directory: Path) -> Path:
    """The API's token; mode 0600."""
    return directory / _TOKEN


def write_info(directory: Path, info: ServiceInfo) -> None:
    """Tell clients, durably.

    Raises:
        OSError: the storage refused.
    """
    write_file(directory / _FILE, info.to_json(), 0o644)


def remove_info(directory: Path) -> None:
    """The service ends."""
    (directory / _FILE).unlink(missing_ok=True)


def read_info(directory: Path) -> ServiceInfo:
    """What the running service wrote.

    Raises:
        ServiceUnreachableError: no service runs on this directory.
    """
    remedy = f"start it with: csu serve --dir {directory}"
    try:
        info = ServiceInfo.from_json((directory / _FILE).read_bytes())
    except FileNotFoundError as error:
        raise ServiceUnreachableError(f"no service runs on {directory}; {remedy}") from error
    except (OSError, ContractError) as error:
        raise ServiceUnreachableError(f"{directory / _FILE} cannot be read: {error}; {remedy}") from error
    if not _is_alive(info.pid):
        raise ServiceUnreachableError(f"the service on {directory} (process {info.pid}) is gone; {remedy}")
    return info


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
