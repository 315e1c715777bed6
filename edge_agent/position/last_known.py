"""`position.json`: written by the link, read by link and recorders when they start.

Written seldom, because storage wears: when the place is `FAR_M` from the one in the file, at most every `INTERVAL_S`,
and when the link ends.
"""

import logging
import os
import stat
from pathlib import Path

from edge_agent.clock import Clock
from edge_agent.contract.last_place import LastPlace, SettingsPlace
from edge_agent.contract.model import MAX_MESSAGE_BYTES
from edge_agent.contract.segment_format import PositionStamp
from edge_agent.durable import write_file
from edge_agent.errors import ContractError
from edge_agent.paths import last_place_file
from edge_agent.position.fixes import Fix
from edge_agent.position.geodesy import distance_m
from edge_agent.settings import PositionSettings

logger = logging.getLogger(__name__)

FAR_M = 50.0
INTERVAL_S = 300.0


def settings_place(settings: PositionSettings | None) -> SettingsPlace | None:
    """The fixed place of the settings."""
    if settings is None or settings.longitude_deg is None or settings.latitude_deg is None:
        return None
    return SettingsPlace(longitude_deg=settings.longitude_deg, latitude_deg=settings.latitude_deg)


def load_last_place(data_dir: Path, settings: PositionSettings | None) -> LastPlace | None:
    """The last place by satellites; None when there is none, or the settings give another place since.

    A file that cannot be read costs what it holds.
    """
    if settings is None or settings.gpsd is None:
        return None
    path = last_place_file(data_dir)
    try:
        place = LastPlace.from_json(_read(path))
    except FileNotFoundError:
        return None
    except (OSError, ContractError) as error:
        logger.warning("%s cannot be read, the last known place is lost: %s", path, error)
        return None
    wanted = settings_place(settings)
    return place if wanted is None or place.settings == wanted else None


def _read(path: Path) -> bytes:
    """A small regular file: a pipe of its name would keep a recorder from starting, an endless one fill memory."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ContractError("it is no regular file")
        return os.read(descriptor, MAX_MESSAGE_BYTES + 1)
    finally:
        os.close(descriptor)


def starting_stamp(
    data_dir: Path, settings: PositionSettings | None, deployed: PositionStamp | None
) -> PositionStamp | None:
    """What a recorder's segments say of the place until the link says more.

    Args:
        data_dir: of the unit.
        settings: `[position]`.
        deployed: the place of the deployment.
    """
    last = load_last_place(data_dir, settings)
    return deployed if last is None else last.to_stamp()


class LastPlaceKeeper:
    """Stores the last known place when it is worth it; blocks for the storage.

    Args:
        data_dir: of the unit.
        settings: `[position]`.
        boot_id: of this boot.
        clock: the clocks.
    """

    def __init__(self, data_dir: Path, settings: PositionSettings, boot_id: str, clock: Clock) -> None:
        self._path = last_place_file(data_dir)
        self._settings = settings_place(settings)
        self._boot_id = boot_id
        self._clock = clock
        self._stored: tuple[float, float] | None = None
        self._tried_us: int | None = None
        self._is_failing = False

    def is_due(self, fix: Fix) -> bool:
        """Whether this fix is to be stored."""
        if self._stored is not None and distance_m(self._stored, fix.place) < FAR_M:
            return False
        return self._tried_us is None or self._clock.monotonic_us() - self._tried_us >= INTERVAL_S * 1e6

    def is_worth_it(self, fix: Fix) -> bool:
        """Whether this fix is to be stored when the link ends."""
        return self._stored is None or distance_m(self._stored, fix.place) >= FAR_M / 5

    def store(self, fix: Fix) -> None:
        """Make it durable; a storage that refuses is told once and tried again later."""
        self._tried_us = self._clock.monotonic_us()
        place = LastPlace(
            longitude_deg=fix.longitude_deg,
            latitude_deg=fix.latitude_deg,
            altitude_m=fix.altitude_m,
            accuracy_m=fix.accuracy_m,
            boot_id=self._boot_id,
            monotonic_us=fix.monotonic_us,
            wall_us=self._clock.wall_us(),
            settings=self._settings,
        )
        try:
            write_file(self._path, place.to_json())
        except OSError as error:
            if not self._is_failing:
                logger.warning("the last known place cannot be stored: %s", error)
            self._is_failing = True
            return
        self._stored, self._is_failing = fix.place, False
