"""The deployment record: under what name and where a unit records at present."""

from typing import Literal

from pydantic import Field

from edge_agent.contract.model import ContractModel
from edge_agent.contract.names import UnitId
from edge_agent.contract.segment_format import PositionStamp
from edge_agent.contract.times import UtcMicros

BENCH = "bench"
"""The deployment that every unit has from its first start until it is given a site."""


class DeploymentRecord(ContractModel):
    """`deployment.json` in the data directory."""

    schema_: Literal["deployment/1"] = Field("deployment/1", alias="schema")
    deployment_id: UnitId
    unit_id: UnitId
    begun_us: UtcMicros = Field(alias="begun")
    position: PositionStamp | None = None
