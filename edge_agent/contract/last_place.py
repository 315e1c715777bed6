"""The last place that a unit's receiver knew, kept over restarts."""

from typing import Annotated, Literal

from pydantic import Field

from edge_agent.contract.model import ContractModel
from edge_agent.contract.names import HexId
from edge_agent.contract.segment_format import PositionStamp
from edge_agent.contract.times import UtcMicros


class SettingsPlace(ContractModel):
    """The place that the settings gave."""

    longitude_deg: float
    latitude_deg: float


class LastPlace(ContractModel):
    """`position.json` in the data directory."""

    schema_: Literal["last-place/1"] = Field("last-place/1", alias="schema")
    longitude_deg: Annotated[float, Field(ge=-180, le=180)]
    latitude_deg: Annotated[float, Field(ge=-90, le=90)]
    altitude_m: float | None = None
    accuracy_m: Annotated[float, Field(ge=0)] | None = None
    boot_id: HexId
    monotonic_us: Annotated[int, Field(ge=0, lt=1 << 63)]
    """When the fix was, on that boot's monotonic clock."""
    wall_us: UtcMicros = Field(alias="wall")
    """When it was stored, as the wall clock had it: not to be trusted, for a person who reads the file."""
    settings: SettingsPlace | None = None
    """When another stands in the settings since, a person has said where the unit is: this is out of date."""

    def to_stamp(self) -> PositionStamp:
        """What a segment says until a fix is known: this place, and that it is the last one, of an unknown age."""
        return PositionStamp(
            longitude_deg=self.longitude_deg,
            latitude_deg=self.latitude_deg,
            accuracy_m=self.accuracy_m,
            source="gnss",
            fix="none",
        )
