"""Joins the probes to what the link knows: the clock's belief, the broker's answers, the transfers' pace."""

from collections.abc import Mapping
from typing import Any

from edge_agent import __version__
from edge_agent.clock import Clock
from edge_agent.contract.ring_protocol import RecorderState
from edge_agent.errors import RingError
from edge_agent.health.clock import ClockSight
from edge_agent.health.report import Report, UnitProbes
from edge_agent.health.round_trips import RoundTrips
from edge_agent.settings import Settings
from edge_agent.uplink.monitor import Prober
from edge_agent.uplink.stamps import Stamper
from edge_agent.uplink.upload_meter import UploadMeter


def make_prober(
    settings: Settings, clock: Clock, stamper: Stamper, uploads: UploadMeter, round_trips: RoundTrips
) -> Prober:
    """The unit's probes, to be run in a thread by the monitor."""

    def link_figures() -> Mapping[str, Any]:
        return round_trips.figures() | uploads.figures()

    probes = UnitProbes(settings, clock, __version__, stamper.boot_id, link_figures)

    def run(recorders: Mapping[str, RecorderState | RingError]) -> Report:
        belief = stamper.belief
        sight = ClockSight(belief.source, belief.bound_us, belief.synced_us, belief.offset_us)
        return probes.run(recorders, sight)

    return run
