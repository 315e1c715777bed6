"""Reads the deployment record, and makes the `bench` one at a unit's first start."""

import logging
from pathlib import Path

from edge_agent.clock import Clock
from edge_agent.contract.deployment import BENCH, DeploymentRecord
from edge_agent.contract.segment_format import PositionStamp
from edge_agent.durable import make_directory, write_file
from edge_agent.errors import ContractError
from edge_agent.settings import PositionSettings, Settings

logger = logging.getLogger(__name__)

FILE_NAME = "deployment.json"


def fixed_stamp(position: PositionSettings | None) -> PositionStamp | None:
    """The position that the settings give, as segments carry it."""
    if position is None or position.longitude_deg is None or position.latitude_deg is None:
        return None
    return PositionStamp(
        longitude_deg=position.longitude_deg,
        latitude_deg=position.latitude_deg,
        accuracy_m=position.accuracy_m,
        source="settings",
    )


def load_or_create(settings: Settings, clock: Clock) -> DeploymentRecord:
    """The unit's deployment; recorders and link may call this at the same time.

    The bench deployment follows the position of the settings. A record that cannot be read is set aside, never
    deleted, and the bench deployment begins anew: recording comes first. A storage that refuses to read or to keep
    the record leaves it as it lies, and the answer is the bench deployment until it does.
    """
    path = settings.unit.data_dir / FILE_NAME
    wanted = fixed_stamp(settings.position)
    bench = DeploymentRecord(deployment_id=BENCH, unit_id=settings.unit.id, begun_us=clock.wall_us(), position=wanted)
    try:
        record = _read(path, clock)
    except OSError as error:
        logger.error("%s cannot be read (%s): footage is of the bench deployment", path, error.strerror)  # noqa: TRY400 -- the sentence says it all
        return bench
    if record is None:
        record = bench
    elif record.deployment_id == BENCH and record.position != wanted:
        record = record.model_copy(update={"position": wanted})
    else:
        return record
    _keep(path, record)
    return record


def _keep(path: Path, record: DeploymentRecord) -> None:
    try:
        make_directory(path.parent)
        write_file(path, record.to_json())
    except OSError as error:
        logger.warning("%s cannot be written: %s", path, error.strerror)


def _read(path: Path, clock: Clock) -> DeploymentRecord | None:
    try:
        return DeploymentRecord.from_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ContractError as error:
        aside = path.with_name(f"{path.name}.damaged-{clock.wall_us()}")
        logger.error("%s cannot be read (%s): set aside as %s", path, error, aside.name)  # noqa: TRY400 -- the sentence says it all
        _set_aside(path, aside)
        return None


def _set_aside(path: Path, aside: Path) -> None:
    try:
        path.replace(aside)
    except FileNotFoundError:
        logger.info("%s was set aside by another process", path)
