"""NMEA 0183 sentences as a receiver sends them, a second at a time."""

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import reduce

METRES_A_DEGREE = 111_195.0


@dataclass(frozen=True)
class Epoch:
    """What a receiver knows at one second; `quality` is that of GGA, 0 no fix, 1 a fix, 8 simulated."""

    longitude_deg: float = 4.8357
    latitude_deg: float = 45.7640
    speed_mps: float = 0.0
    quality: int = 1
    sigma_m: float | None = 2.0
    satellites: int = 9

    def moved(self, east_m: float, north_m: float = 0.0, *, speed_mps: float | None = None) -> "Epoch":
        """The same, elsewhere."""
        narrow = METRES_A_DEGREE * math.cos(math.radians(self.latitude_deg))
        return replace(
            self,
            longitude_deg=self.longitude_deg + east_m / narrow,
            latitude_deg=self.latitude_deg + north_m / METRES_A_DEGREE,
            speed_mps=self.speed_mps if speed_mps is None else speed_mps,
        )

    def sentences(self, moment: datetime) -> bytes:
        """GGA, GSA, GST where errors are known, and RMC."""
        clock = moment.strftime("%H%M%S.00")
        has_fix = self.quality > 0
        place = f"{_angle(self.latitude_deg, 2, 'NS')},{_angle(self.longitude_deg, 3, 'EW')}" if has_fix else ",,,"
        used = self.satellites if has_fix else 0
        knots = self.speed_mps * 3600 / 1852
        bodies = [
            f"GPGGA,{clock},{place},{self.quality},{used:02d},1.1,170.0,M,48.0,M,,",
            f"GPGSA,A,{3 if has_fix else 1},{_used(used)},1.8,1.1,1.5",
            f"GPRMC,{clock},{'A' if has_fix else 'V'},{place},{knots:.2f},90.0,{moment:%d%m%y},,,A",
        ]
        if self.sigma_m is not None and has_fix:
            sigma = f"{self.sigma_m:.1f}"
            bodies.insert(2, f"GPGST,{clock},{sigma},{sigma},{sigma},0.0,{sigma},{sigma},{sigma}")
        return b"".join(map(_sentence, [*bodies, *self._satellites_in_view()]))

    def _satellites_in_view(self) -> list[str]:
        """GSV, four satellites a sentence; two more than are used."""
        seen = [f"{number:02d},{10 + 5 * number},{20 * number:03d},30" for number in range(1, self.satellites + 3)]
        groups = [seen[start : start + 4] for start in range(0, len(seen), 4)]
        return [
            f"GPGSV,{len(groups)},{place},{len(seen):02d},{','.join(group)}" for place, group in enumerate(groups, 1)
        ]


def _used(count: int) -> str:
    return ",".join(f"{number:02d}" if number <= count else "" for number in range(1, 13))


def _angle(degrees: float, digits: int, letters: str) -> str:
    whole, part = divmod(abs(degrees), 1)
    return f"{int(whole):0{digits}d}{part * 60:09.6f},{letters[degrees < 0]}"


def _sentence(body: str) -> bytes:
    checksum = reduce(lambda so_far, byte: so_far ^ byte, body.encode(), 0)
    return f"${body}*{checksum:02X}\r\n".encode()


def log_of(epochs: list[Epoch], begin: datetime | None = None) -> bytes:
    """A receiver's log, a second an epoch."""
    first = begin or datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
    return b"".join(epoch.sentences(first + timedelta(seconds=second)) for second, epoch in enumerate(epochs))
