"""The position of a unit without GNSS: the one that its settings give."""

from edge_agent.contract.messages import PointGeometry, Position, PositionProperties
from edge_agent.settings import PositionSettings


def fixed_position(settings: PositionSettings | None, deployment_id: str) -> Position:
    """`up/position` of a fixed unit; without `[position]` the geometry is null and the fix `none`."""
    if settings is None or settings.longitude_deg is None or settings.latitude_deg is None:
        properties = PositionProperties(fix="none", source="none", deployment_id=deployment_id)
        return Position(geometry=None, properties=properties)
    place = (settings.longitude_deg, settings.latitude_deg)
    coordinates = place if settings.altitude_m is None else (*place, settings.altitude_m)
    properties = PositionProperties(
        fix="fixed", accuracy_m=settings.accuracy_m, source="settings", deployment_id=deployment_id
    )
    return Position(geometry=PointGeometry(coordinates=coordinates), properties=properties)
