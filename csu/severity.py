"""How grave each alarm is: `critical` means that footage is being lost or may be, or that nobody knows.

`critical` makes a unit stand as `trouble`, `warning` as `warning`. What merely occurred is no alarm. A name that this
table lacks, such as that of a newer unit, is taken as a warning.
"""

from collections.abc import Mapping

from csu.views import Severity
from edge_agent.contract.event_names import EventName

NOT_HEARD = "not-heard"
"""Of the centre: a unit that was heard is no longer."""
CLIP_FAILED = "clip-failed"
"""Of the centre: a clip arrived and does not hold, or could not be verified; open until it is acknowledged."""
BROKER_LOST = "broker-lost"
"""Of the centre: it has no broker and hears nobody."""
DISK_LOW = "disk-low"
"""Of the centre: little space is left for its registry and for clips that arrive."""
NOTIFY_FAILING = "notify-failing"
"""Of the centre: a channel of notifications has taken none for an hour."""

CENTRE = "@centre"
"""Stands for the unit in alarms of the centre about itself; no unit can be called so."""

SEVERITIES: Mapping[str, Severity] = {
    EventName.CAMERA_LOST: "critical",
    EventName.RECORDER_UNAVAILABLE: "critical",
    EventName.STORAGE_ERROR: "critical",
    EventName.STORAGE_READ_ONLY: "critical",
    EventName.STORAGE_SILENT: "critical",
    EventName.FRAMES_DROPPED: "critical",
    EventName.PICTURE_BELOW_MINIMUM: "warning",
    EventName.STORAGE_LOW: "warning",
    EventName.RETENTION_SHORT: "warning",
    EventName.FRAME_RATE_LOW: "warning",
    EventName.CAMERA_UNSTABLE: "warning",
    EventName.ENCODER_FAILED: "warning",
    EventName.PICTURE_BLACK: "critical",
    EventName.PICTURE_FROZEN: "critical",
    EventName.CAMERA_OTHERWISE: "warning",
    EventName.PROCESS_RESTARTING: "warning",
    EventName.STORAGE_SLOW: "warning",
    EventName.MEMORY_LOW: "warning",
    EventName.CLOCK_UNSYNCHRONISED: "warning",
    EventName.ROUND_TRIP_HIGH: "warning",
    EventName.TEMPERATURE_HIGH: "warning",
    "gnss-silent": "warning",
    "fix-lost": "warning",
    "clock-disputed": "warning",
    NOT_HEARD: "critical",
    CLIP_FAILED: "warning",
    BROKER_LOST: "critical",
    DISK_LOW: "critical",
    NOTIFY_FAILING: "warning",
}

OCCURRENCES: frozenset[str] = frozenset(
    {
        EventName.COMMAND_REFUSED,
        EventName.COMMAND_WAITING,
        EventName.RECEIPT_REFUSED,
        EventName.EVENTS_LOST,
        EventName.LEDGER_REPLACED,
        EventName.LEDGER_ROWS_DAMAGED,
    }
)
"""Events that are no alarms."""


def severity_of(name: str) -> Severity:
    """How grave an alarm of this name is."""
    return SEVERITIES.get(name, "warning")
